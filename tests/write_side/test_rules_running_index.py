"""Whole Wh per slot from running indices and coarser data; the rounding row of example 1."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_side.rules.running_index import energy_between, energy_wh, rounded_wh, slot_energies, spread

DAY = 96
NUMBERS = st.one_of(st.integers(0, 10**9), st.decimals(0, 10**9, places=3), st.floats(0, 1e9))


def day_of_indices(power_w: str) -> list[Fraction]:
    return [energy_wh(Decimal(power_w), 900 * slot) for slot in range(DAY + 1)]


def total(slots: list[int | None]) -> int:
    return sum(slot for slot in slots if slot is not None)


def test_example_1_a_standby_of_one_watt() -> None:
    slots = slot_energies(day_of_indices("1"))
    assert slots[:8] == [0, 1, 0, 0, 0, 1, 0, 0]
    assert total(slots) == 24


def test_example_1_a_load_of_55_point_2_watts() -> None:
    slots = slot_energies(day_of_indices("55.2"))
    assert total(slots) == 1325
    assert sum(rounded_wh(energy_wh(Decimal("55.2"), 900)) for _ in range(DAY)) == 1344


def test_example_1_the_same_from_half_hours() -> None:
    assert total(spread([energy_wh(Decimal("55.2"), 1800)] * 48, 2)) == 1325
    assert spread([energy_wh(1, 3600)] * 24, 4) == slot_energies(day_of_indices("1"))


def test_halves_are_rounded_up() -> None:
    assert [rounded_wh(index) for index in (0, 0.5, 1.5, 2.5, Decimal("2.4999"))] == [0, 1, 2, 3, 2]


def test_a_falling_index_is_a_reset() -> None:
    assert slot_energies([100, 180, 3, 50]) == [80, None, 47]
    assert energy_between(100.4, 100.3) is None
    assert energy_between(100, 100) == 0


def test_a_missing_neighbour_leaves_both_slots_open() -> None:
    assert slot_energies([100, None, 180, 200]) == [None, None, 20]
    assert slot_energies([100]) == []


def test_gaps_in_coarse_data_stay_gaps() -> None:
    assert spread([10, None, 10], 4) == [3, 2, 3, 2, None, None, None, None, 3, 2, 3, 2]


def test_one_part_is_the_series_itself_rounded_as_it_runs() -> None:
    assert spread([Decimal("0.4")] * 5, 1) == [0, 1, 0, 1, 0]


def test_what_is_no_number_or_no_part_is_refused() -> None:
    for index in (float("nan"), float("inf"), Decimal("inf")):
        with pytest.raises(ValueError, match=r".+"):
            rounded_wh(index)
    with pytest.raises(ValueError, match="0 slots"):
        spread([1], 0)


@given(st.lists(NUMBERS, min_size=2, max_size=20))
def test_slots_sum_to_the_index_within_half_a_wh_at_each_end(steps: list[int | Decimal | float]) -> None:
    indices = sorted(Fraction(step) for step in steps)
    assert total(slot_energies(indices)) == rounded_wh(indices[-1]) - rounded_wh(indices[0])
    assert abs(total(slot_energies(indices)) - (indices[-1] - indices[0])) <= 1


@given(st.lists(st.one_of(st.none(), NUMBERS), max_size=12), st.integers(1, 8))
def test_spreading_keeps_the_energy_and_is_even(
    energies: list[int | Decimal | float | None], parts: int
) -> None:
    slots = spread(energies, parts)
    assert len(slots) == parts * len(energies)
    energy_in = sum((Fraction(energy) for energy in energies if energy is not None), Fraction(0))
    assert abs(total(slots) - energy_in) <= Fraction(1, 2)
    for number, energy in enumerate(energies):
        own = slots[number * parts : (number + 1) * parts]
        if energy is None:
            assert own == [None] * parts
        else:
            assert all(slot is not None and abs(slot - Fraction(energy) / parts) <= 1 for slot in own)
