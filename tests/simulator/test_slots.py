"""Slots, and local days on the days when the clock changes."""

from datetime import UTC, datetime, timedelta

import pytest

from simulator.slots import format_time, local_days, parse_time, slot_number, slot_start, slot_starts


@pytest.mark.parametrize(("day", "slots"), [((2024, 3, 31), 92), ((2024, 4, 1), 96), ((2024, 10, 27), 100)])
def test_a_local_day_has_92_96_or_100_slots(day: tuple[int, int, int], slots: int) -> None:
    noon = datetime(*day, 12, tzinfo=UTC)
    around = local_days(noon - timedelta(days=2), noon + timedelta(days=2))
    whole = [span for span in around if span[0] <= noon < span[1]]
    assert len(whole) == 1
    assert slot_number(whole[0][1]) - slot_number(whole[0][0]) == slots


def test_days_are_cut_to_the_span() -> None:
    begin, end = datetime(2024, 5, 1, 10, tzinfo=UTC), datetime(2024, 5, 3, 1, tzinfo=UTC)
    spans = [(format_time(first), format_time(last)) for first, last in local_days(begin, end)]
    assert spans == [
        ("2024-05-01T10:00:00Z", "2024-05-01T22:00:00Z"),
        ("2024-05-01T22:00:00Z", "2024-05-02T22:00:00Z"),
        ("2024-05-02T22:00:00Z", "2024-05-03T01:00:00Z"),
    ]


def test_slots_and_times_are_inverse() -> None:
    begin = parse_time("2026-01-05T00:15:00")
    assert slot_start(slot_number(begin)) == begin
    assert len(list(slot_starts(begin, parse_time("2026-01-05T02:00:00+01:00")))) == 3
