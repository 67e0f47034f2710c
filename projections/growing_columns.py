"""Columns of whole numbers that grow together, and which of their rows belong to whom."""

import numpy as np

from projections.binary_copy import Ints


class Columns:
    """Rows of int64 columns; a column by its name is an array that may be written to, not appended to."""

    def __init__(self, *names: str) -> None:
        self._arrays = {name: np.empty(1024, dtype=np.int64) for name in names}
        self.count = 0

    def __getitem__(self, name: str) -> Ints:
        return self._arrays[name][: self.count]

    def append(self, **values: int) -> int:
        """One row more; its number."""
        if self.count == len(next(iter(self._arrays.values()))):
            self._arrays = {
                name: np.concatenate([array, np.empty_like(array)]) for name, array in self._arrays.items()
            }
        for name, value in values.items():
            self._arrays[name][self.count] = value
        self.count += 1
        return self.count - 1


class Grouped:
    """Entries by their owner: `owners[entry]` is the owner's number, below `count`."""

    def __init__(self, owners: Ints, count: int) -> None:
        self._order = np.argsort(owners, kind="stable")
        self._starts = np.searchsorted(owners[self._order], np.arange(count + 1))

    def expand(self, wanted: Ints) -> tuple[Ints, Ints]:
        """For each place in `wanted`, an array of owners, all entries: (places, entries), of one length."""
        first = self._starts[wanted]
        lengths = self._starts[wanted + 1] - first
        places = np.repeat(np.arange(len(wanted)), lengths)
        within = np.arange(len(places)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return places, self._order[first[places] + within]
