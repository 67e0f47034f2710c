"""All readings again, open and sealed, in portions of whole communities and whole days."""

from collections.abc import Iterator, Sequence
from typing import Any, LiteralString

import numpy as np

from projections.binary_copy import MISSING, Connection, Ints, read_columns
from projections.day_codec import DAY_SLOTS, decode_measured
from projections.metered_homes import Homes
from projections.metering_tables import VALUES
from projections.readings import KEY_TYPES, Rows, value_types

_READINGS_AT_ONCE = 500_000
_DEVICES_AT_ONCE = 5_000
_TYPES = KEY_TYPES | value_types(VALUES)


def days(connection: Connection) -> range:
    """The days (UTC, slot // 96) that were measured."""
    row = connection.execute(
        """select least((select min(slot) / 96 from reading), (select min(day) from sealed_day)),
                  greatest((select max(slot) / 96 from reading), (select max(day) from sealed_day))"""
    ).fetchone()
    return range(0) if row is None or row[0] is None else range(row[0], row[1] + 1)


class StoredReadings:
    """The readings of a snapshot, found by the index of their device."""

    def __init__(self, connection: Connection, homes: Homes) -> None:
        self._connection = connection
        self._homes = homes
        self._by_number = np.argsort(homes.devices["number"])
        self._numbers = homes.devices["number"][self._by_number]
        found = read_columns(
            connection, "select device, grp from sealed_device", {"device": "bigint", "grp": "integer"}
        )
        self._group = np.full(len(self._numbers), MISSING, dtype=np.int64)
        place = np.searchsorted(self._numbers, found["device"])
        known = np.flatnonzero(np.append(self._numbers, MISSING)[place] == found["device"])
        self._group[self._by_number[place[known]]] = found["grp"][known]
        self._sizes = np.bincount(found["grp"])

    def portions(self, within: range, partitions: Ints | None) -> Iterator[tuple[Ints, range, Rows]]:
        """Everything once of these partitions (None: all) in these days, which come in their order.

        A portion is the devices (index) of whole communities, some days, and their readings.
        """
        for devices in self._chunks(partitions):
            width = max(1, _READINGS_AT_ONCE // (len(devices) * DAY_SLOTS))
            for begin in range(within.start, within.stop, width):
                part = range(begin, min(begin + width, within.stop))
                rows = self.read(devices, part)
                if len(rows):
                    yield devices, part, rows

    def read(self, devices: Ints, within: range) -> Rows:
        """The readings of these devices (index) in these days."""
        numbers = self._homes.devices["number"][devices]
        begin, end = within.start * DAY_SLOTS, within.stop * DAY_SLOTS
        return self._rows(
            "device = any(%s) and slot >= %s and slot < %s",
            (numbers.tolist(), begin, end),
            "grp = any(%s) and day >= %s and day < %s",
            (np.unique(self._group[devices]).tolist(), within.start, within.stop),
            numbers if self._is_part_of_a_group(devices) else None,
        )

    def _is_part_of_a_group(self, devices: Ints) -> bool:
        groups = self._group[devices]
        groups = groups[groups != MISSING]
        here = np.bincount(groups, minlength=len(self._sizes))
        return bool(((here > 0) & (here < self._sizes)).any())

    def changed(self, sequence: int, devices: Ints) -> Rows:
        """What came behind this message (and, sealed meanwhile, beside it), and all of these devices."""
        return self._rows(
            "sequence > %s or device = any(%s)",
            (sequence, self._homes.devices["number"][devices].tolist()),
            "newest_sequence > %s or grp = any(%s)",
            (sequence, np.unique(self._group[devices]).tolist()),
        )

    def _rows(
        self,
        chosen: LiteralString,
        params: Sequence[Any],
        chosen_days: LiteralString,
        in_days: Sequence[Any],
        only: Ints | None = None,
    ) -> Rows:
        found = read_columns(self._connection, f"select * from reading where {chosen}", _TYPES, params)
        parts = [(found["device"], found["slot"], np.stack([found[name] for name in VALUES], axis=1))]
        blocks = self._connection.execute(
            f"select measured from sealed_day where {chosen_days}", in_days, binary=True
        )
        for (measured,) in blocks:
            one = decode_measured(measured, only)
            parts.append((one.device, one.slot, one.values))
        device, slot, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        place = np.searchsorted(self._numbers, device)
        known = np.flatnonzero(np.append(self._numbers, MISSING)[place] == device)
        nothing = np.zeros(len(known), dtype=np.int64)
        return Rows(self._by_number[place[known]], slot[known], values[known], nothing, nothing, nothing)

    def _chunks(self, partitions: Ints | None) -> Iterator[Ints]:
        """All devices, those of communities that share a member together."""
        owner = self._homes.devices["household"]
        linked = _linked(self._homes)[owner]
        partition = self._homes.households["partition"][owner]
        order = np.lexsort((owner, linked, partition))
        if partitions is not None:
            order = order[np.isin(partition[order], partitions)]
        is_last = np.append(linked[order[1:]] != linked[order[:-1]], True)[: len(order)]
        ends: list[int] = (np.flatnonzero(is_last) + 1).tolist()
        begin = 0
        for end, following in zip(ends, [*ends[1:], None], strict=False):
            if following is None or following - begin > _DEVICES_AT_ONCE:
                yield order[begin:end]
                begin = end


def _linked(homes: Homes) -> Ints:
    """Of each household the first with which it is linked by a chain of communities, at any time."""
    member = homes.memberships["household"]
    known, community = np.unique(homes.memberships["community"], return_inverse=True)
    linked = np.arange(homes.households.count)
    while True:
        lowest = np.full(len(known), homes.households.count)
        np.minimum.at(lowest, community, linked[member])
        before = linked.copy()
        np.minimum.at(linked, member, lowest[community])
        if (linked == before).all():
            return linked
