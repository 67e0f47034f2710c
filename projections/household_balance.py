"""A household's slot from its devices' readings: what was measured, what follows, and what is missing."""

from dataclasses import dataclass

import numpy as np

from projections.binary_copy import MISSING, Array, Ints
from projections.metered_homes import KIND_CODE, Homes
from projections.metering_tables import VALUES
from write_side.rules.energy import household_balance
from write_side.rules.sun import is_night

# What the rounding of four measured terms to whole Wh can put between them.
ROUNDING_WH = 2
ENERGY = (*VALUES[:6], "appliances_wh", "stored_permille_wh")
CONSUMPTION, PRODUCTION, IMPORT, EXPORT, CHARGE, DISCHARGE, APPLIANCES, STORED = range(len(ENERGY))
TERMS = 6


@dataclass
class Balances:
    """One line a key: whether there is a row at all, its community, completeness, and ENERGY (or MISSING)."""

    exists: Array
    community: Ints
    complete: Array
    values: Ints

    def at(self, places: Array) -> "Balances":
        """The lines at these places."""
        return Balances(
            self.exists[places], self.community[places], self.complete[places], self.values[places]
        )


def no_balances(count: int) -> Balances:
    """As many keys without a row."""
    return Balances(
        np.zeros(count, dtype=np.bool_),
        np.full(count, MISSING, dtype=np.int64),
        np.zeros(count, dtype=np.bool_),
        np.full((count, len(ENERGY)), MISSING, dtype=np.int64),
    )


@dataclass(frozen=True)
class Devices:
    """The devices attached in the keys: the key's place, the device's index, its VALUES, if it reported."""

    place: Ints
    device: Ints
    values: Ints
    reported: Array


class _Terms:
    """Sums over the devices of each key; a sum with a part missing is MISSING."""

    def __init__(self, devices: Devices, keys: int) -> None:
        self._devices = devices
        self._keys = keys

    def count(self, chosen: Array) -> Ints:
        return np.bincount(self._devices.place[chosen], minlength=self._keys)

    def total(self, chosen: Array, values: Ints) -> Ints:
        gaps = self.count(chosen & (values == MISSING))
        return np.where(gaps > 0, MISSING, self.known(chosen, values))

    def known(self, chosen: Array, values: Ints) -> Ints:
        chosen = chosen & (values != MISSING)
        sums = np.bincount(self._devices.place[chosen], values[chosen], minlength=self._keys)
        return sums.astype(np.int64)


def balances(homes: Homes, households: Ints, slots: Ints, devices: Devices) -> Balances:
    """The balance of each (household, slot) from the devices attached in it."""
    terms = _Terms(devices, len(households))
    kind = homes.devices["kind"][devices.device]
    meter, battery = kind == KIND_CODE["METER"], kind == KIND_CODE["BATTERY"]
    source = (kind == KIND_CODE["SOLAR"]) | (kind == KIND_CODE["GENERATOR"])
    load = (kind == KIND_CODE["APPLIANCE"]) | (kind == KIND_CODE["VEHICLE"])
    measured = _measured(homes, households, slots, devices, terms)
    charge, discharge = measured[:, CHARGE], measured[:, DISCHARGE]
    production = terms.total(source, measured[:, PRODUCTION])
    taken, given = terms.total(battery, charge), terms.total(battery, discharge)
    loads, appliances = (
        terms.total(load, measured[:, CONSUMPTION]),
        terms.known(load, measured[:, CONSUMPTION]),
    )
    imported, exported = terms.total(meter, measured[:, IMPORT]), terms.total(meter, measured[:, EXPORT])
    permille = np.where(charge == MISSING, MISSING, charge * homes.devices["efficiency"][devices.device])
    metered = terms.count(meter) > 0
    inner = (production != MISSING) & (taken != MISSING) & (given != MISSING)
    outer = np.where(
        metered, (imported != MISSING) & (exported != MISSING), (loads != MISSING) & (terms.count(load) > 0)
    )
    complete = inner & outer
    balance = household_balance(
        metered=metered,
        production_wh=production,
        charge_wh=taken,
        discharge_wh=given,
        devices_wh=loads,
        grid_import_wh=imported,
        grid_export_wh=exported,
    )
    fits = complete & (balance.unexplained_wh <= ROUNDING_WH)
    sums_known = ~metered & (loads != MISSING) & (terms.count(load) > 0)
    columns = [
        np.where(fits | sums_known, balance.consumption_wh, MISSING),
        production,
        np.where(metered, imported, np.where(complete, balance.grid_import_wh, MISSING)),
        np.where(metered, exported, np.where(complete, balance.grid_export_wh, MISSING)),
        taken,
        given,
        appliances,
        terms.total(battery, permille),
    ]
    exists = terms.count(devices.reported) > 0
    community = homes.communities_at(households, slots)
    return Balances(exists, community, complete, np.stack(columns, axis=1))


def _measured(homes: Homes, households: Ints, slots: Ints, devices: Devices, terms: _Terms) -> Ints:
    """The devices' energies, with what silence means: a panel at night, a house that cannot export."""
    measured = devices.values[:, :TERMS].copy()
    kind = homes.devices["kind"][devices.device]
    production, consumption = measured[:, PRODUCTION], measured[:, CONSUMPTION]
    silent = np.flatnonzero((kind == KIND_CODE["SOLAR"]) & (production == MISSING))
    if len(silent):
        place = devices.place[silent]
        latitude, longitude = homes.place_deg(households[place])
        production[silent[is_night(latitude, longitude, slots[place])]] = 0
    vehicle = (kind == KIND_CODE["VEHICLE"]) & (consumption == MISSING)
    consumption[vehicle] = measured[vehicle, CHARGE]
    meter = kind == KIND_CODE["METER"]
    cannot_export = (
        terms.count(~meter & (kind != KIND_CODE["APPLIANCE"]) & (kind != KIND_CODE["VEHICLE"])) == 0
    )
    export, imported = measured[:, EXPORT], measured[:, IMPORT]
    export[meter & (export == MISSING) & (imported != MISSING) & cannot_export[devices.place]] = 0
    return measured
