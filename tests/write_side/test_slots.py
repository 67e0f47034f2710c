"""Closing slots in order, across days, only when they have passed; and telling of corrections."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from msgspec import structs

from tests.write_side.story import SLOT, LogStory, given, id_of
from write_side.commands import (
    AdvanceClock,
    CloseSlots,
    Command,
    CorrectSlots,
    FinishAdvance,
    FoundGrid,
    InvalidInput,
    SlotOutOfOrder,
    StepClock,
)
from write_side.events import Fact, SlotClosed, SlotsCorrected, Stride
from write_side.rules.timeslots import slot_of, slot_start
from write_side.slots import CLOSINGS, Closings, decide_close, stream_of

START = datetime(2026, 1, 5, tzinfo=UTC)
FIRST = slot_of(START)


def at(slots: int) -> datetime:
    """The beginning of a slot, counted from the grid's first."""
    return START + slots * SLOT


def close(first: int, end: int, **other: Any) -> CloseSlots:
    command = CloseSlots(first_slot_start=at(first), end=at(end), missing_partitions=(), silent_sources=())
    return structs.replace(command, **other)


def closed(slot: int, **other: Any) -> SlotClosed:
    return replace(SlotClosed(slot_start=at(slot), missing_partitions=(), silent_sources=()), **other)


def moved(slots: int) -> Sequence[Command]:
    """What brings a new grid's clock a number of slots on, at once."""
    end = at(slots)
    found = FoundGrid(first_slot_start=START, simulated=True)
    days = []
    now = START
    while now < end:
        midnight = (now + timedelta(hours=1)).replace(hour=23, minute=0)
        now = min(midnight if midnight > now else midnight + timedelta(days=1), end)
        days.append(StepClock(to=now))
    return [found, AdvanceClock(to=end, stride=Stride.DAY), *days, FinishAdvance(at=end)]


def test_the_grid_s_first_slot_needs_none_before_it() -> None:
    command = close(0, 2, missing_partitions=(3,), silent_sources=("meter",))
    given(CLOSINGS).when(lambda before: decide_close(FIRST, before, at(2), command)).then(
        closed(0, missing_partitions=(3,), silent_sources=("meter",)),
        closed(1, missing_partitions=(3,), silent_sources=("meter",)),
    )


def test_slots_follow_one_another() -> None:
    given(CLOSINGS, closed(0), closed(1)).when(
        lambda before: decide_close(FIRST, before, at(9), close(2, 4))
    ).then(closed(2), closed(3))


@pytest.mark.parametrize("first", [0, 1, 3, 4])
def test_no_slot_is_left_out_or_closed_again(first: int) -> None:
    past = (closed(1),)  # 0 is closed too, and the grid's first slot is another
    given(CLOSINGS, *past).when(
        lambda before: decide_close(FIRST - 9, before, at(9), close(first, 9))
    ).refused(SlotOutOfOrder, "does not follow the last closed one")


@pytest.mark.parametrize(("first", "end"), [(0, 0), (1, 0), (0, 3), (2, 3)])
def test_only_what_has_passed_closes(first: int, end: int) -> None:
    given(CLOSINGS).when(lambda before: decide_close(FIRST, before, at(2), close(first, end))).refused(
        SlotOutOfOrder, "only slots that have passed"
    )


@drawn(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30))
def test_whatever_is_asked_every_slot_closes_once_and_in_order(asked: list[tuple[int, int]]) -> None:
    state, stated = Closings(), list[Fact]()
    for first, end in asked:
        try:
            facts = decide_close(FIRST if not stated else -1, state, at(15), close(first, end))
        except SlotOutOfOrder:
            continue
        for fact in facts:
            state = CLOSINGS.evolve(state, fact)
        stated += facts
    assert stated == [closed(slot) for slot in range(len(stated))]
    assert len(stated) <= 15


def test_a_closing_over_midnight_lies_in_both_days_streams(story: LogStory) -> None:
    story.given(*moved(98)).when(close(0, 98)).then(*(closed(slot) for slot in range(98)))
    counted = story.rows(
        """select originator_id, count(*), max(originator_version) from log.fact where topic = 'SlotClosed'
           group by 1 order by 1"""
    )
    assert counted == [("slots/2026-01-05", 96, 96), ("slots/2026-01-06", 2, 2)]


def test_a_day_follows_the_day_before(story: LogStory) -> None:
    story.given(*moved(100), close(0, 96))
    story.when(close(97, 98)).refused(SlotOutOfOrder, "does not follow")
    story.when(close(96, 97)).then(closed(96))


def test_closings_that_wait_together_follow_one_another(story: LogStory) -> None:
    story.given(*moved(300), close(0, 4))
    outcomes = story.group(close(4, 200), close(200, 290), close(290, 300))
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert story.rows("select count(*) from log.fact where topic = 'SlotClosed'") == [(300,)]


@pytest.mark.parametrize(("first", "end"), [(0, 1), (0, 9), (3, 9)])
def test_a_closed_slot_stays_closed(story: LogStory, first: int, end: int) -> None:
    story.given(*moved(12), close(0, 4))
    told = story.when(close(first, end))
    told.refused(SlotOutOfOrder, "closed already" if first == 0 else "does not follow")


def test_nothing_closes_before_the_grid_is_founded(story: LogStory) -> None:
    story.when(close(0, 1)).refused(SlotOutOfOrder, "no first slot yet")


def test_nothing_closes_that_the_clock_has_not_passed(story: LogStory) -> None:
    story.given(*moved(4)).when(close(0, 5)).refused(SlotOutOfOrder, "only slots that have passed")


def test_a_stream_of_closings_is_a_utc_day() -> None:
    assert stream_of(slot_start(FIRST + 95)) == "slots/2026-01-05"
    assert stream_of(slot_start(FIRST + 96)) == "slots/2026-01-06"


def correction(**other: Any) -> CorrectSlots:
    command = CorrectSlots(
        community_id=id_of("village"),
        household_ids=(id_of("anna"), id_of("ben")),
        first_slot_start=at(0),
        last_slot_start=at(5),
        slots=3,
        consumption_wh_change=-120,
        production_wh_change=40,
        run=17,
    )
    return structs.replace(command, **other)


def test_a_correction_is_stated_by_community_and_month(story: LogStory) -> None:
    story.when(correction()).then(
        SlotsCorrected(
            community_id=id_of("village"),
            household_ids=(id_of("anna"), id_of("ben")),
            first_slot_start=at(0),
            last_slot_start=at(5),
            slots=3,
            consumption_wh_change=-120,
            production_wh_change=40,
            run=17,
        )
    )
    assert story.rows("select originator_id from log.fact where topic = 'SlotsCorrected'") == [
        (f"corrections/{id_of('village')}/2026-03",)
    ]


def test_a_correction_of_nothing_is_none(story: LogStory) -> None:
    story.when(correction(slots=0)).refused(InvalidInput, "at least one slot")
