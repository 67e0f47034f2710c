"""Sharing by the four keys: examples 2 and 3 of the worked numbers, exactness and speed."""

from fractions import Fraction
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from write_side.rules.energy import WattHours
from write_side.rules.sharing import (
    Key,
    Shared,
    dynamic_by_default,
    dynamic_simple,
    full_dynamic,
    largest_remainder,
    share,
    static,
)

# Example 2: households A, B (exports) and C, D, E (imports), one slot.
EXPORT = np.array([[700], [301], [0], [0], [0]])
IMPORT = np.array([[0], [0], [500], [400], [300]])
SLOT_0 = np.array([0])
FULL = np.zeros((5, 5), dtype=np.int64)
FULL[0, 2:] = [60, 20, 20]
FULL[1, 2:] = [50, 50, 0]


@pytest.mark.parametrize(
    ("key", "received", "from_givers", "left", "from_supplier"),
    [
        (dynamic_by_default, [417, 334, 250], [700, 301], [0, 0], [83, 66, 50]),
        (static(np.array([0, 0, 1, 1, 1])), [334, 334, 300], [677, 291], [23, 10], [166, 66, 0]),
        (
            dynamic_simple(np.array([[0], [0], [50], [30], [20]])),
            [500, 300, 200],
            [699, 301],
            [1, 0],
            [0, 100, 100],
        ),
        (full_dynamic(FULL, 100), [500, 290, 140], [648, 282], [52, 19], [0, 110, 160]),
    ],
    ids=["dynamic by default", "static", "dynamic simple", "full dynamic"],
)
def test_example_2_the_four_keys(
    key: Key, received: list[int], from_givers: list[int], left: list[int], from_supplier: list[int]
) -> None:
    shared = share(EXPORT, IMPORT, SLOT_0, key=key)
    assert shared.received[:, 0].tolist() == [0, 0, *received]
    assert shared.given[:, 0].tolist() == [*from_givers, 0, 0, 0]
    assert (EXPORT - shared.given)[:2, 0].tolist() == left
    assert (IMPORT - shared.received)[2:, 0].tolist() == from_supplier


def test_example_2_equal_remainders_turn_by_one_place_each_slot() -> None:
    export = np.array([[1001] * 3, [0] * 3, [0] * 3, [0] * 3])
    need = np.array([[0] * 3, [1000] * 3, [1000] * 3, [1000] * 3])
    shared = share(export, need, np.array([0, 1, 2]), key=static(np.array([0, 1, 1, 1])))
    assert shared.received[1:].T.tolist() == [[334, 334, 333], [333, 334, 334], [334, 333, 334]]


def test_example_2_full_dynamic_takes_from_its_givers_in_proportion() -> None:
    alone = np.zeros((5, 5), dtype=np.int64)
    alone[:, 2] = FULL[:, 2]
    shared = share(EXPORT, IMPORT, SLOT_0, key=full_dynamic(alone, 100))
    assert shared.received[:, 0].tolist() == [0, 0, 500, 0, 0]
    assert shared.given[:2, 0].tolist() == [368, 132]


def test_example_3_surplus_is_what_left_the_house() -> None:
    shared = share(np.array([[300, 100], [0, 0]]), np.array([[0, 0], [400, 400]]), np.array([1, 2]))
    assert shared.received.tolist() == [[0, 0], [300, 100]]
    assert shared.given.tolist() == [[300, 100], [0, 0]]


def test_a_turn_that_lasts_gives_everybody_the_same() -> None:
    slots = np.arange(1_960_000, 1_960_000 + 300)
    export = np.vstack([np.full(300, 1001), np.zeros((3, 300), dtype=np.int64)])
    need = np.vstack([np.zeros(300, dtype=np.int64), np.full((3, 300), 1000)])
    received = share(export, need, slots).received
    assert received.sum(axis=1).tolist() == [0, 100_100, 100_100, 100_100]


def test_nothing_to_share_and_nobody_to_share_with() -> None:
    none = np.zeros((2, 3), dtype=np.int64)
    some = np.full((2, 3), 5)
    slots = np.array([7, 8, 9])
    for export, need in ((none, some), (some, none), (none, none)):
        shared = share(export, need, slots)
        assert not shared.received.any()
        assert not shared.given.any()
    assert share(np.zeros((0, 3), dtype=np.int64), np.zeros((0, 3), dtype=np.int64), slots).given.size == 0
    assert share(none[:, :0], some[:, :0], slots[:0]).given.size == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        share(EXPORT, IMPORT[:4], SLOT_0)
    with pytest.raises(ValueError, match="shapes"):
        share(EXPORT, IMPORT, np.array([0, 1]))
    with pytest.raises(ValueError, match="negative"):
        share(-EXPORT, IMPORT, SLOT_0)
    with pytest.raises(ValueError, match="negative"):
        static(np.array([1, -1]))
    with pytest.raises(ValueError, match="more than the whole"):
        full_dynamic(np.array([[60, 50], [0, 0]]), 100)


@st.composite
def communities(draw: st.DrawFn) -> tuple[WattHours, WattHours, NDArray[np.int64], int]:
    households, slots = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    energy = st.one_of(st.just(0), st.integers(0, 7), st.integers(0, 20_000))
    rows = st.lists(
        st.lists(energy, min_size=slots, max_size=slots), min_size=households, max_size=households
    )
    first = draw(st.integers(0, 3_000_000))
    return (
        np.array(draw(rows)),
        np.array(draw(rows)),
        np.arange(first, first + slots),
        draw(st.integers(0, 99)),
    )


def check(shared: Shared, export: WattHours, need: WattHours) -> None:
    assert np.array_equal(shared.received.sum(axis=0), shared.given.sum(axis=0))
    for part, most in ((shared.received, need), (shared.given, export)):
        assert (part >= 0).all()
        assert (part <= most).all()


@given(communities())
def test_received_is_given_is_shared_to_the_wh(
    community: tuple[WattHours, WattHours, NDArray[np.int64], int],
) -> None:
    export, need, slots, seed = community
    households = len(export)
    parts = np.random.default_rng(seed).integers(0, 4, (households, households))
    keys = (static(parts[:, 0]), dynamic_simple(parts[:, :1]), full_dynamic(parts, 3 * households + 1))
    for key in keys:
        check(share(export, need, slots, key=key), export, need)
    shared = share(export, need, slots)
    check(shared, export, need)
    assert np.array_equal(shared.received.sum(axis=0), np.minimum(export.sum(axis=0), need.sum(axis=0)))


@given(communities())
def test_the_default_key_is_within_a_wh_of_the_exact_share(
    community: tuple[WattHours, WattHours, NDArray[np.int64], int],
) -> None:
    export, need, slots, _ = community
    received = share(export, need, slots).received
    for household, slot in np.ndindex(*need.shape):
        total = int(need[:, slot].sum())
        exact = Fraction(int(need[household, slot]) * min(int(export[:, slot].sum()), total), max(total, 1))
        assert abs(int(received[household, slot]) - exact) < 1


def test_a_larger_remainder_goes_before_the_turn() -> None:
    shares = largest_remainder(np.array([[11], [15], [14]]), np.array([10]), np.array([2]))
    assert shares[:, 0].tolist() == [1, 2, 1]


def test_two_hundred_households_and_a_day_take_milliseconds() -> None:
    random = np.random.default_rng(1)
    export, need = random.integers(0, 2000, (2, 200, 96))
    slots = np.arange(96)
    share(export, need, slots)
    begin = perf_counter()
    shared = share(export, need, slots)
    # A hundred times what it takes on an idle machine: the bound is on the method, not on the machine.
    assert perf_counter() - begin < 0.1
    check(shared, export, need)
