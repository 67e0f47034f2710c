"""Which slots a question is about: the last so many, or between two times, cut at local boundaries."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from gateway.faults import Fault
from gateway.windows import Window, _between, _latest
from projections.read_clock import ClockRow
from write_side.rules.timeslots import Resolution, slot_of, slot_start

NOW = slot_of(datetime(2026, 3, 30, 10, 20, tzinfo=UTC))


def _starts(edges: list[int]) -> list[str]:
    return [f"{slot_start(edge):%m-%dT%H:%M}" for edge in edges]


def test_the_last_slots_end_with_the_newest_that_has_passed() -> None:
    assert _starts(_latest(2, NOW, Resolution.QUARTER_HOUR)) == ["03-30T09:45", "03-30T10:00", "03-30T10:15"]


def test_the_last_hours_end_with_the_one_that_runs() -> None:
    assert _starts(_latest(2, NOW, Resolution.HOUR)) == ["03-30T09:00", "03-30T10:00", "03-30T11:00"]


def test_the_last_days_are_local_and_one_of_them_has_92_slots() -> None:
    edges = _latest(3, NOW, Resolution.DAY)
    assert _starts(edges) == ["03-27T23:00", "03-28T23:00", "03-29T22:00", "03-30T22:00"]
    assert [after - before for before, after in pairwise(edges)] == [96, 92, 96]


def test_the_last_months_reach_over_the_year() -> None:
    edges = _latest(4, NOW, Resolution.MONTH)
    assert _starts(edges) == ["11-30T23:00", "12-31T23:00", "01-31T23:00", "02-28T23:00", "03-31T22:00"]


@pytest.mark.parametrize(
    "now", ["2026-01-05T00:15", "2026-01-04T23:15", "2026-03-01T00:15", "2026-02-28T23:15"]
)
def test_the_first_slots_of_a_day_and_of_a_month_have_a_last_one(now: str) -> None:
    slot = slot_of(datetime.fromisoformat(f"{now}+00:00"))
    for resolution in (Resolution.DAY, Resolution.MONTH):
        (first, end) = _latest(1, slot, resolution)
        assert first <= slot - 1 < end


def test_between_two_times_the_first_and_last_bucket_are_cut() -> None:
    start, end = datetime(2026, 3, 28, 12, 10, tzinfo=UTC), datetime(2026, 3, 29, 1, 1, tzinfo=UTC)
    edges = _between(start, end, None, NOW, Resolution.DAY)
    assert _starts(edges) == ["03-28T12:00", "03-28T23:00", "03-29T01:15"]


def test_without_an_end_it_is_the_grids_time() -> None:
    start = datetime(2026, 3, 30, 10, 0, tzinfo=UTC)
    assert _starts(_between(start, None, None, NOW, Resolution.QUARTER_HOUR)) == [
        "03-30T10:00",
        "03-30T10:15",
    ]


@pytest.mark.parametrize(
    ("start", "end", "last", "code"),
    [
        ("2026-03-30T10:00", "2026-03-30T10:00", None, "BAD_USER_INPUT"),
        ("2026-03-30T10:00", "2026-03-30T09:00", None, "BAD_USER_INPUT"),
        (None, "2026-03-30T09:00", None, "BAD_USER_INPUT"),
        ("2026-03-30T09:00", "2026-03-30T10:00", 3, "BAD_USER_INPUT"),
        ("2026-04-30T09:00", None, None, "BAD_USER_INPUT"),
        ("2020-01-01T00:00", "2026-01-01T00:00", None, "TOO_COMPLEX"),
        ("0001-01-01T00:00", "9999-12-31T00:00", None, "TOO_COMPLEX"),
    ],
)
def test_what_cannot_be_is_refused(start: str | None, end: str | None, last: int | None, code: str) -> None:
    times = [None if at is None else datetime.fromisoformat(f"{at}+00:00") for at in (start, end)]
    with pytest.raises(Fault) as refused:
        _between(times[0], times[1], last, NOW, Resolution.MONTH)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("last", "resolution"), [(0, "DAY"), (-1, "HOUR"), (40_001, "QUARTER_HOUR"), (999, "DAY")]
)
def test_too_few_or_too_many_are_refused(last: int, resolution: str) -> None:
    with pytest.raises(Fault):
        _latest(last, NOW, Resolution(resolution))


def test_a_bucket_is_closed_when_its_last_slot_is() -> None:
    first = slot_of(datetime(2026, 3, 1, tzinfo=UTC))
    clock = ClockRow(now=slot_start(NOW), simulated=True, first_slot=first, target=None, last_closed=NOW - 3)
    found = Window(edges=[first - 8, first, NOW - 2, NOW], resolution=Resolution.DAY, clock=clock)
    assert [found.is_closed(bucket) for bucket in range(3)] == [True, True, False]
