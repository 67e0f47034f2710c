"""The state of autarky: example 12 of the worked numbers, and no flapping inside the dwell."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_side.rules.autarky import AutarkyRule, AutarkyState, Change, Standing, judge, window_rate

REACHED, NOT_REACHED, UNKNOWN = AutarkyState.REACHED, AutarkyState.NOT_REACHED, AutarkyState.UNKNOWN
RULE = AutarkyRule(window_slots=1)


def played(*rates: str | None, rule: AutarkyRule = RULE) -> list[tuple[int, Change]]:
    """The changes of a row of rates for the slots 1, 2, 3..., each with its closing slot."""
    standing, changes = Standing(), []
    for slot, rate in enumerate(rates, start=1):
        standing, change = judge(standing, slot, None if rate is None else Decimal(rate), rule)
        if change is not None:
            changes.append((slot, change))
    return changes


def told(*rates: str | None, rule: AutarkyRule = RULE) -> list[tuple[int, AutarkyState, int]]:
    return [
        (slot, change.to_state, change.since_slot)
        for slot, change in played(*rates, rule=rule)
        if change.notify
    ]


EXAMPLE_12 = (
    *("90", "99.5", "98", "99", "100", "95", "93.9", "94.0", "93", "92"),
    *(None, "100", None, "100", "100"),
)


def test_example_12_three_notifications() -> None:
    assert told(*EXAMPLE_12) == [(5, REACHED, 4), (10, NOT_REACHED, 9), (15, REACHED, 14)]


def test_example_12_every_change() -> None:
    assert [(slot, change.from_state, change.to_state) for slot, change in played(*EXAMPLE_12)] == [
        (1, UNKNOWN, NOT_REACHED),
        (5, NOT_REACHED, REACHED),
        (10, REACHED, NOT_REACHED),
        (11, NOT_REACHED, UNKNOWN),
        (15, UNKNOWN, REACHED),
    ]


def test_the_first_judgement_sets_the_state_and_tells_nobody() -> None:
    assert played(None, None, "99") == [
        (3, Change(from_state=UNKNOWN, to_state=REACHED, since_slot=3, notify=False))
    ]
    assert played("98.99")[0][1].to_state is NOT_REACHED


def test_a_return_from_unknown_to_the_same_state_tells_nobody() -> None:
    changes = played("100", None, "100", "100")
    assert [(slot, change.to_state, change.notify) for slot, change in changes] == [
        (1, REACHED, False),
        (2, UNKNOWN, False),
        (4, REACHED, False),
    ]


def test_a_mixed_return_from_unknown_takes_the_remembered_state() -> None:
    changes = played("100", None, "100", "96")
    assert changes[-1] == (
        4,
        Change(from_state=UNKNOWN, to_state=REACHED, since_slot=3, notify=False),
    )
    assert played("90", None, "100", "96")[-1][1].to_state is NOT_REACHED


def test_after_a_mixed_return_a_dwell_may_end_in_the_next_slot() -> None:
    assert told("90", None, "96", "100", "100") == [(5, REACHED, 4)]


def test_between_the_bounds_nothing_is_lost_nor_reached() -> None:
    assert told("100", *["94"] * 50) == []
    assert told("90", *["98.99"] * 50) == []


def test_a_gap_breaks_the_dwell() -> None:
    assert told("90", "100", None, "100", None, "100") == []


def test_a_dwell_of_one_slot_acts_at_once() -> None:
    rule = replace(RULE, dwell_slots=1)
    assert told("90", "100", "90", rule=rule) == [(2, REACHED, 2), (3, NOT_REACHED, 3)]


def test_bounds_are_exact() -> None:
    just_below = Fraction(99) - Fraction(1, 10**30)
    standing, _ = judge(Standing(), 1, just_below, RULE)
    assert standing.state is NOT_REACHED
    standing, _ = judge(Standing(), 1, Fraction(99), RULE)
    assert standing.state is REACHED


def test_a_steady_standing_does_not_change_any_more() -> None:
    standing = Standing()
    for slot in range(1, 4):
        standing, _ = judge(standing, slot, Decimal(100), RULE)
    assert judge(standing, 4, Decimal(100), RULE) == (standing, None)


def test_the_rate_of_a_window() -> None:
    assert window_rate(1960, 3800, 96, 96, AutarkyRule()) == Fraction(196_000, 3800)
    assert window_rate(1960, 3800, 87, 96, AutarkyRule()) is not None
    assert window_rate(1960, 3800, 86, 96, AutarkyRule()) is None
    assert window_rate(0, 0, 96, 96, AutarkyRule()) is None
    assert window_rate(0, 0, 0, 0, AutarkyRule()) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"window_slots": 0},
        {"dwell_slots": 0},
        {"threshold_percent": Decimal(101)},
        {"hysteresis_points": Decimal(-1)},
        {"hysteresis_points": Decimal(100)},
        {"minimum_coverage_percent": Decimal(101)},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match=r"least one|lies in"):
        AutarkyRule(**settings)  # type: ignore[arg-type]


def test_a_rate_that_is_no_number_is_refused() -> None:
    for rate in (Decimal("nan"), Decimal("inf")):
        with pytest.raises(ValueError, match=r".+"):
            judge(Standing(), 1, rate, RULE)


RATES = st.lists(
    st.sampled_from([None, *map(Decimal, (90, 93, 94, 96, 99, 100))]),
    max_size=60,
)


def speaks_for(state: AutarkyState, rate: Decimal | None) -> bool:
    if rate is None:
        return False
    return rate >= 99 if state is REACHED else rate < 94


@given(RATES, st.integers(1, 5))
def test_it_never_flaps_inside_the_dwell(rates: list[Decimal | None], dwell: int) -> None:
    rule = AutarkyRule(window_slots=1, dwell_slots=dwell)
    standing, told_in = Standing(), 0
    for slot, rate in enumerate(rates, start=1):
        before = standing
        standing, change = judge(standing, slot, rate, rule)
        assert (change is not None) == (standing.state is not before.state)
        if change is None or not change.notify:
            continue
        seen = rates[change.since_slot - 1 : slot]
        assert len(seen) == dwell
        assert all(speaks_for(change.to_state, rate) for rate in seen)
        assert change.since_slot > told_in
        told_in = slot


@given(RATES)
def test_a_state_that_people_know_is_not_told_again(rates: list[Decimal | None]) -> None:
    states = [state for _, state, _ in told(*[None if rate is None else str(rate) for rate in rates])]
    assert all(one is not next_one for one, next_one in pairwise(states))
