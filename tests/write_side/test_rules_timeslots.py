"""Slots in UTC, and the local days and months that the clock changes shorten and lengthen."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_side.rules.timeslots import (
    LOCAL,
    Resolution,
    bucket_edges,
    day_slots,
    is_slot_boundary,
    local_day,
    month_slots,
    parse_utc,
    slot_of,
    slot_start,
)

SLOT = timedelta(minutes=15)


def test_a_slot_is_fifteen_minutes_of_utc() -> None:
    at = datetime(2026, 1, 5, 10, 15, tzinfo=UTC)
    assert slot_of(at) == 1767608100 // 900
    assert slot_of(at + SLOT - timedelta(microseconds=1)) == slot_of(at)
    assert slot_of(at - timedelta(microseconds=1)) == slot_of(at) - 1
    assert slot_of(at.astimezone(LOCAL)) == slot_of(at)


@given(st.integers(-200_000, 4_000_000))
def test_a_slot_begins_where_its_number_says(slot: int) -> None:
    start = slot_start(slot)
    assert slot_of(start) == slot
    assert is_slot_boundary(start)
    assert not is_slot_boundary(start + timedelta(seconds=1))
    assert start.utcoffset() == timedelta(0)


def test_the_two_passes_of_a_repeated_local_hour_are_different_slots() -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=LOCAL)
    assert slot_of(first.replace(fold=1)) - slot_of(first) == 4


def test_naive_times_are_refused() -> None:
    for function in (slot_of, is_slot_boundary):
        with pytest.raises(ValueError, match="without a zone"):
            function(datetime(2026, 1, 5, 10, 15))


@pytest.mark.parametrize("text", ["2026-01-05T10:15:00Z", "2026-01-05T11:15:00+01:00", "2026-01-05T10:15Z"])
def test_times_are_read_as_utc(text: str) -> None:
    read = parse_utc(text)
    assert read == datetime(2026, 1, 5, 10, 15, tzinfo=UTC)
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["2026-01-05T10:15:00", "2026-01-05", "", "noon", "2026-13-01T00:00Z", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_utc(text)


def test_an_offset_is_not_mistaken_for_utc() -> None:
    at = datetime(2026, 1, 5, tzinfo=timezone(timedelta(hours=-3)))
    assert parse_utc(at.isoformat()).hour == 3


@pytest.mark.parametrize(
    ("day", "slots"),
    [(date(2026, 3, 28), 96), (date(2026, 3, 29), 92), (date(2026, 10, 25), 100), (date(2026, 12, 31), 96)],
)
def test_a_local_day_has_92_96_or_100_slots(day: date, slots: int) -> None:
    assert len(day_slots(day)) == slots
    assert {local_day(slot) for slot in day_slots(day)} == {day}


def test_march_2026_has_2972_slots() -> None:
    march = month_slots(2026, 3)
    assert len(march) == 2972
    assert slot_start(march.start) == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert month_slots(2026, 2).stop == march.start
    assert len(month_slots(2026, 12)) == 31 * 96


def test_buckets_are_whole_local_days() -> None:
    day = day_slots(date(2026, 3, 29))
    assert bucket_edges(day.start + 50, day.stop + 1, Resolution.DAY) == [
        day.start,
        day.stop,
        day.stop + 96,
    ]


def test_buckets_of_each_width() -> None:
    noon = slot_of(datetime(2026, 3, 29, 12, tzinfo=UTC))
    march, april = month_slots(2026, 3), month_slots(2026, 4)
    assert bucket_edges(noon, noon + 2, Resolution.QUARTER_HOUR) == [noon, noon + 1, noon + 2]
    assert bucket_edges(noon + 3, noon + 5, Resolution.HOUR) == [noon, noon + 4, noon + 8]
    assert bucket_edges(noon, noon + 1, Resolution.MONTH) == [march.start, march.stop]
    assert bucket_edges(noon, april.start + 1, Resolution.MONTH) == [march.start, april.start, april.stop]


@pytest.mark.parametrize("resolution", list(Resolution))
def test_no_slots_have_no_buckets(resolution: Resolution) -> None:
    assert bucket_edges(1_960_000, 1_960_000, resolution) == []


@given(st.integers(1_700_000, 2_000_000), st.integers(1, 400), st.sampled_from(Resolution))
def test_buckets_cover_the_slots_asked_for_and_meet(first: int, count: int, width: Resolution) -> None:
    edges = bucket_edges(first, first + count, width)
    assert edges[0] <= first < edges[1]
    assert edges[-2] < first + count <= edges[-1]
    assert edges == sorted(set(edges))
    assert bucket_edges(edges[0], edges[-1], width) == edges
