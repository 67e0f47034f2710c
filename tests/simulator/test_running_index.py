"""The running index is rounded, never the slot."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from simulator.running_index import RunningIndex


def test_a_standby_of_1_w_is_24_wh_a_day() -> None:
    index = RunningIndex()
    slots = [index.add(Fraction(1, 4)) for _ in range(96)]
    assert slots[:8] == [0, 1, 0, 0, 0, 1, 0, 0]
    assert sum(slots) == 24


def test_55_2_w_all_day_are_1325_wh() -> None:
    index = RunningIndex()
    assert sum(index.add(Fraction(552, 40)) for _ in range(96)) == 1325


@given(st.lists(st.fractions(min_value=0, max_value=10_000), max_size=50))
def test_any_span_is_exact_within_1_wh(energies: list[Fraction]) -> None:
    index = RunningIndex()
    slots = [index.add(energy) for energy in energies]
    assert all(wh >= 0 for wh in slots)
    for first in range(len(slots)):
        assert abs(sum(slots[first:]) - sum(energies[first:])) <= 1


def test_it_goes_on_from_its_written_total() -> None:
    index = RunningIndex()
    index.add(Fraction(1, 3))
    assert RunningIndex(str(index.total_wh)).add(Fraction(1, 3)) == 1
