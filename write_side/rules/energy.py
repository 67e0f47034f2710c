"""Energy of a household's slot: its balance, its flows in their fixed order, and the rates of their sums."""

from dataclasses import dataclass
from decimal import Context, Decimal

import numpy as np
from numpy.typing import NDArray

WattHours = NDArray[np.int64]

_DIVISION = Context(prec=28)


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What a house took and gave in a slot, Wh, all of one shape and none negative.

    `unexplained_wh` is what the meters saw leave the house beyond all that entered it: 0 where they agree.
    """

    consumption_wh: WattHours
    grid_import_wh: WattHours
    grid_export_wh: WattHours
    unexplained_wh: WattHours


@dataclass(frozen=True, kw_only=True)
class Flows:
    """Where a slot's energy came from and went to, Wh at the battery's terminals, arrays of one shape."""

    pv_to_load: WattHours
    pv_to_battery: WattHours
    pv_to_grid: WattHours
    grid_to_battery: WattHours
    battery_to_load: WattHours
    battery_to_grid: WattHours
    grid_to_load: WattHours


def household_balance(
    *,
    metered: NDArray[np.bool_],
    production_wh: WattHours,
    charge_wh: WattHours,
    discharge_wh: WattHours,
    devices_wh: WattHours,
    grid_import_wh: WattHours,
    grid_export_wh: WattHours,
) -> Balance:
    """Consumption, import and export from `P + B- + I = C + B+ + X`; any shapes that broadcast, Wh per slot.

    Where `metered`, import and export are measured and consumption follows (`devices_wh` is not read);
    elsewhere consumption is the sum of the devices, base load included, and import and export follow (theirs
    are not read).
    """
    net_production = production_wh + discharge_wh - charge_wh
    measured = net_production + grid_import_wh - grid_export_wh
    needed = devices_wh - net_production
    return Balance(
        consumption_wh=np.where(metered, np.maximum(measured, 0), devices_wh),
        grid_import_wh=np.where(metered, grid_import_wh, np.maximum(needed, 0)),
        grid_export_wh=np.where(metered, grid_export_wh, np.maximum(-needed, 0)),
        unexplained_wh=np.where(metered, np.maximum(-measured, 0), 0),
    )


def flows(
    production_wh: WattHours, consumption_wh: WattHours, charge_wh: WattHours, discharge_wh: WattHours
) -> Flows:
    """Each slot's flows, Wh: panels serve load, then battery, then grid; batteries load, then grid."""
    pv_to_load = np.minimum(production_wh, consumption_wh)
    pv_to_battery = np.minimum(production_wh - pv_to_load, charge_wh)
    battery_to_load = np.minimum(discharge_wh, consumption_wh - pv_to_load)
    return Flows(
        pv_to_load=pv_to_load,
        pv_to_battery=pv_to_battery,
        pv_to_grid=production_wh - pv_to_load - pv_to_battery,
        grid_to_battery=charge_wh - pv_to_battery,
        battery_to_load=battery_to_load,
        battery_to_grid=discharge_wh - battery_to_load,
        grid_to_load=consumption_wh - pv_to_load - battery_to_load,
    )


def received_to(flows: Flows, received_wh: WattHours) -> tuple[WattHours, WattHours]:
    """What a community gave a house, to load and to battery, Wh: load first, never above its own import.

    A house whose meter ran both ways in one slot may have received more than both: it exported the rest
    again.
    """
    to_load = np.minimum(received_wh, flows.grid_to_load)
    return to_load, np.minimum(received_wh - to_load, flows.grid_to_battery)


def self_sufficiency_percent(own_to_load_wh: int, consumption_wh: int) -> Decimal | None:
    """The autarky rate from sums: load served by panels and own battery over consumption, if there is any.

    A community counts what was received too, and local colour from its batteries.
    """
    return _percent(own_to_load_wh, consumption_wh)


def self_consumption_percent(production_wh: int, own_to_grid_wh: int) -> Decimal | None:
    """The share of production that stayed, from sums; `own_to_grid_wh`: panels and own battery to grid."""
    return _percent(production_wh - own_to_grid_wh, production_wh)


def coverage_percent(production_wh: int, consumption_wh: int) -> Decimal | None:
    """Production over consumption, from sums; may pass 100 and is not autarky. None without consumption."""
    return _percent(production_wh, consumption_wh)


def _percent(part_wh: int, whole_wh: int) -> Decimal | None:
    if whole_wh == 0:
        return None
    return _DIVISION.divide(Decimal(100 * int(part_wh)), Decimal(int(whole_wh)))
