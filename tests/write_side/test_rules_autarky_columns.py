"""The rule on columns judges as the rule does: any history, any rules, everybody at once."""

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from write_side.rules.autarky import AutarkyRule, AutarkyState, Standing, judge, recount, window_rate
from write_side.rules.autarky_columns import STATES, Sums, judge_all

PERCENTS = st.sampled_from(
    [Decimal(value) for value in ("0", "1", "50", "90", "94.5", "99", "99.999", "100")]
)


@st.composite
def drawn_rules(draw: st.DrawFn) -> AutarkyRule:
    threshold = draw(PERCENTS)
    return AutarkyRule(
        window_slots=draw(st.integers(1, 4)),
        threshold_percent=threshold,
        hysteresis_points=min(threshold, draw(st.sampled_from([Decimal(0), Decimal("0.125"), Decimal(5)]))),
        dwell_slots=draw(st.integers(1, 4)),
        minimum_coverage_percent=draw(PERCENTS),
    )


WATT_HOURS = st.sampled_from([0, 1, 94, 99, 100, 200, 10**6, 10**17])
WINDOW = st.tuples(WATT_HOURS, WATT_HOURS, st.integers(0, 4))
SUBJECT = st.tuples(
    st.integers(0, 2),
    st.sampled_from(list(AutarkyState)),
    st.sampled_from([None, AutarkyState.REACHED, AutarkyState.NOT_REACHED]),
    st.lists(WINDOW, min_size=4, max_size=4),
    st.integers(0, 9),
)


def standing_of(state: AutarkyState, known: AutarkyState | None) -> Standing:
    """A standing as it can be: a state other than unknown is the one last known."""
    if state is not AutarkyState.UNKNOWN:
        known = state
    return Standing(state=state, since_slot=None if known is None else 1, known=known)


@given(st.lists(drawn_rules(), min_size=3, max_size=3), st.lists(SUBJECT, max_size=30))
def test_everybody_is_judged_as_one_by_one(rules: list[AutarkyRule], subjects: list[tuple]) -> None:  # type: ignore[type-arg]
    slot = 1000
    standings = [standing_of(state, known) for _, state, known, _, _ in subjects]
    windows = np.array([windows for *_, windows, _ in subjects], dtype=np.int64).reshape(-1, 4, 3)
    own, consumption, counted = np.moveaxis(windows, (2, 1), (0, 1))
    told = judge_all(
        np.array([STATES.index(each.state) for each in standings], dtype=np.int64),
        np.array(
            [0 if each.known is None else STATES.index(each.known) for each in standings], dtype=np.int64
        ),
        Sums(own, consumption, counted),
        np.array([expected for *_, expected in subjects], dtype=np.int64),
        rules,
        np.array([rule for rule, *_ in subjects], dtype=np.int64),
    )
    for number, (place, _, _, sums, expected) in enumerate(subjects):
        rule, standing = rules[place], standings[number]
        rates = [window_rate(*window, expected, rule) for window in sums]  # the newest first
        before = recount(standing, rates[rule.dwell_slots - 1 : 0 : -1], rule)
        after, change = judge(before, slot, rates[0], rule)
        assert STATES[told.state[number]] is after.state
        if change is not None:
            assert slot - told.slots_back[number] == change.since_slot
            assert told.notify[number] == change.notify
