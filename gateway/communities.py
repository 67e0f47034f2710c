"""Communities: who they are, their energy and autarky, joining and leaving them."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry
from strawberry import relay

from gateway.access import Principal
from gateway.autarky import (
    AutarkyFigures,
    AutarkyRule,
    AutarkyState,
    autarky_rule,
    autarky_state,
    community_figures,
)
from gateway.context import Context, Info
from gateway.described import listed, told
from gateway.energy import CommunityEnergy, community_series
from gateway.pages import Connection, checked_first, cursor, edges, key_of
from gateway.permission import guarded
from gateway.positions import Place
from gateway.windows import From, Last, To, window
from projections import read_communities
from projections.read_communities import CommunityRow
from write_side.rules.timeslots import Resolution

if TYPE_CHECKING:
    from gateway.households import Household

LazyHousehold = Annotated["Household", strawberry.lazy("gateway.households")]


@listed
class CommunityOrder(StrEnum):
    """FOUNDED: the oldest first. AUTARKY: those that have reached it first, the longest standing before the
    others."""

    FOUNDED = "FOUNDED"
    AUTARKY = "AUTARKY"


@guarded
class Community(relay.Node):
    """Households of one network area that share what they do not need themselves."""

    community_id: relay.NodeID[UUID]
    row: strawberry.Private[CommunityRow]
    after: strawberry.Private[Place | None] = None

    def seen_by(self, principal: Principal) -> bool:
        """Its members, who see its figures and no other member's, and whoever sees every household."""
        return principal.sees_every_household or self.row.is_own

    @told
    def uuid(self) -> UUID:
        """The raw id."""
        return self.row.community_id

    @told
    def area(self) -> UUID:
        """The network area it lies in, raw id."""
        return self.row.area_id

    @told
    def founded_at(self) -> datetime:
        """The grid's time when it was founded."""
        return self.row.founded_at

    @told
    def member_count(self) -> int:
        """How many households are members now."""
        return self.row.members

    @told
    async def members(
        self, info: Info, first: int = 20, after: str | None = None
    ) -> Connection[LazyHousehold]:
        """The members the asker may see: a household sees itself alone."""
        from gateway.households import households_page

        page = await households_page(info.context, first, after, self.row.community_id)
        page.total_count = self.row.members
        return page

    @told
    async def energy(
        self,
        info: Info,
        from_: From = None,
        to: To = None,
        last: Last = None,
        resolution: Resolution = Resolution.QUARTER_HOUR,
    ) -> CommunityEnergy:
        """Energy of all members together; by default the last 96 buckets."""
        await info.context.reached("metering", self.after)
        asked = await window(info.context, from_, to, last, resolution)
        return CommunityEnergy(series=await community_series(info.context, self.community_id, asked))

    @told
    async def autarky(
        self,
        info: Info,
        from_: From = None,
        to: To = None,
        last: Last = None,
    ) -> AutarkyFigures:
        """How far it fed itself over a window; by default the last 96 slots."""
        await info.context.reached("metering", self.after)
        asked = await window(info.context, from_, to, last)
        return await community_figures(info.context, self.community_id, asked)

    @told
    async def autarky_state(self, info: Info) -> AutarkyState:
        """Where it stands with autarky."""
        await info.context.reached("autarky", self.after)
        return await autarky_state(info.context, self.community_id)

    @told
    async def autarky_rule(self, info: Info) -> AutarkyRule:
        """How its autarky is judged."""
        return await autarky_rule(info.context, self.community_id)


async def visible_community(
    context: Context, community_id: UUID | None, after: Place | None = None
) -> Community | None:
    """The community as the asker may see it."""
    if community_id is None:
        return None
    row = await context.read(read_communities.community, context.scope, community_id)
    return None if row is None else Community(community_id=community_id, row=row, after=after)


async def communities_page(
    context: Context, first: int, after: str | None, order: CommunityOrder
) -> Connection[Community]:
    """A page of the communities the asker may see."""
    limit = checked_first(first) + 1
    if order is CommunityOrder.AUTARKY:
        ranked = key_of(after, int, int, UUID)
        rows = await context.read(
            read_communities.communities_by_autarky, context.scope, behind=ranked, limit=limit
        )
    else:
        founded = key_of(after, datetime.fromisoformat, UUID)
        rows = await context.read(
            read_communities.communities_by_founding, context.scope, behind=founded, limit=limit
        )

    def key(row: CommunityRow) -> str:
        if order is CommunityOrder.AUTARKY:
            return cursor(row.rank, row.since_slot, row.community_id)
        return cursor(row.founded_at.isoformat(), row.community_id)

    made, place = edges(
        rows, first, lambda row: Community(community_id=row.community_id, row=row), key, behind=after
    )
    total = await context.read(read_communities.count_communities, context.scope)
    return Connection(edges=made, page_info=place, total_count=total)
