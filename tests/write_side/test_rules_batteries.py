"""The stock in three colours: examples 1 and 3 of the worked numbers, and what holds for any battery."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_side.rules.batteries import Colours, Discharged, Stock, empty_stock, step
from write_side.rules.energy import WattHours


class Slot(NamedTuple):
    """One household's use of its batteries in a slot, Wh; efficiency in permille."""

    own: int = 0
    local: int = 0
    grid: int = 0
    to_load: int = 0
    to_grid: int = 0
    efficiency: int = 900


def wh(*values: int) -> WattHours:
    return np.array(values, dtype=np.int64)


def used(stock: Stock, slot: Slot, capacity_wh: int | None = None) -> tuple[Stock, Discharged]:
    return step(
        stock,
        charge=Colours(own=wh(slot.own), local=wh(slot.local), grid=wh(slot.grid)),
        stored_permille_wh=wh((slot.own + slot.local + slot.grid) * slot.efficiency),
        to_load_wh=wh(slot.to_load),
        to_grid_wh=wh(slot.to_grid),
        capacity_wh=None if capacity_wh is None else wh(capacity_wh),
    )


def held(colours: Colours) -> tuple[int, int, int]:
    return int(colours.own[0]), int(colours.local[0]), int(colours.grid[0])


def after(*slots: Slot) -> Stock:
    stock = empty_stock(1)
    for slot in slots:
        stock, _ = used(stock, slot)
    return stock


def test_example_1_stock_and_colours() -> None:
    stock, _ = used(empty_stock(1), Slot(own=1500))
    assert held(stock.stored) == (1350, 0, 0)
    stock, _ = used(stock, Slot(grid=1000))
    assert held(stock.stored) == (1350, 0, 900)
    stock, third = used(stock, Slot(to_load=1600))
    assert held(third.to_load) == (960, 0, 640)
    assert held(third.to_grid) == (0, 0, 0)
    assert held(stock.stored) == (390, 0, 260)
    stock, fourth = used(stock, Slot(to_grid=600))
    assert held(fourth.to_grid) == (360, 0, 240)
    assert held(stock.stored) == (30, 0, 20)


def test_example_3_half_a_kilowatt_hour_in_fifty_wh_remain() -> None:
    stock, _ = used(empty_stock(1), Slot(own=500))
    assert held(stock.stored) == (450, 0, 0)
    stock, out = used(stock, Slot(to_load=300, to_grid=100))
    assert held(out.to_load) == (300, 0, 0)
    assert held(out.to_grid) == (100, 0, 0)
    assert held(stock.stored) == (50, 0, 0)


def test_a_trickle_is_stored_by_its_running_total() -> None:
    stock = after(*[Slot(own=1)] * 10)
    assert held(stock.stored) == (9, 0, 0)


def test_parts_of_two_colours_make_a_grid_coloured_wh_until_they_are_whole() -> None:
    stock = after(Slot(own=1, efficiency=600), Slot(local=1, efficiency=600))
    assert held(stock.stored) == (0, 0, 1)
    assert held(after(*[Slot(own=1, local=1, efficiency=600)] * 5).stored) == (3, 3, 0)


@pytest.mark.parametrize("colour", ["own", "local"])
def test_a_part_that_left_as_grid_is_not_given_out_again(colour: str) -> None:
    stock = after(Slot(own=1, efficiency=600), Slot(local=1, efficiency=600), Slot(to_load=1))
    more = Slot(efficiency=400)._replace(**{colour: 1})
    assert held(stock.stored) == (0, 0, 0)
    stock, _ = used(stock, more)
    assert held(stock.stored) == (0, 0, 0)
    stock, _ = used(stock, more)
    assert held(stock.stored) == ((1, 0, 0) if colour == "own" else (0, 1, 0))


def test_several_batteries_are_one_stock() -> None:
    stock, _ = step(
        empty_stock(1),
        charge=Colours(own=wh(300), local=wh(0), grid=wh(100)),
        stored_permille_wh=wh(200 * 900 + 200 * 800),
        to_load_wh=wh(0),
        to_grid_wh=wh(0),
    )
    assert held(stock.stored) == (255, 0, 85)


def test_energy_from_before_the_first_reading_counts_as_grid() -> None:
    stock, out = used(after(Slot(own=100)), Slot(to_load=100, to_grid=50))
    assert held(out.to_load) == (60, 0, 40)
    assert held(out.to_grid) == (30, 0, 20)
    assert held(stock.stored) == (0, 0, 0)


def test_a_wh_that_no_grid_colour_can_give_comes_from_local() -> None:
    stock, out = used(after(Slot(own=1, local=1, efficiency=1000)), Slot(to_load=1))
    assert held(out.to_load) == (0, 1, 0)
    assert held(stock.stored) == (1, 0, 0)


def test_stock_never_passes_the_capacity() -> None:
    stock, _ = used(empty_stock(1), Slot(own=1500, grid=500), capacity_wh=1000)
    assert held(stock.stored) == (750, 0, 250)
    stock, _ = used(stock, Slot(grid=100, to_load=95), capacity_wh=1000)
    assert sum(held(stock.stored)) == 995


def test_households_do_not_touch_each_other() -> None:
    both, out = step(
        empty_stock(2),
        charge=Colours(own=wh(1500, 0), local=wh(0, 200), grid=wh(0, 0)),
        stored_permille_wh=wh(1500 * 900, 200 * 950),
        to_load_wh=wh(0, 100),
        to_grid_wh=wh(50, 0),
    )
    assert both.stored.own.tolist() == [1300, 0]
    assert both.stored.local.tolist() == [0, 90]
    assert out.to_load.local.tolist() == [0, 100]
    assert out.to_grid.own.tolist() == [50, 0]


SMALL = st.integers(0, 3)
LARGE = st.integers(0, 4000)
SLOTS = st.lists(
    st.one_of(
        st.builds(Slot, SMALL, SMALL, SMALL, SMALL, SMALL, st.integers(1, 1000)),
        st.builds(Slot, LARGE, LARGE, LARGE, LARGE, LARGE, st.integers(1, 1000)),
    ),
    max_size=60,
)


@given(SLOTS)
def test_colours_are_never_negative_and_sum_to_the_stock(slots: list[Slot]) -> None:
    stock, stored_permille, own_permille, local_permille, drawn, own_drawn = empty_stock(1), 0, 0, 0, 0, 0
    for slot in slots:
        stored_permille += (slot.own + slot.local + slot.grid) * slot.efficiency
        own_permille += slot.own * slot.efficiency
        local_permille += slot.local * slot.efficiency
        before = stored_permille // 1000 - drawn
        stock, out = used(stock, slot)
        assert min(*held(stock.stored), *held(out.to_load), *held(out.to_grid)) >= 0
        assert sum(held(out.to_load)) == slot.to_load
        assert sum(held(out.to_grid)) == slot.to_grid
        drawn += min(before, slot.to_load + slot.to_grid)
        assert sum(held(stock.stored)) == stored_permille // 1000 - drawn
        own_drawn += held(out.to_load)[0] + held(out.to_grid)[0]
        assert held(stock.stored)[0] + own_drawn <= own_permille // 1000
        assert held(stock.stored)[0] + own_drawn >= own_permille // 1000 - 3
        assert int(stock.carry_total[0]) == stored_permille % 1000
        assert int(stock.carry_own[0] + stock.carry_local[0]) < 3000


@given(SLOTS)
def test_a_house_with_panels_alone_has_only_own_energy(slots: list[Slot]) -> None:
    stock = empty_stock(1)
    for slot in slots:
        stock, out = used(stock, slot._replace(local=0, grid=0, to_load=min(slot.to_load, 1), to_grid=0))
        assert held(stock.stored)[1:] == (0, 0)
        assert held(out.to_load)[1] == 0


@given(SLOTS, st.integers(0, 5000))
def test_a_capacity_holds(slots: list[Slot], capacity_wh: int) -> None:
    stock = empty_stock(1)
    for slot in slots:
        stock, _ = used(stock, slot, capacity_wh)
        assert sum(held(stock.stored)) <= capacity_wh
        assert min(held(stock.stored)) >= 0
