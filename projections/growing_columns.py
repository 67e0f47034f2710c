"""Columns of whole numbers that grow together, and which of their rows belong to whom."""

import numpy as np

from projections.binary_copy import Ints


class Columns:
    """Rows of int64 columns; a column by its name is an array that may be written to, not appended to."""

    def __init__(self, *names: str) -> None:
        self._arrays = {name: np.empty(1024, dtype=np.int64) for name in names}
        self._new: list[tuple[int, ...]] = []  # not in the arrays yet: they come in together
        self.count = 0

    def __getitem__(self, name: str) -> Ints:
        if self._new:
            self._bring_in()
        return self._arrays[name][: self.count]

    def append(self, *values: int) -> int:
        """One row more, its values in the order of the names; its number."""
        self._new.append(values)
        self.count += 1
        return self.count - 1

    def _bring_in(self) -> None:
        rows = np.array(self._new, dtype=np.int64)
        begin, room = self.count - len(rows), len(next(iter(self._arrays.values())))
        for column, (name, array) in enumerate(self._arrays.items()):
            if self.count > room:
                more = np.empty(max(room, self.count - room), dtype=np.int64)
                self._arrays[name] = array = np.concatenate([array, more])
            array[begin : self.count] = rows[:, column]
        self._new.clear()


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
