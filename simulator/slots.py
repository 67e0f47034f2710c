"""Slots of 15 minutes in UTC, as numbers and as times, and how times are written on the wire."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

SLOT = timedelta(minutes=15)
SLOT_SECONDS = 900
LOCAL = ZoneInfo("Europe/Paris")


def slot_number(start: datetime) -> int:
    """The number of the slot in which a time lies: Unix seconds // 900."""
    return int(start.timestamp()) // SLOT_SECONDS


def slot_start(number: int) -> datetime:
    """When a slot begins, in UTC."""
    return datetime.fromtimestamp(number * SLOT_SECONDS, UTC)


def slot_starts(begin: datetime, end: datetime) -> Iterator[datetime]:
    """The beginnings of all slots in [begin, end)."""
    return map(slot_start, range(slot_number(begin), slot_number(end)))


def parse_time(text: str) -> datetime:
    """An ISO 8601 time; one without an offset is UTC."""
    parsed = datetime.fromisoformat(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def format_time(time: datetime) -> str:
    """ISO 8601 in UTC, to the second, with Z."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_days(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The local days that [begin, end) touches, each cut to it, as pairs of UTC times."""
    bounds = [begin]
    midnight = begin.astimezone(LOCAL).replace(hour=0, minute=0, second=0, microsecond=0)
    while (midnight := midnight + timedelta(days=1)).astimezone(UTC) < end:
        bounds.append(midnight.astimezone(UTC))
    return pairwise([*bounds, end])
