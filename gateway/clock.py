"""The grid's clock: what it shows, moving it, and each slot as it closes."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import strawberry

from gateway import refusals
from gateway.context import Context, Info
from gateway.described import taken
from gateway.faults import not_ready
from gateway.following import follow
from gateway.permission import inside, public
from gateway.positions import Place, written
from gateway.scalars import Position
from gateway.sending import key_of, send
from gateway.windows import founded_clock
from projections.read_clock import ClockRow, ClosedSlotRow, closed_slots, count_closed
from projections.visibility import Scope
from write_side import commands
from write_side.command_group import Receipt
from write_side.events import Stride
from write_side.rules.timeslots import slot_start

strawberry.enum(Stride, description="How far the simulated clock moves at a time; a DAY is local.")

LONGEST_ADVANCE_S = 600.0
LONGEST_STANDSTILL_S = 30.0
_LOOK_EVERY_S = 0.1
_ANSWERED_FROM = ("households", "autarky", "notifications", "metering")


@public
class Clock:
    """The grid's clock."""

    now: datetime = strawberry.field(description="The grid's time.")
    simulated: bool = strawberry.field(description="Whether only `advanceClock` moves it.")
    slot_start: datetime = strawberry.field(description="The slot of 15 minutes that runs now.")
    first_slot_start: datetime = strawberry.field(
        description="The grid's first slot; before it lies history."
    )
    last_closed_slot_start: datetime | None = strawberry.field(
        description="The newest slot that has closed; null before any."
    )
    target: datetime | None = strawberry.field(description="Where it is heading; null while it stands.")


@public
class SlotClosedEvent:
    """A slot has closed: it is accounted."""

    position: Position = strawberry.field(description="Resume behind this event with `after`.")
    slot_start: datetime = strawberry.field(description="The slot.")
    closed_at: datetime = strawberry.field(description="The wall time of the closing.")
    missing_partitions: list[int] = strawberry.field(
        description="Partitions of readings it did not wait for any longer."
    )
    silent_sources: list[str] = strawberry.field(description="Sources of readings that kept silent.")


@taken
class AdvanceClockInput:
    """Where the simulated clock is to go."""

    to: datetime = strawberry.field(description="The beginning of a slot ahead, at most 400 days.")
    stride: Stride = strawberry.field(default=Stride.SLOT, description="How far it moves at a time.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="Repeated with the same input it answers the first answer."
    )


@inside
class AdvanceClockPayload:
    """The clock has come there; every slot before has closed and every view has it."""

    position: Position = strawberry.field(description="The receipt of the order to advance.")
    clock: Clock = strawberry.field(description="The clock now.")
    closed_slots: int = strawberry.field(description="How many slots closed on the way.")
    elapsed_ms: int = strawberry.field(description="How long it took, ms of wall time.")


AdvanceClockResult = Annotated[
    AdvanceClockPayload
    | refusals.ClockNotMovable
    | refusals.InvalidInput
    | refusals.KeyReused
    | refusals.NotPermitted,
    strawberry.union("AdvanceClockResult", description="The clock, or the rule it would have broken."),
]


def clock_of(row: ClockRow) -> Clock:
    """The clock as the schema tells it."""
    return Clock(
        now=row.now,
        simulated=row.simulated,
        slot_start=slot_start(row.slot),
        first_slot_start=slot_start(row.first_slot),
        last_closed_slot_start=None if row.last_closed is None else slot_start(row.last_closed),
        target=row.target,
    )


async def advance_clock(info: Info, input: AdvanceClockInput) -> AdvanceClockResult:
    """Moves the simulated clock and closes the slots it passes; answers when every view has them."""
    began = time.monotonic()
    command = commands.AdvanceClock(to=input.to, stride=input.stride)
    receipt = await send(info, command, key_of(input.idempotency_key))
    arrived = await _arrived(info.context, receipt, input.to)
    closed = await info.context.read(count_closed, behind=receipt.position, before=input.to)
    return AdvanceClockPayload(
        position=written(receipt.position),
        clock=clock_of(arrived),
        closed_slots=closed,
        elapsed_ms=round((time.monotonic() - began) * 1000),
    )


async def _arrived(context: Context, receipt: Receipt, to: datetime) -> ClockRow:
    """The clock once it has come to `to` and all it caused there is in the views.

    NOT_READY after 30 seconds in which nothing moved, or ten minutes.
    """
    views = context.parts.views
    deadline = time.monotonic() + LONGEST_ADVANCE_S
    await views.reached("slots", receipt.position)
    seen, moved_at = await founded_clock(context), time.monotonic()
    while seen.now < to or (seen.target is not None and seen.target <= to):
        now = time.monotonic()
        if now > deadline or now - moved_at > LONGEST_STANDSTILL_S:
            raise not_ready(f"the clock stands at {seen.now:%Y-%m-%dT%H:%MZ} and goes on by itself")
        await views.moved("slots", views.moves("slots"), _LOOK_EVERY_S)
        latest = await founded_clock(context)
        if latest != seen:
            seen, moved_at = latest, time.monotonic()
    finished = await views.look("slots")
    await asyncio.gather(*(views.reached(view, finished, LONGEST_STANDSTILL_S) for view in _ANSWERED_FROM))
    return seen


async def slot_events(context: Context, after: Place | None) -> AsyncIterator[SlotClosedEvent]:
    """Every closing behind a place, as they come."""
    start = None if after is None else after.position

    async def look(behind: int, limit: int) -> list[ClosedSlotRow]:
        return await context.read(closed_slots, behind=behind, limit=limit)

    everybody = Scope(everything=True)
    async for row in follow(context, context.parts.tails.slots, start, look, everybody):
        yield SlotClosedEvent(
            position=written(row.position),
            slot_start=slot_start(row.slot),
            closed_at=row.closed_at,
            missing_partitions=row.missing_partitions,
            silent_sources=row.silent_sources,
        )
