"""Autarky state of a household or community: reached, not reached, unknown; with hysteresis and dwell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

Rate = Fraction | Decimal


class AutarkyState(StrEnum):
    """Where a household or community stands."""

    REACHED = "REACHED"
    NOT_REACHED = "NOT_REACHED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, kw_only=True)
class AutarkyRule:
    """The settings: rates in percent, window and dwell in slots; ValueError where they make no sense."""

    window_slots: int = 96
    threshold_percent: Decimal = Decimal(99)
    hysteresis_points: Decimal = Decimal(5)
    dwell_slots: int = 2
    minimum_coverage_percent: Decimal = Decimal(90)

    def __post_init__(self) -> None:
        if self.window_slots < 1 or self.dwell_slots < 1:
            raise ValueError("window and dwell are at least one slot")
        if not 0 <= self.hysteresis_points <= self.threshold_percent <= 100:
            raise ValueError("threshold lies in 0..100, hysteresis in 0..threshold")
        if not 0 <= self.minimum_coverage_percent <= 100:
            raise ValueError("minimum coverage lies in 0..100")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is remembered from slot to slot; the default is that of a newcomer. All fields fit table columns.

    `known` is the last state that was not UNKNOWN, None before the first. The runs count the latest
    consecutive slots that were judged, at or above the threshold, and below the lower bound; they stop
    counting at the dwell, so a steady household's standing no longer changes.
    """

    state: AutarkyState = AutarkyState.UNKNOWN
    since_slot: int | None = None
    known: AutarkyState | None = None
    judged_run: int = 0
    above_run: int = 0
    below_run: int = 0


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of state: `since_slot` is the first slot of the dwell; people are told where `notify`."""

    from_state: AutarkyState
    to_state: AutarkyState
    since_slot: int
    notify: bool


def window_rate(
    own_to_load_wh: int, consumption_wh: int, counted_slots: int, expected_slots: int, rule: AutarkyRule
) -> Fraction | None:
    """The self-sufficiency of a window in percent from its sums, exact.

    None where consumption is 0 or the slots counted are less of those expected than the rule's minimum
    coverage.
    """
    enough = 100 * counted_slots >= rule.minimum_coverage_percent * expected_slots
    if not enough or not counted_slots or not consumption_wh:
        return None
    return Fraction(100 * own_to_load_wh, consumption_wh)


def judge(
    standing: Standing, slot: int, rate: Rate | None, rule: AutarkyRule
) -> tuple[Standing, Change | None]:
    """The standing after a slot closed with this rate (percent; None: not judged), and the change it made.

    To be called for every slot once, in order. ValueError for a rate that is not finite.
    """
    if rate is None:
        unjudged = replace(standing, judged_run=0, above_run=0, below_run=0)
        return _moved(unjudged, AutarkyState.UNKNOWN, slot)
    standing = _counted(standing, _exact(rate), rule)
    if standing.known is None:
        above = standing.above_run > 0
        return _moved(standing, AutarkyState.REACHED if above else AutarkyState.NOT_REACHED, slot)
    return _moved(standing, _settled(standing, rule), slot - rule.dwell_slots + 1)


def recount(standing: Standing, rates: Sequence[Rate | None], rule: AutarkyRule) -> Standing:
    """The standing with its runs as these latest slots (in order) left them; its state is not touched.

    The runs reach no further back than the dwell, so they need not be remembered: the rates of the last
    `dwell_slots - 1` slots before the one to judge tell them.
    """
    standing = replace(standing, judged_run=0, above_run=0, below_run=0)
    for rate in rates:
        if rate is None:
            standing = replace(standing, judged_run=0, above_run=0, below_run=0)
        else:
            standing = _counted(standing, _exact(rate), rule)
    return standing


def _counted(standing: Standing, rate: Fraction, rule: AutarkyRule) -> Standing:
    above = rate >= Fraction(rule.threshold_percent)
    below = rate < Fraction(rule.threshold_percent) - Fraction(rule.hysteresis_points)
    return replace(
        standing,
        judged_run=min(standing.judged_run + 1, rule.dwell_slots),
        above_run=min(standing.above_run + 1, rule.dwell_slots) if above else 0,
        below_run=min(standing.below_run + 1, rule.dwell_slots) if below else 0,
    )


def _settled(standing: Standing, rule: AutarkyRule) -> AutarkyState:
    """The state the runs speak for: a mixed dwell keeps the known one, an unfinished one the present."""
    if standing.above_run >= rule.dwell_slots:
        return AutarkyState.REACHED
    if standing.below_run >= rule.dwell_slots:
        return AutarkyState.NOT_REACHED
    whole = standing.judged_run >= rule.dwell_slots
    return standing.known if whole and standing.known else standing.state


def _moved(standing: Standing, state: AutarkyState, since_slot: int) -> tuple[Standing, Change | None]:
    if state is standing.state:
        return standing, None
    known = standing.known if state is AutarkyState.UNKNOWN else state
    change = Change(
        from_state=standing.state,
        to_state=state,
        since_slot=since_slot,
        notify=standing.known is not None and known is not standing.known,
    )
    return replace(standing, state=state, since_slot=since_slot, known=known), change


def _exact(rate: Rate) -> Fraction:
    try:
        return Fraction(rate)
    except OverflowError:
        raise ValueError(f"not a finite rate: {rate}") from None
