"""Closing slots in order, and telling when closed slots have changed."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from write_side.clock import FOUNDING, GRID_STREAM, utc_day
from write_side.commands import CloseSlots, CorrectSlots, InvalidInput, SlotOutOfOrder
from write_side.events import Fact, SlotClosed, SlotsCorrected
from write_side.past import Decision, Fold, Past
from write_side.rules.timeslots import slot_of, slot_start


@dataclass(frozen=True)
class Closings:
    """The last slot closed in a stream's day, None for none."""

    last_slot: int | None = None


def evolve(closings: Closings, fact: Fact) -> Closings:
    """Closings follow one another."""
    return Closings(slot_of(fact.slot_start)) if isinstance(fact, SlotClosed) else closings


CLOSINGS = Fold(Closings(), evolve)


def stream_of(slot_start_at: datetime) -> str:
    """Closings tick: their stream is named by the UTC day."""
    return f"slots/{utc_day(slot_start_at)}"


def decide_close(first_slot: int, before: Closings, now: datetime, command: CloseSlots) -> list[Fact]:
    """The slots of the command, where they follow the last closed one and have passed."""
    first, end = slot_of(command.first_slot_start), slot_of(command.end)
    if not first < end <= slot_of(now):
        raise SlotOutOfOrder("only slots that have passed can close")
    if first != first_slot and before.last_slot != first - 1:
        raise SlotOutOfOrder(
            f"slot {command.first_slot_start:%Y-%m-%dT%H:%MZ} does not follow the last closed one"
        )
    return [
        SlotClosed(
            slot_start=slot_start(slot),
            missing_partitions=command.missing_partitions,
            silent_sources=command.silent_sources,
        )
        for slot in range(first, end)
    ]


def handle_close(command: CloseSlots, past: Past) -> Decision:
    """Closes slots of one or more days, each day in its own stream."""
    founding = past.fold(GRID_STREAM, FOUNDING)
    if founding.first_slot_start is None:
        raise SlotOutOfOrder("the grid has no first slot yet")
    previous = slot_start(slot_of(command.first_slot_start) - 1)
    before = past.fold(stream_of(previous), CLOSINGS)
    facts = decide_close(slot_of(founding.first_slot_start), before, past.at, command)
    already = past.fold(stream_of(command.first_slot_start), CLOSINGS).last_slot
    if already is not None and already >= slot_of(command.first_slot_start):
        raise SlotOutOfOrder("this slot is closed already")
    return Decision([(stream_of(fact.slot_start), fact) for fact in facts if isinstance(fact, SlotClosed)])


def handle_correct(command: CorrectSlots, past: Past) -> Decision:
    """States a correction in the stream of its community and month."""
    if command.slots < 1:
        raise InvalidInput("slots: a correction changes at least one slot")
    fact = SlotsCorrected(**msgspec.structs.asdict(command))
    return Decision([(f"corrections/{command.community_id}/{past.at:%Y-%m}", fact)])
