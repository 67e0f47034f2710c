"""Slots of 15 minutes in UTC, numbered from the Unix epoch, and the hours, days and months of local time."""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

SLOT_SECONDS = 900
LOCAL = ZoneInfo("Europe/Paris")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SLOT = timedelta(seconds=SLOT_SECONDS)
_SLOTS_PER_HOUR = 4


class Resolution(StrEnum):
    """The width of a bucket of a series; hours, days and months are local."""

    QUARTER_HOUR = "QUARTER_HOUR"
    HOUR = "HOUR"
    DAY = "DAY"
    MONTH = "MONTH"


def slot_of(at: datetime) -> int:
    """The number of the slot that holds `at`; ValueError for a time without a zone."""
    return _since_epoch(at) // _SLOT


def slot_start(slot: int) -> datetime:
    """The instant at which a slot begins, in UTC."""
    return _EPOCH + slot * _SLOT


def is_slot_boundary(at: datetime) -> bool:
    """Whether a slot begins exactly at `at`; ValueError for a time without a zone."""
    return not _since_epoch(at) % _SLOT


def parse_utc(text: str) -> datetime:
    """An ISO 8601 time with `Z` or an offset, as UTC; ValueError for anything else, a naive time included."""
    at = datetime.fromisoformat(text)
    try:
        return _aware(at).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"time out of range: {text!r}") from None


def local_day(slot: int) -> date:
    """The local calendar day a slot begins on."""
    return slot_start(slot).astimezone(LOCAL).date()


def day_slots(day: date) -> range:
    """The slots of a local day: 96 of them, 92 and 100 on the days the clocks change."""
    return range(_midnight(day), _midnight(day + timedelta(days=1)))


def month_slots(year: int, month: int) -> range:
    """The slots of a local month; ValueError for a month outside 1..12."""
    first = date(year, month, 1)
    return range(_midnight(first), _midnight(_month_after(first)))


def bucket_edges(first_slot: int, end_slot: int, resolution: Resolution) -> list[int]:
    """The starts of the buckets that hold the slots first_slot <= slot < end_slot, and the end of the last.

    Buckets are whole: the first may begin before first_slot, the last may end behind end_slot. No slots: no
    edges.
    """
    edges: list[int] = []
    slot = first_slot
    while slot < end_slot:
        bucket = _bucket(slot, resolution)
        edges.append(bucket.start)
        slot = bucket.stop
    return [*edges, slot] if edges else []


def _bucket(slot: int, resolution: Resolution) -> range:
    if resolution is Resolution.QUARTER_HOUR:
        return range(slot, slot + 1)
    if resolution is Resolution.HOUR:
        # Local offsets are whole hours, so local hours begin where UTC hours do.
        hour = slot - slot % _SLOTS_PER_HOUR
        return range(hour, hour + _SLOTS_PER_HOUR)
    day = local_day(slot)
    return day_slots(day) if resolution is Resolution.DAY else month_slots(day.year, day.month)


def _midnight(day: date) -> int:
    return slot_of(datetime.combine(day, time(), LOCAL))


def _month_after(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _since_epoch(at: datetime) -> timedelta:
    return _aware(at) - _EPOCH


def _aware(at: datetime) -> datetime:
    if at.utcoffset() is None:
        raise ValueError(f"time without a zone: {at.isoformat()}")
    return at
