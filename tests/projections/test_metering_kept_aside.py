"""What cannot be used is kept with its reason, and taken up when its device comes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from projections import kept_aside
from tests.projections.metered_grid import (
    FIRST,
    Stream,
    apply,
    clock,
    community,
    database,
    device,
    founded,
    household,
    id_of,
    reading,
    rows,
    state,
)
from write_side.events import DeviceDetached
from write_side.rules.timeslots import slot_start


@pytest.fixture
def url(metering_servers: str) -> Iterator[str]:
    with database(metering_servers) as url:
        state(
            founded(),
            community("c"),
            household("h1"),
            household("h2"),
            household("far", "elsewhere"),
            device("m1", "h1", "METER"),
            device("m2", "h2", "METER"),
            clock(FIRST + 4),
            url=url,
        )
        yield url


def _kept(url: str) -> list[tuple[Any, ...]]:
    query = "select reason, household_id, device_id, slot from kept_aside order by sequence, item, slot"
    return rows(url, query)


_USED = {"gridImportWh": 10, "gridExportWh": 0}


def test_metering_each_reason(url: str) -> None:
    sent = Stream()
    apply(
        url,
        sent.sent("h1", reading(FIRST, new=_USED)),
        sent.sent("h1", reading(FIRST + 5, m1=_USED)),
        sent.sent("h1", reading(FIRST, m1={"gridImportWh": -1, "gridExportWh": 0})),
        sent.sent("h1", reading(FIRST, m2=_USED)),
        sent.sent("h1", reading(FIRST - 1, m1=_USED)),
        sent.sent("h1", {"households": {str(id_of("h2")): reading(FIRST, m2=_USED)}}),
        sent.sent("all", {"households": {str(id_of("far")): reading(FIRST, x=_USED)}}),
        sent.sent("h1", b"{"),
        sent.sent("h1", {"slot": "2026-01-05T00:01:00Z", "devices": {}}),
        sent.sent("h1", b"x" * 1_000_001),
        sent.raw("intake.only", b"hello"),
        sent.raw("meter.3.mark", b"no slot"),
        sent.sent("h1", reading(FIRST + 4, m1=_USED)),
    )
    h1, m1, m2 = id_of("h1"), id_of("m1"), id_of("m2")
    assert _kept(url) == [
        ("UNKNOWN_DEVICE", h1, id_of("new"), FIRST),
        ("FUTURE", h1, m1, FIRST + 5),
        ("NEGATIVE", h1, m1, FIRST),
        ("WRONG_SUBJECT", h1, m2, FIRST),
        ("UNKNOWN_DEVICE", h1, m1, FIRST - 1),
        ("WRONG_SUBJECT", id_of("h2"), m2, FIRST),
        ("WRONG_SUBJECT", id_of("far"), id_of("x"), FIRST),
        ("MALFORMED", h1, None, None),
        ("NOT_A_SLOT", h1, None, None),
        ("TOO_LARGE", h1, None, None),
        ("WRONG_SUBJECT", None, None, None),
        ("MALFORMED", None, None, None),
    ]
    assert rows(url, "select slot from reading") == [(FIRST + 4,)]
    assert max(len(row[0]) for row in rows(url, "select raw from kept_aside")) <= 4096


def test_metering_a_negative_value_is_shown_as_it_was_sent(url: str) -> None:
    sent = Stream()
    apply(url, sent.sent("h1", reading(FIRST, m1={"gridImportWh": -1, "gridExportWh": 7})))
    raw = json.loads(rows(url, "select raw from kept_aside")[0][0])
    (told,) = raw["households"].values()
    assert told["devices"] == {str(id_of("m1")): {"gridImportWh": -1, "gridExportWh": 7}}


def test_metering_readings_of_a_device_not_yet_known_are_taken_up(url: str) -> None:
    sent = Stream()
    many = {
        "from": "2026-01-04T23:30:00Z",
        "slots": 4,
        "devices": {str(id_of("pv")): {"productionWh": [1, 2, None, 4]}},
    }
    apply(
        url,
        sent.sent("h1", many),
        sent.sent("h1", reading(FIRST + 1, pv={"productionWh": 40})),
        sent.sent("h1", reading(FIRST - 2, revision=1, pv={"productionWh": 9})),
        sent.sent("h1", reading(FIRST - 2, pv={"productionWh": 8})),
        sent.sent("h2", reading(FIRST, pv={"productionWh": 5})),
    )
    assert {row[0] for row in _kept(url)} == {"UNKNOWN_DEVICE"}
    state(device("pv", "h1", "SOLAR", FIRST - 2), url=url)
    apply(url)
    assert rows(url, "select slot, production_wh, revision, sequence from reading order by slot") == [
        (FIRST - 2, 9, 1, 3),
        (FIRST - 1, 2, 0, 1),
        (FIRST + 1, 40, 0, 2),
    ]
    superseded = rows(url, "select slot, production_wh from superseded order by slot, sequence")
    assert superseded == [(FIRST - 2, 1), (FIRST - 2, 8), (FIRST + 1, 4)]
    assert _kept(url) == [("WRONG_SUBJECT", id_of("h2"), id_of("pv"), FIRST)]


def test_metering_readings_behind_a_devices_end_are_out_of_the_totals(url: str) -> None:
    sent = Stream()
    apply(url, *(sent.sent("h1", reading(FIRST + n, m1=_USED)) for n in range(3)))
    ended = DeviceDetached(device_id=id_of("m1"), household_id=id_of("h1"), until=slot_start(FIRST + 1))
    state(ended, url=url)
    apply(url)
    assert rows(url, "select slot from household_energy") == [(FIRST,)]
    assert rows(url, "select sum(grid_import_wh) from grid_energy") == [(10,)]
    assert [row[3] for row in _kept(url)] == [FIRST + 1, FIRST + 2]


def test_metering_what_is_kept_is_bounded_and_counted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_aside, "MOST_KEPT", 5)
    sent = Stream()
    apply(url, *(sent.sent("h1", b"{") for _ in range(4)))
    apply(url, *(sent.sent("h1", b"{") for _ in range(4)))
    assert [row[0] for row in rows(url, "select sequence from kept_aside order by 1")] == [4, 5, 6, 7, 8]
    assert rows(url, "select reason, dropped from kept_aside_dropped") == [("MALFORMED", 3)]


def test_metering_on_the_wall_clock_the_streams_own_time_counts(metering_servers: str) -> None:
    with database(metering_servers) as url:
        state(founded(simulated=False), household("h1"), device("m1", "h1", "METER"), url=url)
        sent = Stream()  # its messages come seconds after the first slot began
        apply(url, sent.sent("h1", reading(FIRST, m1=_USED)), sent.sent("h1", reading(FIRST + 1, m1=_USED)))
        assert _kept(url) == [("FUTURE", id_of("h1"), id_of("m1"), FIRST + 1)]
