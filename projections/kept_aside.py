"""Readings that cannot be used: kept with their reason, bounded, and taken up when their device comes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from projections.binary_copy import MISSING, Connection
from projections.reading_messages import Arrivals, IntakeMessage, Item, Measured, Unusable, read
from write_side.rules.timeslots import slot_start

UNKNOWN_DEVICE = "UNKNOWN_DEVICE"
WRONG_SUBJECT = "WRONG_SUBJECT"
NEGATIVE = "NEGATIVE"
FUTURE = "FUTURE"
MOST_KEPT = 10_000  # of one reason and partition
MOST_RAW_BYTES = 4096
MOST_SLOTS_TOGETHER = 96

_FIELD_NAMES = [field.encode_name for field in msgspec.structs.fields(Measured)]


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry: a device's slots that share a reason, or a part of a message that is no reading."""

    partition: int
    sequence: int
    item: int
    reason: str
    subject: str
    household: str | None
    device: str | None
    slot: int | None
    raw: bytes
    received_at: datetime


Line = tuple[int, Sequence[int]]  # slot, values


def from_unusable(part: Unusable) -> Kept:
    """What of a message is no reading at all."""
    message = part.message
    return Kept(
        message.partition,
        message.sequence,
        part.number,
        part.reason,
        message.subject,
        part.household,
        part.device,
        None,
        part.raw[:MOST_RAW_BYTES],
        message.known_at,
    )


def from_readings(item: Item, reason: str, lines: Sequence[Line]) -> Iterable[Kept]:
    """A device's refused slots, in ascending order, as entries of at most a day each."""
    message = item.message
    begin = 0
    for end in range(1, len(lines) + 1):
        if end < len(lines) and lines[end][0] - lines[begin][0] < MOST_SLOTS_TOGETHER:
            continue
        part = lines[begin:end]
        raw = encoded(item.household, item.device, item.revision, part)
        yield Kept(
            message.partition,
            message.sequence,
            item.number,
            reason,
            message.subject,
            item.household,
            item.device,
            part[0][0],
            raw,
            message.known_at,
        )
        begin = end


def encoded(household: str, device: str, revision: int, lines: Sequence[Line]) -> bytes:
    """Slots of a device in a message's own form, so that they can be read again."""
    first, count = lines[0][0], lines[-1][0] - lines[0][0] + 1
    measured: dict[str, list[int | None]] = {}
    for slot, values in lines:
        for name, value in zip(_FIELD_NAMES, values, strict=False):
            if value != MISSING:
                column = measured.setdefault(name, [None] * count)
                column[slot - first] = value if value >= 0 else value + 1
    start = slot_start(first).strftime("%Y-%m-%dT%H:%M:%SZ")
    reading: dict[str, Any] = {"revision": revision}
    if count == 1:
        single = {name: column[0] for name, column in measured.items()}
        reading |= {"slot": start, "devices": {device: single}}
    else:
        reading |= {"from": start, "slots": count, "devices": {device: measured}}
    return msgspec.json.encode({"households": {household: reading}})


def keep(connection: Connection, entries: Sequence[Kept]) -> None:
    """Writes entries, and drops the oldest of a partition and reason beyond MOST_KEPT, counting them."""
    if not entries:
        return
    rows = [
        (e.partition, e.sequence, e.item, e.reason, e.subject[:200], _uuid(e.household), _uuid(e.device),
         e.slot, e.raw, e.received_at)
        for e in entries
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(
            """insert into kept_aside (partition, sequence, item, reason, subject, household_id, device_id,
                 slot, raw, received_at)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing""",
            rows,
        )
    for partition, reason in Counter((e.partition, e.reason) for e in entries):
        _drop_oldest(connection, partition, reason)


def _drop_oldest(connection: Connection, partition: int, reason: str) -> None:
    dropped = connection.execute(
        """delete from kept_aside where ctid in (
             select ctid from kept_aside where reason = %s and partition = %s
             order by sequence desc, item desc, slot desc offset %s)""",
        (reason, partition, MOST_KEPT),
    ).rowcount
    if dropped:
        connection.execute(
            """insert into kept_aside_dropped as k values (%s, %s, %s)
               on conflict (partition, reason) do update set dropped = k.dropped + excluded.dropped""",
            (partition, reason, dropped),
        )


def take_up(connection: Connection, device_ids: Sequence[str]) -> Arrivals:
    """The readings that waited for these devices, in the order of the stream; they are kept no longer."""
    waits = "select exists (select from kept_aside where reason = %s)"
    if connection.execute(waits, (UNKNOWN_DEVICE,)).fetchone() == (False,):
        return Arrivals()
    rows = connection.execute(
        """delete from kept_aside where reason = %s and device_id = any(%s::uuid[])
           returning partition, sequence, item, subject, raw, received_at, slot""",
        (UNKNOWN_DEVICE, list(device_ids)),
    ).fetchall()
    arrivals = Arrivals()
    for partition, sequence, number, subject, raw, received_at, _ in sorted(
        rows, key=lambda row: (row[1], row[2], row[6])
    ):
        area, household = route_of(subject)
        message = IntakeMessage(sequence, partition, area, household, subject, received_at, raw)
        begin = len(arrivals.items)
        read(message, arrivals)
        arrivals.items[begin:] = [item._replace(number=number) for item in arrivals.items[begin:]]
    return arrivals


def route_of(subject: str) -> tuple[str, str]:
    """Area and household of a subject `meter.<partition>.<area>.<household>`."""
    _, _, area, household = subject.split(".")
    return area, household


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text is not None else None
    except ValueError:
        return None
