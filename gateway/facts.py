"""The log as it can be read: facts with their envelope, and what caused what."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import strawberry

from gateway.access import Principal
from gateway.context import Context
from gateway.described import told
from gateway.faults import Fault
from gateway.pages import PageInfo, checked_first
from gateway.permission import guarded, inside
from gateway.positions import Place, written
from gateway.scalars import Plain, Position
from projections import read_facts
from projections.visibility import Scope
from write_side.events import Recorded


@inside
class Cause:
    """The fact that brought something."""

    position: Position = strawberry.field(description="Where the fact stands in the log.")
    fact: str = strawberry.field(description="The fact's name.")
    at: datetime = strawberry.field(description="The grid's time of the fact.")
    by: str = strawberry.field(description="Who stated it: a principal, or a standing order of the grid.")


@guarded
class FactEntry:
    """A fact as it stands in the log."""

    recorded: strawberry.Private[Recorded]
    read_for: strawberry.Private[Scope]

    def seen_by(self, principal: Principal) -> bool:
        """Whoever it was read for."""
        return principal.scope == self.read_for

    @told
    def position(self) -> Position:
        """Where it stands; resume behind it with `after`."""
        return written(self.recorded.position)

    @told
    def name(self) -> str:
        """Its name."""
        return type(self.recorded.fact).__name__

    @told
    def stream(self) -> str:
        """The stream it belongs to."""
        return self.recorded.stream

    @told
    def at(self) -> datetime:
        """The grid's time."""
        return self.recorded.at

    @told
    def recorded_at(self) -> datetime:
        """The wall time."""
        return self.recorded.recorded_at

    @told
    def by(self) -> str:
        """Who stated it: a principal, or a standing order of the grid."""
        return self.recorded.by

    @told
    def key(self) -> str:
        """The idempotency key of its command."""
        return self.recorded.key

    @told
    def cause(self) -> Position | None:
        """The position of the fact it answers; null for none."""
        return None if self.recorded.cause is None else written(self.recorded.cause)

    @told
    def correlation(self) -> str:
        """The same for all that one request led to."""
        return self.recorded.correlation

    @told
    def body(self) -> Plain:
        """What it states; units are in the names."""
        return Plain(msgspec.to_builtins(self.recorded.fact))


@inside
class FactConnection:
    """A page of the log."""

    nodes: list[FactEntry] = strawberry.field(description="The facts, the oldest first.")
    page_info: PageInfo = strawberry.field(description="Where the page lies; its cursors are positions.")


async def cause_at(context: Context, position: int) -> Cause:
    """The fact at a position."""
    found = await context.read(read_facts.fact, position)
    if found is None:
        raise LookupError(f"no fact at position {position}")
    name = type(found.fact).__name__
    return Cause(position=written(position), fact=name, at=found.at, by=found.by)


async def facts_page(
    context: Context,
    first: int,
    after: Place | None,
    correlation_id: str | None,
    household_id: UUID | None,
) -> FactConnection:
    """A page of the facts the asker may see: a household those of its own streams."""
    if correlation_id is not None and "\0" in correlation_id:
        raise Fault("BAD_USER_INPUT", "correlationId: printable characters")
    wanted: dict[str, Any] = {"correlation": correlation_id, "household_id": household_id}
    found = await context.read(
        read_facts.facts,
        context.scope,
        behind=after.position if after else 0,
        limit=checked_first(first) + 1,
        **wanted,
    )
    shown = found[:first]
    place = PageInfo(
        has_next_page=len(found) > first,
        has_previous_page=after is not None,
        start_cursor=written(shown[0].position) if shown else None,
        end_cursor=written(shown[-1].position) if shown else None,
    )
    entries = [FactEntry(recorded=recorded, read_for=context.scope) for recorded in shown]
    return FactConnection(nodes=entries, page_info=place)
