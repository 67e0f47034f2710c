"""Readings of slots in which their device is no longer measured: out of the table, and kept aside.

A device ends where the next slot begins, so these are few: what overtook the fact on its way.
"""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from projections.binary_copy import MISSING, Connection
from projections.kept_aside import UNKNOWN_DEVICE, Kept, encoded
from projections.metered_homes import Homes
from projections.metering_tables import VALUES
from projections.sealed_days import reopen_since


def withdraw(connection: Connection, homes: Homes, ended: Sequence[tuple[int, int]]) -> list[Kept]:
    """Takes the readings of devices (index) from a slot on out of the table; they are entries now."""
    return [
        _entry(homes, device, row)
        for device, until in ended
        if homes.households["newest"][homes.devices["household"][device]] >= until
        for row in _taken_out(connection, int(homes.devices["number"][device]), until)
    ]


def _taken_out(connection: Connection, number: int, until: int) -> list[tuple[Any, ...]]:
    reopen_since(connection, number, until)
    connection.execute("delete from index_reading where device = %s and slot >= %s", (number, until))
    return [
        row
        for table in ("superseded", "reading")
        for row in connection.execute(
            f"""delete from {table} where device = %s and slot >= %s
                returning slot, revision, sequence, known_at, {", ".join(VALUES)}""",
            (number, until),
        )
    ]


def _entry(homes: Homes, device: int, row: tuple[Any, ...]) -> Kept:
    slot, revision, sequence, known_at, *values = row
    household = int(homes.devices["household"][device])
    partition = int(homes.households["partition"][household])
    household_id, device_id = homes.household_ids[household], homes.device_ids[device]
    line = (slot, [MISSING if value is None else value for value in values])
    # Which item of its message it was is forgotten; the device's number, negative, tells it from the others.
    return Kept(
        partition,
        sequence,
        -int(homes.devices["number"][device]),
        UNKNOWN_DEVICE,
        f"meter.{partition}.{homes.areas[household]}.{household_id}",
        household_id,
        device_id,
        slot,
        encoded(household_id, device_id, revision, [line]),
        known_at.astimezone(UTC),
    )
