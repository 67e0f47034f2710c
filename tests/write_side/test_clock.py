"""The grid's clock: founded once, moved only by order, one stride at a time, never beyond the target."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from tests.write_side.story import NOW, LogStory, given, register
from write_side.clock import (
    CLOCK,
    FOUNDING,
    Clock,
    Founding,
    decide_advance,
    decide_finish,
    decide_founding,
    decide_step,
    next_slot_start,
    stride_end,
)
from write_side.commands import (
    AdvanceClock,
    ClockNotMovable,
    FinishAdvance,
    FoundGrid,
    InvalidInput,
    StepClock,
)
from write_side.events import ClockAdvanced, ClockAdvanceFinished, ClockAdvanceOrdered, GridFounded, Stride
from write_side.rules.timeslots import is_slot_boundary, slot_of, slot_start

START = datetime(2026, 1, 5, tzinfo=UTC)
QUARTER, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)
FOUNDED = GridFounded(first_slot_start=START, simulated=True)
ON_THE_WALL = GridFounded(first_slot_start=START, simulated=False)


def founding(first: datetime = START, simulated: bool = True) -> FoundGrid:
    return FoundGrid(first_slot_start=first, simulated=simulated)


def ordered(to: datetime, stride: Stride = Stride.SLOT, now: datetime = START) -> ClockAdvanceOrdered:
    return ClockAdvanceOrdered(now=now, to=to, stride=stride)


def test_a_grid_is_founded_once() -> None:
    given(FOUNDING).when(decide_founding, founding()).then(FOUNDED)
    given(FOUNDING, FOUNDED).when(decide_founding, founding()).then()
    later = founding(START + DAY)
    given(FOUNDING, FOUNDED).when(decide_founding, later).then()


def test_a_grid_keeps_its_clock() -> None:
    wall, simulated = founding(simulated=False), founding()
    given(FOUNDING, FOUNDED).when(decide_founding, wall).refused(
        ClockNotMovable, "founded on the other clock"
    )
    given(FOUNDING, ON_THE_WALL).when(decide_founding, simulated).refused(
        ClockNotMovable, "founded on the other clock"
    )


@pytest.mark.parametrize("ahead", [QUARTER, 4 * HOUR, timedelta(days=400)])
def test_an_advance_is_ordered(ahead: timedelta) -> None:
    command = AdvanceClock(to=START + ahead, stride=Stride.HOUR)
    given(CLOCK).when(lambda clock: decide_advance(Founding(START), clock, START, command)).then(
        ordered(START + ahead, Stride.HOUR)
    )


@pytest.mark.parametrize(
    ("to", "rule", "saying"),
    [
        (START, ClockNotMovable, "never goes back"),
        (START - QUARTER, ClockNotMovable, "never goes back"),
        (START + timedelta(minutes=14), InvalidInput, "only where a slot of 15 minutes begins"),
        (START + timedelta(days=400, minutes=15), InvalidInput, "at most 400 days ahead"),
    ],
)
def test_where_the_clock_cannot_go(to: datetime, rule: type[ClockNotMovable], saying: str) -> None:
    command = AdvanceClock(to=to, stride=Stride.SLOT)
    given(CLOCK).when(lambda clock: decide_advance(Founding(START), clock, START, command)).refused(
        rule, saying
    )


def test_the_wall_s_clock_is_not_moved() -> None:
    command = AdvanceClock(to=START + QUARTER, stride=Stride.SLOT)
    given(CLOCK).when(
        lambda clock: decide_advance(Founding(START, simulated=False), clock, START, command)
    ).refused(ClockNotMovable, "wall clock")


def test_a_moving_clock_takes_no_other_order() -> None:
    command = AdvanceClock(to=START + DAY, stride=Stride.SLOT)
    given(CLOCK, ordered(START + HOUR)).when(
        lambda clock: decide_advance(Founding(START), clock, START, command)
    ).refused(ClockNotMovable, "moving to 2026-01-05T01:00Z already")


def test_a_stride_ends_where_it_was_ordered_to_end() -> None:
    past = (ordered(START + HOUR),)
    given(CLOCK, *past).when(decide_step, StepClock(to=START + QUARTER)).then(
        ClockAdvanced(since=START, to=START + QUARTER, target=START + HOUR, stride=Stride.SLOT)
    )
    for wrong in (START, START + 2 * QUARTER, START + HOUR):
        given(CLOCK, *past).when(decide_step, StepClock(to=wrong)).refused(
            ClockNotMovable, "not the stride that was ordered"
        )


def test_no_stride_without_an_order_and_none_behind_the_target() -> None:
    step = StepClock(to=START + QUARTER)
    arrived = ClockAdvanced(since=START, to=START + QUARTER, target=START + QUARTER, stride=Stride.SLOT)
    finished = ClockAdvanceFinished(at=START, stride=Stride.SLOT)
    for past in ((), (finished,), (arrived,)):
        given(CLOCK, *past).when(decide_step, step).refused(ClockNotMovable, "no advance is ordered")


def test_an_advance_ends_at_its_target_alone() -> None:
    target = START + QUARTER
    arrived = ClockAdvanced(since=START, to=target, target=target, stride=Stride.DAY)
    given(CLOCK, ordered(target), arrived).when(decide_finish, FinishAdvance(at=target)).then(
        ClockAdvanceFinished(at=target, stride=Stride.DAY)
    )
    finished = ClockAdvanceFinished(at=target, stride=Stride.DAY)
    for past, at in (((), target), ((ordered(target),), target), ((arrived,), START), ((finished,), target)):
        given(CLOCK, *past).when(decide_finish, FinishAdvance(at=at)).refused(
            ClockNotMovable, "no advance has reached this time"
        )


def test_the_newest_fact_carries_the_whole_clock() -> None:
    target = START + HOUR
    step = ClockAdvanced(since=START, to=START + QUARTER, target=target, stride=Stride.SLOT)
    finished = ClockAdvanceFinished(at=target, stride=Stride.HOUR)
    assert given(CLOCK, ordered(target)).state == Clock(START, target, Stride.SLOT)
    assert given(CLOCK, step).state == given(CLOCK, ordered(target), step).state
    assert given(CLOCK, finished).state == given(CLOCK, ordered(target), step, finished).state
    assert CLOCK.last_only


def test_a_day_s_stride_ends_at_local_midnight() -> None:
    target = START + timedelta(days=300)
    summer = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert stride_end(START, target, Stride.DAY) == datetime(2026, 1, 5, 23, tzinfo=UTC)
    assert stride_end(summer, target, Stride.DAY) == datetime(2026, 7, 1, 22, tzinfo=UTC)
    spring = datetime(2026, 3, 28, 23, tzinfo=UTC)  # the local day of 23 hours begins
    assert stride_end(spring, target, Stride.DAY) == datetime(2026, 3, 29, 22, tzinfo=UTC)


SLOTS = st.integers(slot_of(datetime(2025, 1, 1, tzinfo=UTC)), slot_of(datetime(2027, 1, 1, tzinfo=UTC)))


@drawn(now=SLOTS, ahead=st.integers(1, 96 * 40), stride=st.sampled_from(Stride))
def test_strides_reach_the_target_and_never_pass_it(now: int, ahead: int, stride: Stride) -> None:
    at, target = slot_start(now), slot_start(now + ahead)
    most = {Stride.SLOT: QUARTER, Stride.HOUR: HOUR, Stride.DAY: DAY + HOUR}[stride]
    strides = 0
    while at != target:
        end = stride_end(at, target, stride)
        assert at < end <= target
        assert end - at <= most
        assert is_slot_boundary(end)
        at, strides = end, strides + 1
    assert strides <= ahead


@drawn(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_the_next_slot_has_not_begun_and_is_the_first_of_those(at: datetime) -> None:
    following = next_slot_start(at)
    assert is_slot_boundary(following)
    assert timedelta() <= following - at < QUARTER


def test_an_advance_is_played_from_order_to_end(story: LogStory) -> None:
    story.at(NOW).given(founding(), AdvanceClock(to=START + 2 * QUARTER, stride=Stride.SLOT))
    story.given(StepClock(to=START + QUARTER), StepClock(to=START + 2 * QUARTER))
    story.given(FinishAdvance(at=START + 2 * QUARTER))
    story.when(AdvanceClock(to=START, stride=Stride.SLOT)).refused(ClockNotMovable, "shows 2026-01-05T00:30Z")


def test_facts_carry_the_grid_s_time_and_the_wall_s(story: LogStory) -> None:
    story.at(NOW).given(founding(), register("anna"))
    envelopes = story.rows(
        """select distinct convert_from(state, 'UTF8')::jsonb ->> 'at',
                           convert_from(state, 'UTF8')::jsonb ->> 'recordedAt'
           from log.fact where topic = 'HouseholdRegistered'"""
    )
    assert envelopes == [("2026-01-05T00:00:00Z", "2026-03-14T10:07:30Z")]
