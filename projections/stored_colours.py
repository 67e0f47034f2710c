"""What batteries hold by colour, carried from slot to slot: own, local and grid energy of each household."""

from dataclasses import dataclass

import numpy as np

from projections.binary_copy import Ints
from projections.metered_homes import KIND_CODE, Homes
from write_side.rules.batteries import Colours, Stock, step
from write_side.rules.energy import Flows

STOCK = (
    "stock_own_wh",
    "stock_local_wh",
    "stock_grid_wh",
    "carry_own_permille_wh",
    "carry_local_permille_wh",
    "carry_total_permille_wh",
)


@dataclass
class Discharges:
    """Discharge by colour and the stock after each key, Wh; `stock` has a column for each of STOCK."""

    own_to_load: Ints
    local_to_load: Ints
    own_to_grid: Ints
    stock: Ints


def no_discharges(count: int) -> Discharges:
    """Keys of homes without a battery."""
    zero = np.zeros(count, dtype=np.int64)
    return Discharges(zero, zero.copy(), zero.copy(), np.zeros((count, len(STOCK)), dtype=np.int64))


def carry_stock(
    homes: Homes, household: Ints, slot: Ints, flows: Flows, stored_permille_wh: Ints,
    received_to_battery: Ints, start: Ints,
) -> Discharges:  # fmt: skip
    """Walks each household's keys in the order of slots; keys are sorted by household, then slot.

    `start[key]` is the stock before its household's first key.
    """
    found = no_discharges(len(household))
    capacity = battery_capacity_wh(homes, household, slot)
    _, first, owner = np.unique(household, return_index=True, return_inverse=True)
    rank = np.arange(len(household)) - first[owner]
    stock = start[first]
    for turn in range(int(rank.max(initial=-1)) + 1):
        at = np.flatnonzero(rank == turn)
        charge = Colours(
            own=flows.pv_to_battery[at],
            local=received_to_battery[at],
            grid=flows.grid_to_battery[at] - received_to_battery[at],
        )
        after, discharged = step(
            _stock(stock[owner[at]]),
            charge=charge,
            stored_permille_wh=stored_permille_wh[at],
            to_load_wh=flows.battery_to_load[at],
            to_grid_wh=flows.battery_to_grid[at],
            capacity_wh=capacity[at],
        )
        lines = _lines(after)
        stock[owner[at]] = lines
        found.stock[at] = lines
        found.own_to_load[at] = discharged.to_load.own
        found.local_to_load[at] = discharged.to_load.local
        found.own_to_grid[at] = discharged.to_grid.own
    return found


def battery_capacity_wh(homes: Homes, household: Ints, slot: Ints) -> Ints:
    """The capacity of all batteries attached in each household's slot."""
    place, device = homes.attached(household, slot)
    battery = homes.devices["kind"][device] == KIND_CODE["BATTERY"]
    capacity = homes.devices["capacity"][device[battery]]
    return np.bincount(place[battery], capacity, minlength=len(household)).astype(np.int64)


def _stock(lines: Ints) -> Stock:
    own, local, grid, carry_own, carry_local, carry_total = lines.T
    return Stock(
        stored=Colours(own=own, local=local, grid=grid),
        carry_own=carry_own,
        carry_local=carry_local,
        carry_total=carry_total,
    )


def _lines(stock: Stock) -> Ints:
    stored = stock.stored
    columns = (stored.own, stored.local, stored.grid, stock.carry_own, stock.carry_local, stock.carry_total)
    return np.stack(columns, axis=1)
