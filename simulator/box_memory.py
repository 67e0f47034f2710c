"""What the box at home keeps for itself: its slots, what it has not sent yet, the orders it has answered.

One SQLite file. It holds 400 days; the oldest slots make room, sent or not.
"""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from simulator.home import Reading
from simulator.slots import format_time, slot_number, slot_start

KEPT_SLOTS = 400 * 96
_TABLES = """
create table if not exists value (
  slot integer, device text, field text, wh integer, primary key (slot, device, field)) without rowid;
create table if not exists unsent (slot integer primary key);
create table if not exists device (id text primary key, name text);
create table if not exists answered (id text primary key, answer text);
create table if not exists home_state (only_row integer primary key check (only_row = 1), state text);
"""


class BoxMemory:
    """The box's own file; every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _TABLES)

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def name_devices(self, names: dict[str, str]) -> None:
        """Remembers what people call the devices, by id."""
        with self._database as database:
            database.executemany("insert or replace into device values (?, ?)", names.items())

    def keep_slot(self, start: datetime, readings: dict[str, Reading], home_state: dict[str, Any]) -> None:
        """Keeps a slot's readings, to be sent, and where the home stands after it."""
        slot = slot_number(start)
        rows = [(slot, id_, field, wh) for id_, reading in readings.items() for field, wh in reading.items()]
        with self._database as database:
            database.executemany("insert or replace into value values (?, ?, ?, ?)", rows)
            database.execute("insert or ignore into unsent values (?)", (slot,))
            database.execute("insert or replace into home_state values (1, ?)", (json.dumps(home_state),))
            for table in ("value", "unsent"):
                database.execute(f"delete from {table} where slot <= ?", (slot - KEPT_SLOTS,))

    def home_state(self) -> dict[str, Any] | None:
        """Where the home stood after its last slot."""
        row = self._database.execute("select state from home_state").fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def unsent(self, most: int) -> list[int]:
        """The earliest unsent slots that follow on one another, at most so many."""
        found = self._database.execute("select slot from unsent order by slot limit ?", (most,))
        slots = [slot for (slot,) in found]
        return [slot for index, slot in enumerate(slots) if slot == slots[0] + index]

    def sent(self, slots: Iterable[int]) -> None:
        """These slots were acknowledged."""
        with self._database as database:
            database.executemany("delete from unsent where slot = ?", [(slot,) for slot in slots])

    def message(self, slots: list[int]) -> bytes:
        """The readings of slots that follow on one another, in the form the grid takes."""
        span = {"slot": format_time(slot_start(slots[0]))}
        if len(slots) == 1:
            return _json(span | {"devices": self._readings(slots[0])})
        rows = self._database.execute(
            "select slot, device, field, wh from value where slot between ? and ?", (slots[0], slots[-1])
        )
        devices: dict[str, dict[str, list[int | None]]] = {}
        for slot, device, field, wh in rows:
            series = devices.setdefault(device, {}).setdefault(field, [None] * len(slots))
            series[slot - slots[0]] = wh
        return _json({"from": span["slot"], "slots": len(slots), "devices": devices})

    def _readings(self, slot: int) -> dict[str, Reading]:
        rows = self._database.execute("select device, field, wh from value where slot = ?", (slot,))
        devices: dict[str, Reading] = {}
        for device, field, wh in rows:
            devices.setdefault(device, {})[field] = wh
        return devices

    def values(self, field: str, first: int, end: int) -> list[tuple[int, str, int]]:
        """(slot, device name, Wh) of one field over the slots [first, end)."""
        rows = self._database.execute(
            "select slot, coalesce(name, device), wh from value left join device on device.id = device"
            " where field = ? and slot >= ? and slot < ? order by slot, 2",
            (field, first, end),
        )
        return [(slot, device, wh) for slot, device, wh in rows]

    def answer(self, order_id: str) -> str | None:
        """How an order was answered; None for a new one."""
        row = self._database.execute("select answer from answered where id = ?", (order_id,)).fetchone()
        return None if row is None else str(row[0])

    def keep_answer(self, order_id: str, answer: str, home_state: dict[str, Any]) -> None:
        """Remembers an answer, so that an order that comes again is not obeyed again."""
        with self._database as database:
            database.execute("insert or ignore into answered values (?, ?)", (order_id, answer))
            database.execute("insert or replace into home_state values (1, ?)", (json.dumps(home_state),))


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
