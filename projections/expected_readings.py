"""How many household-slots should have been measured, so that what is there can be set against it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Slots = NDArray[np.int64]


@dataclass(frozen=True)
class Span:
    """A household that is to be measured from a slot on, up to another or for good."""

    first: int
    end: int | None = None


def expected(spans: Iterable[Span], edges: Sequence[int], now_slot: int) -> Slots:
    """Household-slots expected in each bucket between two edges; none for slots that have not passed."""
    begun = np.minimum(np.asarray(edges, dtype=np.int64), now_slot)
    spans = list(spans)
    firsts = [span.first for span in spans]
    ends = [max(span.first, span.end) for span in spans if span.end is not None]
    return np.diff(_elapsed(firsts, begun) - _elapsed(ends, begun))


def _elapsed(since: Sequence[int], at: Slots) -> Slots:
    """The slots elapsed at each of `at`, summed over all that began before it."""
    begins = np.sort(np.asarray(since, dtype=np.int64))
    running = np.concatenate([[0], np.cumsum(begins)])
    begun = np.searchsorted(begins, at)
    elapsed: Slots = begun * at - running[begun]
    return elapsed
