"""A household's stored energy in three colours: own, local (received from its community) and grid.

All batteries of a house are one stock. A `Stock` is six integers per household that fit table columns: three
colours in whole Wh, and the parts of a Wh that charging has not yet filled, in permille-Wh (Wh times the
efficiency in permille). Losses are booked on charging: what is stored in all is the floor of the running
total of charge times efficiency. Own and local are floors of their own running totals; grid is the rest, so
a part of a Wh is never called own or local before it is whole.
"""

from dataclasses import dataclass

import numpy as np

from write_side.rules.energy import WattHours


@dataclass(frozen=True, kw_only=True)
class Colours:
    """Energy by its origin, whole Wh, one entry a household."""

    own: WattHours
    local: WattHours
    grid: WattHours

    @property
    def total(self) -> WattHours:
        """All colours together, Wh."""
        return self.own + self.local + self.grid


@dataclass(frozen=True, kw_only=True)
class Stock:
    """What is stored, by colour, and carries in permille-Wh: total below 1000, own plus local below 3000."""

    stored: Colours
    carry_own: WattHours
    carry_local: WattHours
    carry_total: WattHours


@dataclass(frozen=True, kw_only=True)
class Discharged:
    """A slot's discharge by colour, to the house's load and to the grid, Wh."""

    to_load: Colours
    to_grid: Colours


def empty_stock(households: int) -> Stock:
    """The stock of so many households whose batteries are empty, or of unknown content."""
    zero = np.zeros(households, dtype=np.int64)
    return Stock(
        stored=Colours(own=zero, local=zero, grid=zero), carry_own=zero, carry_local=zero, carry_total=zero
    )


def step(
    stock: Stock,
    *,
    charge: Colours,
    stored_permille_wh: WattHours,
    to_load_wh: WattHours,
    to_grid_wh: WattHours,
    capacity_wh: WattHours | None = None,
) -> tuple[Stock, Discharged]:
    """One slot for all households: the charge is stored, then the discharge taken. Arrays of one length, Wh.

    `charge` is measured at the terminals, by colour; `stored_permille_wh` is the sum over a house's
    batteries of charge times round-trip efficiency in permille, which colours share in proportion. A
    discharge beyond the known stock (unknown first content, missing readings) counts as grid and leaves 0.
    Above `capacity_wh` (the efficiency is better on paper) the overflow is lost, all colours in proportion.
    """
    charged = _charge(stock, charge, stored_permille_wh)
    discharge_wh = to_load_wh + to_grid_wh
    known = np.minimum(discharge_wh, charged.stored.total)
    drawn = _in_proportion(charged.stored, known)
    left = _minus(charged.stored, drawn)
    if capacity_wh is not None:
        left = _minus(left, _in_proportion(left, np.maximum(left.total - capacity_wh, 0)))
    drawn = Colours(own=drawn.own, local=drawn.local, grid=drawn.grid + discharge_wh - known)
    to_load = _in_proportion(drawn, to_load_wh)
    after = Stock(
        stored=left,
        carry_own=charged.carry_own,
        carry_local=charged.carry_local,
        carry_total=charged.carry_total,
    )
    return after, Discharged(to_load=to_load, to_grid=_minus(drawn, to_load))


def _charge(stock: Stock, charge: Colours, stored_permille_wh: WattHours) -> Stock:
    charged_wh = np.maximum(charge.total, 1)
    own = stock.carry_own + stored_permille_wh * charge.own // charged_wh
    local = stock.carry_local + stored_permille_wh * charge.local // charged_wh
    total = stock.carry_total + stored_permille_wh
    gain = total // 1000
    # A Wh filled by parts of own and local is called grid until one of them is whole. If it has left
    # meanwhile, that colour waits for the total.
    room = gain + stock.stored.grid
    own_gain = np.minimum(own // 1000, room)
    local_gain = np.minimum(local // 1000, room - own_gain)
    return Stock(
        stored=Colours(
            own=stock.stored.own + own_gain,
            local=stock.stored.local + local_gain,
            grid=stock.stored.grid + gain - own_gain - local_gain,
        ),
        carry_own=own - 1000 * own_gain,
        carry_local=local - 1000 * local_gain,
        carry_total=total - 1000 * gain,
    )


def _in_proportion(stored: Colours, taken_wh: WattHours) -> Colours:
    """`taken_wh` (at most all) out of the colours: own and local rounded down, the rest grid.

    Where both round down and no grid is there for the Wh they leave open, local gives it: it then always
    holds one.
    """
    total = np.maximum(stored.total, 1)
    own = taken_wh * stored.own // total
    local = taken_wh * stored.local // total
    local = local + np.maximum(taken_wh - own - local - stored.grid, 0)
    return Colours(own=own, local=local, grid=taken_wh - own - local)


def _minus(stored: Colours, taken: Colours) -> Colours:
    return Colours(
        own=stored.own - taken.own, local=stored.local - taken.local, grid=stored.grid - taken.grid
    )
