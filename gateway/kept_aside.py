"""What came in and could not be used: kept aside with its reason, countable and never fatal."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import strawberry

from gateway.access import Principal
from gateway.context import Context, Info
from gateway.described import listed, told
from gateway.devices import Device, visible_device
from gateway.households import Household, visible_household
from gateway.pages import Edge, PageInfo, checked_first, cursor, edges, key_of
from gateway.permission import guarded, inside
from projections import read_kept_aside
from projections.read_kept_aside import KeptAsideRow
from projections.visibility import Scope
from write_side.rules.timeslots import slot_start


@listed
class KeptAsideReason(StrEnum):
    """Why a message or reading could not be used."""

    UNKNOWN_DEVICE = "UNKNOWN_DEVICE"
    MALFORMED = "MALFORMED"
    FUTURE = "FUTURE"
    NEGATIVE = "NEGATIVE"
    WRONG_SUBJECT = "WRONG_SUBJECT"
    NOT_A_SLOT = "NOT_A_SLOT"
    TOO_LARGE = "TOO_LARGE"


@guarded
class KeptAside:
    """A message or reading that could not be used."""

    row: strawberry.Private[KeptAsideRow]
    read_for: strawberry.Private[Scope]

    def seen_by(self, principal: Principal) -> bool:
        """Whoever it was read for."""
        return principal.scope == self.read_for

    @told
    def subject(self) -> str:
        """The subject it came in on."""
        return self.row.subject

    @told
    def reason(self) -> KeptAsideReason:
        """Why it could not be used."""
        return KeptAsideReason(self.row.reason)

    @told
    def received_at(self) -> datetime:
        """The wall time at which the intake got it."""
        return self.row.received_at

    @told
    def raw(self) -> str:
        """The message as it came, its first 4 kB; what is no text is shown as �."""
        return bytes(self.row.raw).decode(errors="replace").replace("\0", "�")

    @told
    async def household(self, info: Info) -> Household | None:
        """The household it names; null where it names none there is."""
        return await visible_household(info.context, self.row.household_id)

    @told
    async def device(self, info: Info) -> Device | None:
        """The device it names; null where it names none there is."""
        return await visible_device(info.context, self.row.device_id)

    @told
    def device_uuid(self) -> UUID | None:
        """The raw device id it names; null where it names none."""
        return self.row.device_id

    @told
    def slot_start(self) -> datetime | None:
        """The slot it names; null where it names none."""
        return None if self.row.slot is None else slot_start(self.row.slot)


@inside
class ReasonCount:
    """How many entries have one reason."""

    reason: KeptAsideReason = strawberry.field(description="The reason.")
    count: int = strawberry.field(description="How many entries have it, with those no longer kept.")


@inside
class KeptAsideConnection:
    """A page of what could not be used."""

    edges: list[Edge[KeptAside]] = strawberry.field(description="The entries, the newest first.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")
    total_count: int = strawberry.field(description="How many entries there are, of the reason asked for.")
    counts: list[ReasonCount] = strawberry.field(description="How many entries there are by reason.")

    @told
    def nodes(self) -> list[KeptAside]:
        """The entries without their cursors."""
        return [edge.node for edge in self.edges]


async def kept_aside_page(
    context: Context, first: int, after: str | None, reason: KeptAsideReason | None
) -> KeptAsideConnection:
    """A page of what the asker may see: a household what came for itself."""
    wanted = None if reason is None else reason.value
    rows = await context.read(
        read_kept_aside.kept_aside,
        context.scope,
        before=key_of(after, int, int, int, str),
        limit=checked_first(first) + 1,
        reason=wanted,
    )
    counts = await context.read(read_kept_aside.count_kept_aside, context.scope)
    made, place = edges(
        rows,
        first,
        lambda row: KeptAside(row=row, read_for=context.scope),
        lambda row: cursor(*row.key),
        behind=after,
    )
    return KeptAsideConnection(
        edges=made,
        page_info=place,
        total_count=sum(n for name, n in counts.items() if wanted in (None, name)),
        counts=[ReasonCount(reason=KeptAsideReason(name), count=n) for name, n in counts.items()],
    )
