"""The rule of autarky for everybody at once: the same judgements as `rules.autarky`, on columns.

Sums are whole Wh and thresholds whole numbers after scaling, so the comparison is exact; where a product
could pass 64 bits the same expressions run on Python's integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from write_side.rules.autarky import AutarkyRule, AutarkyState

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
# A state is its place here; a `known` state of 0 means that there was none before.
STATES = (AutarkyState.UNKNOWN, AutarkyState.NOT_REACHED, AutarkyState.REACHED)
UNKNOWN, NOT_REACHED, REACHED = range(len(STATES))
_LARGEST = 2**62


@dataclass(frozen=True)
class Sums:
    """Sums of windows, one row per end of a window, the newest first, one column per subject: Wh, slots."""

    own_wh: Ints
    consumption_wh: Ints
    counted: Ints


@dataclass(frozen=True)
class Judged:
    """The states after a closing, how many slots before it their dwell began, and who is to be told."""

    state: Ints
    slots_back: Ints
    notify: Flags


def judge_all(
    state: Ints, known: Ints, sums: Sums, expected: Ints, rules: Sequence[AutarkyRule], rule: Ints
) -> Judged:
    """Judges every subject at a closing.

    `rule` is each subject's place in `rules`; `expected` the slots its windows should count. There are rows
    of sums for as many slots as the longest dwell among the rules in use.
    """
    judged, above, below = _compared(sums, expected, rules, rule)
    dwell = np.array([each.dwell_slots for each in rules], dtype=np.int64)[rule]
    judged_run, above_run, below_run = (
        np.minimum(_latest_run(flags, dwell), dwell) for flags in (judged, above, below)
    )
    first = np.where(above[0], REACHED, NOT_REACHED)
    settled = np.select(
        [above_run >= dwell, below_run >= dwell, (judged_run >= dwell) & (known > 0)],
        [np.full_like(state, REACHED), np.full_like(state, NOT_REACHED), known],
        state,
    )
    now = np.where(judged[0], np.where(known == 0, first, settled), UNKNOWN)
    back = np.where(judged[0] & (known > 0), dwell - 1, 0)
    known_now = np.where(now == UNKNOWN, known, now)
    return Judged(now, back, (known > 0) & (known_now != known))


def _latest_run(flags: Flags, dwell: Ints) -> Ints:
    """How many of the newest slots hold without a break, looking back no further than the dwell."""
    run = np.zeros(flags.shape[1], dtype=np.int64)
    holds = np.ones(flags.shape[1], dtype=np.bool_)
    for back in range(len(flags)):
        holds = holds & flags[back] & (back < dwell)
        run += holds
    return run


def _compared(
    sums: Sums, expected: Ints, rules: Sequence[AutarkyRule], rule: Ints
) -> tuple[Flags, Flags, Flags]:
    """Per end of a window and subject: whether it is judged, and then at or above, or below the bounds."""
    scale = 10 ** max((_decimals(each) for each in rules), default=0)
    bounds = [
        [
            int(each.threshold_percent * scale),
            int((each.threshold_percent - each.hysteresis_points) * scale),
            int(each.minimum_coverage_percent * scale),
        ]
        for each in rules
    ]
    largest = max((int(values.max(initial=0)) for values in (*vars(sums).values(), expected)), default=0)
    kind = np.int64 if 100 * scale * max(largest, 1) < _LARGEST else np.object_
    upper, lower, coverage = np.array(bounds, dtype=kind).reshape(-1, 3)[rule].T
    own, consumed = sums.own_wh.astype(kind), sums.consumption_wh.astype(kind)
    counted = sums.counted.astype(kind)
    covered = np.asarray(100 * scale * counted >= coverage * expected.astype(kind), dtype=np.bool_)
    judged = covered & (sums.counted > 0) & (sums.consumption_wh > 0)
    above = judged & np.asarray(100 * scale * own >= upper * consumed, dtype=np.bool_)
    below = judged & np.asarray(100 * scale * own < lower * consumed, dtype=np.bool_)
    return judged, above, below


def _decimals(rule: AutarkyRule) -> int:
    values = (rule.threshold_percent, rule.hysteresis_points, rule.minimum_coverage_percent)
    return max(0, *(-int(value.as_tuple().exponent) for value in values))
