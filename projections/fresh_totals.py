"""All that follows from the readings, built at once where nothing stands yet: rows are written, none read.

What the worker brings about by differences, key by key, is computed here for whole days of whole
communities, each household's days in order.
"""

from collections.abc import Mapping

import numpy as np

from projections.binary_copy import MISSING, Array, Connection, Ints, copy_in
from projections.community_sharing import SHARE_TYPES, SHARED_TYPES, Shares, shared_sums, shares_by_key
from projections.day_codec import DAY_SLOTS
from projections.energy_totals import (
    COMMUNITY_KEY,
    PARTITION_KEY,
    SUM_TYPES,
    community_uuids,
    contribution,
    summed,
)
from projections.household_balance import Balances, Devices, balances
from projections.metered_homes import NO_COMMUNITY, Homes
from projections.metering import ENERGY_TYPES, HOUSEHOLD_KEY, energy_columns, note_newest
from projections.readings import Rows
from projections.settling import (
    ACCOUNTED_TYPES,
    FIRST_STOCK,
    FLOW_COLUMNS,
    FlowRows,
    accounted,
    copy_flows,
    flow_rows,
)
from projections.stored_colours import STOCK

_COMMUNITY_FLOW_TYPES = SHARED_TYPES | ACCOUNTED_TYPES


class FreshTotals:
    """Derived tables that are empty before; `settled_until[partition]` is the last slot settled there."""

    def __init__(self, connection: Connection, homes: Homes, settled_until: Ints) -> None:
        self._connection = connection
        self._homes = homes
        self._settled_until = settled_until
        self._stock = np.zeros((homes.households.count, len(STOCK)), dtype=np.int64)
        self._line = np.zeros(homes.devices.count, dtype=np.int64)
        self._of_grid: list[tuple[Ints, Ints, Ints]] = []

    def add_days(self, devices: Ints, fresh: Rows, days: range) -> None:
        """Takes all readings of these devices (index), of whole communities, in days that follow."""
        homes = self._homes
        household, slot, attached = self._keys(devices, fresh, days)
        rows = balances(homes, household, slot, attached)
        there = np.flatnonzero(rows.exists)
        household, slot, rows = household[there], slot[there], rows.at(there)
        note_newest(homes, household, slot)
        columns = energy_columns(homes, household, slot, rows)
        copy_in(self._connection, "household_energy", HOUSEHOLD_KEY | ENERGY_TYPES, columns)
        self._add_totals(household, slot, rows)
        settled = np.flatnonzero(slot <= self._settled_until[homes.households["partition"][household]])
        if len(settled):
            self._settle(household[settled], slot[settled], rows.at(settled))

    def finish(self) -> None:
        """Writes what is summed over all communities."""
        if self._of_grid:
            owner, slot, lines = (np.concatenate(part) for part in zip(*self._of_grid, strict=True))
            self._write("grid_energy", PARTITION_KEY | SUM_TYPES, *summed(owner, slot, lines))

    def _add_totals(self, household: Ints, slot: Ints, rows: Balances) -> None:
        lines = contribution(rows)
        inside = np.flatnonzero(rows.community != NO_COMMUNITY)
        owner, slots, sums = summed(rows.community[inside], slot[inside], lines[inside])
        community = community_uuids(self._homes, owner)
        self._write("community_energy", COMMUNITY_KEY | SUM_TYPES, community, slots, sums)
        partition = self._homes.households["partition"][household]
        self._of_grid.append(summed(partition, slot, lines))

    def _settle(self, household: Ints, slot: Ints, rows: Balances) -> None:
        homes = self._homes
        shares = shares_by_key(homes, household, slot, rows)
        some = np.flatnonzero((shares.received > 0) | (shares.given > 0))
        lines = np.stack([shares.received[some], shares.given[some]], axis=1)
        numbers = homes.households["number"][household[some]]
        self._write("household_share", SHARE_TYPES, numbers, slot[some], lines)
        flows = self._flows(household, slot, rows, shares)
        copy_flows(self._connection, homes, household, slot, flows, np.flatnonzero(flows.exists))
        inside = np.flatnonzero(rows.community != NO_COMMUNITY)
        wanted, place = np.unique(rows.community[inside] << 32 | slot[inside], return_inverse=True)
        sums = np.zeros((len(wanted), len(ACCOUNTED_TYPES)), dtype=np.int64)
        np.add.at(sums, place, accounted(flows)[inside])
        sums = np.concatenate([shared_sums(slot, rows, shares, wanted), sums], axis=1)
        told = np.flatnonzero((sums[:, 0] > 0) | (sums[:, len(SHARED_TYPES) - 2] > 0))
        community = community_uuids(homes, wanted[told] >> 32)
        self._write("community_flow", _COMMUNITY_FLOW_TYPES, community, wanted[told] & 0xFFFFFFFF, sums[told])

    def _flows(self, household: Ints, slot: Ints, rows: Balances, shares: Shares) -> FlowRows:
        """The flows of these keys, sorted; the batteries' stock moves on."""
        battery = self._homes.households["battery"][household] == 1
        found = FlowRows(
            np.zeros(len(household), dtype=np.bool_),
            np.full(len(household), MISSING, dtype=np.int64),
            np.full((len(household), len(FLOW_COLUMNS)), MISSING, dtype=np.int64),
        )
        for chosen in (np.flatnonzero(~battery), np.flatnonzero(battery)):
            owners = household[chosen]
            shared = Shares(shares.received[chosen], shares.given[chosen])
            start = self._stock[owners]
            part = flow_rows(self._homes, owners, slot[chosen], rows.at(chosen), shared, start)
            found.exists[chosen], found.community[chosen] = part.exists, part.community
            found.values[chosen] = part.values
        known = np.flatnonzero(battery & found.exists)
        is_last = np.append(household[known][1:] != household[known][:-1], True)[: len(known)]
        self._stock[household[known[is_last]]] = found.values[known[is_last], FIRST_STOCK:]
        return found

    def _keys(self, devices: Ints, fresh: Rows, days: range) -> tuple[Ints, Ints, Devices]:
        """The keys that were measured, sorted by household and slot, with the devices attached in them."""
        homes, line = self._homes, self._line
        begin, width = days.start * DAY_SLOTS, len(days) * DAY_SLOTS
        line[devices] = np.arange(len(devices))
        owners, owner = np.unique(homes.devices["household"][devices], return_inverse=True)
        at = line[fresh.device], fresh.slot - begin
        row = np.full((len(devices), width), MISSING, dtype=np.int32)
        row[at] = np.arange(len(fresh))
        measured = np.zeros((len(owners), width), dtype=np.bool_)
        measured[owner[at[0]], at[1]] = True
        place, slot = np.nonzero(measured)
        household, slot = owners[place], slot + begin
        place, device = homes.attached(household, slot)
        rows = row[line[device], slot[place] - begin]
        values = fresh.values[rows]
        values[rows == MISSING] = MISSING
        return household, slot, Devices(place, device, values, rows != MISSING)

    def _write(self, table: str, types: Mapping[str, str], owner: Array, slot: Ints, lines: Ints) -> None:
        names = list(types)
        columns = {names[0]: owner, names[1]: slot}
        columns |= {name: lines[:, place] for place, name in enumerate(names[2:])}
        copy_in(self._connection, table, types, columns)
