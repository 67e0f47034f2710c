"""The newest slots' balances as they stand in household_energy, in memory: what a worker has just written it
need not read again to settle or to correct.

All of a slot is known that nobody had written to when the partition was taken: what lies in it since, this
worker has written. Rows and this belong to the same transactions and are thrown away together.
"""

import numpy as np

from projections.binary_copy import Array, Ints
from projections.household_balance import Balances, no_balances
from projections.metered_homes import Homes

MOST_SLOTS = 3
_NONE = -1


class OpenSlots:
    """Balances by household index of at most MOST_SLOTS slots; `loaded[partition]`: its newest before."""

    def __init__(self, loaded: Ints) -> None:
        self._loaded = loaded
        self._forgotten = _NONE  # of slots up to this one nothing is known any more
        self._slots: dict[int, Balances] = {}

    def note(self, homes: Homes, household: Ints, slot: Ints, rows: Balances) -> None:
        """These rows stand at these keys now."""
        slots = np.unique(slot[slot > self._forgotten]).tolist()
        kept = sorted({*self._slots, *slots})[-MOST_SLOTS:]
        for forgotten in {*self._slots, *slots} - set(kept):
            self._slots.pop(forgotten, None)
            self._forgotten = max(self._forgotten, forgotten)
        for number in set(slots) & set(kept):
            places = np.flatnonzero(slot == number)
            at, held = household[places], self._grown(number, homes.households.count)
            held.exists[at], held.community[at] = rows.exists[places], rows.community[places]
            held.complete[at], held.values[at] = rows.complete[places], rows.values[places]

    def balances(self, homes: Homes, household: Ints, slot: Ints) -> tuple[Balances, Array]:
        """The rows at these keys as far as they are known, and where they are."""
        found = no_balances(len(household))
        behind = np.maximum(self._loaded, self._forgotten)[homes.households["partition"][household]]
        known = slot > behind
        for number in self._slots:
            places = np.flatnonzero(known & (slot == number))
            if len(places):
                at, held = household[places], self._grown(number, homes.households.count)
                found.exists[places], found.community[places] = held.exists[at], held.community[at]
                found.complete[places], found.values[places] = held.complete[at], held.values[at]
        return found, known

    def measured(
        self, homes: Homes, partitions: list[int], before: Ints, after: Ints
    ) -> tuple[Ints, Ints] | None:
        """The keys with a row of these partitions, before < slot <= after; None where that is not known."""
        if (before[partitions] < np.maximum(self._loaded[partitions], self._forgotten)).any():
            return None
        is_asked = np.zeros(len(before), dtype=np.bool_)
        is_asked[partitions] = True
        households, slots = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for number in sorted(self._slots):
            held = np.flatnonzero(self._slots[number].exists)
            partition = homes.households["partition"][held]
            held = held[is_asked[partition] & (before[partition] < number) & (number <= after[partition])]
            households.append(held)
            slots.append(np.full(len(held), number))
        return np.concatenate(households), np.concatenate(slots)

    def _grown(self, number: int, count: int) -> Balances:
        """A slot's rows, with room for as many households."""
        held = self._slots.get(number, no_balances(0))
        missing = count - len(held.exists)
        if missing > 0:
            more = no_balances(missing)
            held = self._slots[number] = Balances(
                np.concatenate([held.exists, more.exists]),
                np.concatenate([held.community, more.community]),
                np.concatenate([held.complete, more.complete]),
                np.concatenate([held.values, more.values]),
            )
        return held
