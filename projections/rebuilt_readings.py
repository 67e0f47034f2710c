"""All readings again, open and sealed, in portions of whole households and whole days."""

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

    def portions(self, within: range) -> Iterator[Rows]:
        """Everything once, in the order of days for each household; `within` are days."""
        for devices in self._chunks():
            width = max(1, _READINGS_AT_ONCE // (len(devices) * DAY_SLOTS))
            for begin in range(within.start, within.stop, width):
                rows = self.read(devices, range(begin, min(begin + width, within.stop)))
                if len(rows):
                    yield rows

    def read(self, devices: Ints, within: range) -> Rows:
        """The readings of these devices (index) in these days."""
        numbers = self._homes.devices["number"][devices].tolist()
        begin, end = within.start * DAY_SLOTS, within.stop * DAY_SLOTS
        rows = self._rows(
            "device = any(%s) and slot >= %s and slot < %s",
            (numbers, begin, end),
            "grp = any(%s) and day >= %s and day < %s",
            (np.unique(self._group[devices]).tolist(), within.start, within.stop),
        )
        wanted = np.zeros(len(self._numbers), dtype=np.bool_)
        wanted[devices] = True
        return rows.at(np.flatnonzero(wanted[rows.device]))

    def changed(self, sequence: int, devices: Ints) -> Rows:
        """What came behind this message (and, sealed meanwhile, beside it), and all of these devices."""
        return self._rows(
            "sequence > %s or device = any(%s)",
            (sequence, self._homes.devices["number"][devices].tolist()),
            "newest_sequence > %s or grp = any(%s)",
            (sequence, np.unique(self._group[devices]).tolist()),
        )

    def _rows(
        self, chosen: LiteralString, params: Sequence[Any], chosen_days: LiteralString, in_days: Sequence[Any]
    ) -> Rows:
        found = read_columns(self._connection, f"select * from reading where {chosen}", _TYPES, params)
        parts = [(found["device"], found["slot"], np.stack([found[name] for name in VALUES], axis=1))]
        blocks = self._connection.execute(
            f"select measured from sealed_day where {chosen_days}", in_days, binary=True
        )
        for (measured,) in blocks:
            one = decode_measured(measured)
            parts.append((one.device, one.slot, one.values))
        device, slot, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        place = np.searchsorted(self._numbers, device)
        known = np.flatnonzero(np.append(self._numbers, MISSING)[place] == device)
        nothing = np.zeros(len(known), dtype=np.int64)
        return Rows(self._by_number[place[known]], slot[known], values[known], nothing, nothing, nothing)

    def _chunks(self) -> Iterator[Ints]:
        """All devices, those of a household together, and those of a group."""
        households = self._homes.households
        owner = self._homes.devices["household"]
        group = np.full(households.count, MISSING, dtype=np.int64)
        np.maximum.at(group, owner, self._group)
        order = np.lexsort((owner, group[owner], households["partition"][owner]))
        together = np.where(group == MISSING, -2 - np.arange(households.count), group)[owner[order]]
        is_last = np.append(together[1:] != together[:-1], True)[: len(order)]
        ends: list[int] = (np.flatnonzero(is_last) + 1).tolist()
        begin = 0
        for end, following in zip(ends, [*ends[1:], None], strict=False):
            if following is None or following - begin > _DEVICES_AT_ONCE:
                yield order[begin:end]
                begin = end
