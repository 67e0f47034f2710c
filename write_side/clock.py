"""The grid's clock: the wall's, or a simulated one that only an ordered advance moves."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from write_side.commands import (
    AdvanceClock,
    ClockNotMovable,
    FinishAdvance,
    FoundGrid,
    InvalidInput,
    StepClock,
)
from write_side.events import (
    ClockAdvanced,
    ClockAdvanceFinished,
    ClockAdvanceOrdered,
    Fact,
    GridFounded,
    Stride,
)
from write_side.past import Decision, Fold, Past
from write_side.rules.timeslots import (
    SLOT_SECONDS,
    day_slots,
    is_slot_boundary,
    local_day,
    slot_of,
    slot_start,
)

GRID_STREAM = "grid"
CLOCK_STREAM = "clock"
LONGEST_ADVANCE = timedelta(days=400)


@dataclass(frozen=True)
class Clock:
    """Where the simulated clock stands and where it is heading; `now` None before the first order."""

    now: datetime | None = None
    target: datetime | None = None
    stride: Stride = Stride.SLOT


def evolve(clock: Clock, fact: Fact) -> Clock:
    """Each fact of the stream carries the whole clock."""
    match fact:
        case ClockAdvanceOrdered():
            return Clock(fact.now, fact.to, fact.stride)
        case ClockAdvanced():
            return Clock(fact.to, fact.target, fact.stride)
        case ClockAdvanceFinished():
            return Clock(fact.at, None, fact.stride)
        case _:
            return clock


@dataclass(frozen=True)
class Founding:
    """When the grid began and which clock it runs on."""

    first_slot_start: datetime | None = None
    simulated: bool = True


def evolve_founding(founding: Founding, fact: Fact) -> Founding:
    """The grid is founded once."""
    if isinstance(fact, GridFounded):
        return replace(founding, first_slot_start=fact.first_slot_start, simulated=fact.simulated)
    return founding


CLOCK = Fold(Clock(), evolve, last_only=True)
FOUNDING = Fold(Founding(), evolve_founding)


def grid_time(past: Past) -> datetime:
    """The simulated clock's time; the wall's before the grid is founded."""
    founding = past.fold(GRID_STREAM, FOUNDING)
    return past.fold(CLOCK_STREAM, CLOCK).now or founding.first_slot_start or past.wall_now


def stride_end(now: datetime, target: datetime, stride: Stride) -> datetime:
    """Where the next stride ends: a slot, the hour or the local day on, never beyond the target."""
    slot = slot_of(now)
    following = {
        Stride.SLOT: slot + 1,
        Stride.HOUR: (slot // 4 + 1) * 4,
        Stride.DAY: day_slots(local_day(slot)).stop,
    }[stride]
    return min(slot_start(following), target)


def decide_founding(founding: Founding, command: FoundGrid) -> list[Fact]:
    """Nothing where the grid stands already on the same clock."""
    if founding.first_slot_start is None:
        return [GridFounded(first_slot_start=command.first_slot_start, simulated=command.simulated)]
    if founding.simulated != command.simulated:
        raise ClockNotMovable("this grid was founded on the other clock: start it with a home of its own")
    return []


def decide_advance(founding: Founding, clock: Clock, now: datetime, command: AdvanceClock) -> list[Fact]:
    """Orders an advance to a slot's beginning ahead of now."""
    if not founding.simulated:
        raise ClockNotMovable("the grid runs on the wall clock")
    if clock.target is not None:
        raise ClockNotMovable(f"the clock is moving to {clock.target:%Y-%m-%dT%H:%MZ} already")
    if not is_slot_boundary(command.to):
        raise InvalidInput("to: the clock stops only where a slot of 15 minutes begins")
    if command.to <= now:
        raise ClockNotMovable(f"the clock shows {now:%Y-%m-%dT%H:%MZ} and never goes back")
    if command.to - now > LONGEST_ADVANCE:
        raise InvalidInput(f"to: at most {LONGEST_ADVANCE.days} days ahead")
    return [ClockAdvanceOrdered(now=now, to=command.to.astimezone(UTC), stride=command.stride)]


def decide_step(clock: Clock, command: StepClock) -> list[Fact]:
    """One stride of an ordered advance, and no other."""
    if clock.now is None or clock.target is None or clock.now == clock.target:
        raise ClockNotMovable("no advance is ordered")
    if command.to != stride_end(clock.now, clock.target, clock.stride):
        raise ClockNotMovable("this is not the stride that was ordered")
    return [ClockAdvanced(since=clock.now, to=command.to, target=clock.target, stride=clock.stride)]


def decide_finish(clock: Clock, command: FinishAdvance) -> list[Fact]:
    """The end of an advance that has reached its target."""
    if clock.target is None or not clock.now == clock.target == command.at:
        raise ClockNotMovable("no advance has reached this time")
    return [ClockAdvanceFinished(at=command.at, stride=clock.stride)]


def handle_found(command: FoundGrid, past: Past) -> Decision:
    """Founds the grid once."""
    facts = decide_founding(past.fold(GRID_STREAM, FOUNDING), command)
    return Decision([(GRID_STREAM, fact) for fact in facts])


def handle_advance(command: AdvanceClock, past: Past) -> Decision:
    """Orders the advance."""
    founding, clock = past.fold(GRID_STREAM, FOUNDING), past.fold(CLOCK_STREAM, CLOCK)
    return Decision([(CLOCK_STREAM, fact) for fact in decide_advance(founding, clock, past.at, command)])


def handle_step(command: StepClock, past: Past) -> Decision:
    """Moves by a stride."""
    return Decision([(CLOCK_STREAM, fact) for fact in decide_step(past.fold(CLOCK_STREAM, CLOCK), command)])


def handle_finish(command: FinishAdvance, past: Past) -> Decision:
    """Ends the advance."""
    return Decision([(CLOCK_STREAM, fact) for fact in decide_finish(past.fold(CLOCK_STREAM, CLOCK), command)])


def next_slot_start(at: datetime) -> datetime:
    """The beginning of the first slot that has not begun at `at`."""
    slot = slot_of(at)
    return slot_start(slot if int(at.timestamp()) == slot * SLOT_SECONDS and not at.microsecond else slot + 1)


def utc_day(at: datetime) -> date:
    """The UTC day, by which streams that tick are named."""
    return at.astimezone(UTC).date()
