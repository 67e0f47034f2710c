"""What a worker knows of the newest slots is what was noted, and it says where it does not know."""

from uuid import uuid4

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from projections.household_balance import Balances, no_balances
from projections.metered_homes import Homes, partition_of
from projections.open_slots import OpenSlots
from write_side.settings import PARTITIONS

AREAS = ("a", "b", "c")
HOMES = 9
LOADED = 3  # the newest slot in the tables when the partitions were taken


def _homes() -> Homes:
    homes = Homes()
    for number in range(HOMES):
        homes.add_household(number, uuid4(), AREAS[number % len(AREAS)], 45.8, 4.8)
    return homes


def _rows(stand: list[bool], value: int) -> Balances:
    rows = no_balances(len(stand))
    rows.exists[:] = stand
    rows.community[rows.exists], rows.complete[rows.exists] = value % 7, value % 2 == 0
    rows.values[rows.exists] = value
    return rows


_NOTES = st.lists(
    st.tuples(st.integers(0, 12), st.lists(st.tuples(st.integers(0, HOMES - 1), st.booleans()), max_size=6)),
    max_size=15,
)


@given(notes=_NOTES, before=st.integers(-1, 12), after=st.integers(-1, 13))
def test_what_is_known_is_what_was_noted(
    notes: list[tuple[int, list[tuple[int, bool]]]], before: int, after: int
) -> None:
    homes, slots = _homes(), OpenSlots(np.full(PARTITIONS, LOADED))
    table: dict[tuple[int, int], int] = {}
    for value, (slot, changes) in enumerate(notes):
        distinct = dict(changes)
        household = np.array(list(distinct), dtype=np.int64)
        slots.note(homes, household, np.full(len(distinct), slot), _rows(list(distinct.values()), value))
        for home, stands in distinct.items():
            table.pop((home, slot), None)
            if stands:
                table[home, slot] = value
    home_of, slot_of = np.divmod(np.arange(HOMES * 14), 14)
    found, known = slots.balances(homes, home_of, slot_of)
    for place in np.flatnonzero(known):
        expected = table.get((int(home_of[place]), int(slot_of[place])))
        assert found.exists[place] == (expected is not None)
        if expected is not None:
            assert (found.values[place] == expected).all()
            assert found.community[place] == expected % 7
    assert not known[slot_of <= LOADED].any()
    assert known[slot_of > max([LOADED, *(number for number, _ in notes)])].all()
    partitions = [partition_of(area) for area in AREAS[:2]]
    spans = np.full(PARTITIONS, before), np.full(PARTITIONS, after)
    keys = slots.measured(homes, partitions, *spans)
    if keys is not None:
        inside = {(home, number) for home, number in table if before < number <= after and home % 3 < 2}
        assert set(zip(*(part.tolist() for part in keys), strict=True)) == inside
    elif before >= LOADED:
        assert len({number for number, changes in notes if changes}) > 3
