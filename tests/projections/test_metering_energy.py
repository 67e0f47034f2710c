"""Readings through the real database into household, community and grid energy."""

from collections.abc import Iterator
from typing import Any

import pytest

from projections.metering_rebuild import compare
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
    joined,
    reading,
    rows,
    state,
)
from write_side.rules.timeslots import parse_utc, slot_of

NOON = slot_of(parse_utc("2026-01-05T12:00:00Z"))


@pytest.fixture
def url(metering_servers: str) -> Iterator[str]:
    with database(metering_servers) as url:
        state(founded(), clock(FIRST + 200), community("c"), household("h"), joined("c", "h"), url=url)
        yield url


def _energy(url: str, *columns: str) -> list[tuple[Any, ...]]:
    return rows(url, f"select {', '.join(columns)} from household_energy order by household, slot")


def _metered(slot: int, imported: int, exported: int = 0, revision: int = 0) -> dict[str, Any]:
    return reading(slot, revision, m={"gridImportWh": imported, "gridExportWh": exported})


def test_metering_the_same_reading_twice_in_a_batch_counts_once(url: str) -> None:
    state(device("m", "h", "METER"), url=url)
    sent = Stream()
    apply(url, sent.sent("h", _metered(FIRST, 100)), sent.sent("h", _metered(FIRST, 100)))
    apply(url, sent.sent("h", _metered(FIRST, 100)))
    assert _energy(url, "consumption_wh", "complete") == [(100, True)]
    assert rows(url, "select consumption_wh, households, reporting from community_energy") == [(100, 1, 1)]
    assert rows(url, "select sum(consumption_wh) from grid_energy") == [(100,)]
    assert rows(url, "select sequence from reading") == [(1,)]
    assert rows(url, "select * from superseded") == []


def test_metering_a_correction_moves_every_total_and_keeps_what_it_replaced(url: str) -> None:
    state(device("m", "h", "METER"), url=url)
    sent = Stream()
    apply(url, sent.sent("h", _metered(FIRST, 100)), sent.sent("h", _metered(FIRST, 90)))
    apply(url, sent.sent("h", _metered(FIRST, 120, revision=3)))
    apply(url, sent.sent("h", _metered(FIRST, 7, revision=2)), sent.sent("h", _metered(FIRST, 7, revision=2)))
    for table in ("household_energy", "community_energy", "grid_energy"):
        assert rows(url, f"select sum(consumption_wh) from {table}") == [(120,)]
    superseded = """select grid_import_wh, revision, sequence, superseded_at - known_at from superseded
                    order by sequence"""
    kept = [
        (wh, revision, sequence, gap.total_seconds()) for wh, revision, sequence, gap in rows(url, superseded)
    ]
    assert kept == [(100, 0, 1, 1.0), (90, 0, 2, 1.0), (7, 2, 4, 0.0)]


def test_metering_with_a_meter_consumption_follows(url: str) -> None:
    state(
        device("m", "h", "METER"),
        device("pv", "h", "SOLAR"),
        device("b", "h", "BATTERY", capacity_wh=9000),
        url=url,
    )
    state(device("tv", "h", "APPLIANCE"), url=url)
    sent = Stream()
    everything = reading(
        NOON,
        m={"gridImportWh": 10, "gridExportWh": 300},
        pv={"productionWh": 1000},
        b={"chargeWh": 500, "dischargeWh": 20},
        tv={"consumptionWh": 60},
    )
    apply(
        url,
        sent.sent("h", everything),
        sent.sent("h", reading(NOON + 1, m={"gridImportWh": 1, "gridExportWh": 0})),
    )
    columns = (
        "consumption_wh",
        "production_wh",
        "charge_wh",
        "appliances_wh",
        "stored_permille_wh",
        "complete",
    )
    assert _energy(url, *columns) == [
        (1000 + 20 + 10 - 500 - 300, 1000, 500, 60, 500_000, True),
        (None, None, None, 0, None, False),
    ]


def test_metering_meters_that_contradict_each_other_leave_no_consumption(url: str) -> None:
    state(device("m", "h", "METER"), device("pv", "h", "GENERATOR"), url=url)
    sent = Stream()
    for slot, exported in ((FIRST, 102), (FIRST + 1, 103)):
        both = reading(slot, m={"gridImportWh": 0, "gridExportWh": exported}, pv={"productionWh": 100})
        apply(url, sent.sent("h", both))
    assert _energy(url, "consumption_wh", "complete") == [(0, True), (None, True)]


def test_metering_a_meter_without_an_export_figure(url: str) -> None:
    """A house without panels or battery cannot export; one with them might have."""
    state(device("m", "h", "METER"), device("pv", "h", "SOLAR", FIRST + 1), url=url)
    sent = Stream()
    for slot in (FIRST, FIRST + 1):
        apply(url, sent.sent("h", reading(slot, m={"gridImportWh": 50}, pv={"productionWh": 0})))
    assert _energy(url, "consumption_wh", "grid_export_wh") == [(50, 0), (None, None)]


def test_metering_without_a_meter_import_and_export_follow(url: str) -> None:
    state(
        device("base", "h", "APPLIANCE"),
        device("car", "h", "VEHICLE"),
        device("pv", "h", "GENERATOR"),
        url=url,
    )
    sent = Stream()
    for slot, produced in ((FIRST, 0), (FIRST + 1, 500)):
        body = reading(
            slot, base={"consumptionWh": 100}, car={"chargeWh": 200}, pv={"productionWh": produced}
        )
        apply(url, sent.sent("h", body))
    apply(url, sent.sent("h", reading(FIRST + 2, base={"consumptionWh": 100}, pv={"productionWh": 1})))
    apply(url, sent.sent("h", reading(FIRST + 3, base={"consumptionWh": 100}, car={"consumptionWh": 1})))
    columns = ("consumption_wh", "grid_import_wh", "grid_export_wh", "appliances_wh", "complete")
    assert _energy(url, *columns) == [
        (300, 300, 0, 300, True),
        (300, 0, 200, 300, True),
        (None, None, None, 100, False),
        (101, None, None, 101, False),
    ]


def test_metering_a_panel_silent_at_night_produced_nothing(url: str) -> None:
    state(device("base", "h", "APPLIANCE"), device("pv", "h", "SOLAR"), url=url)
    sent = Stream()
    apply(url, *(sent.sent("h", reading(slot, base={"consumptionWh": 10})) for slot in (FIRST, NOON)))
    assert _energy(url, "production_wh", "complete") == [(0, True), (None, False)]


def test_metering_running_indexes_in_any_order(url: str) -> None:
    state(device("base", "h", "APPLIANCE"), url=url)
    sent = Stream()
    indexes = [0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    order = [3, 1, 8, 2, 0, 7, 4, 6, 5]
    apply(
        url, *(sent.sent("h", reading(FIRST + n, base={"consumptionIndexWh": indexes[n]})) for n in order[:5])
    )
    apply(
        url, *(sent.sent("h", reading(FIRST + n, base={"consumptionIndexWh": indexes[n]})) for n in order[5:])
    )
    assert [row[0] for row in _energy(url, "consumption_wh")] == [0, 1, 0, 0, 0, 1, 0, 0]
    apply(url, sent.sent("h", reading(FIRST + 4, 1, base={"consumptionIndexWh": 0.2, "powerW": 9})))
    assert [row[0] for row in _energy(url, "consumption_wh")] == [0, 1, 0, None, 1, 1, 0, 0]
    assert rows(url, "select slot, power_w from reading where power_w is not null") == [(FIRST + 4, 9)]
    assert compare(url) == []


def test_metering_facts_about_the_past_change_what_was_measured(url: str) -> None:
    state(device("m", "h", "METER"), url=url)
    sent = Stream()
    apply(url, *(sent.sent("h", _metered(NOON + n, 100)) for n in range(3)))
    state(device("pv", "h", "SOLAR", NOON + 1), community("d"), joined("d", "h", NOON + 2), url=url)
    apply(url)
    assert _energy(url, "consumption_wh", "complete") == [(100, True), (None, False), (None, False)]
    community_rows = (
        "select community_id, slot, households, reporting, grid_import_wh from community_energy order by slot"
    )
    assert rows(url, community_rows) == [
        (id_of("c"), NOON, 1, 1, 100),
        (id_of("c"), NOON + 1, 0, 1, 100),
        (id_of("d"), NOON + 2, 0, 1, 100),
    ]


def test_metering_late_changes_of_closed_slots_are_noted(url: str) -> None:
    state(device("m", "h", "METER"), url=url)
    state(device("old", "h", "APPLIANCE", FIRST - 9), url=url)
    sent = Stream()
    apply(
        url,
        sent.sent("h", _metered(FIRST, 100)),
        *sent.marks(FIRST),
        sent.sent("h", _metered(FIRST, 130)),
        sent.sent("h", _metered(FIRST + 1, 50)),
        sent.sent("h", reading(FIRST - 5, old={"consumptionWh": 3})),
        *sent.marks(FIRST + 1),
    )
    noted = (
        "select household, community_id, slot, consumption_wh_change, production_wh_change from late_change"
    )
    assert [row[1:] for row in rows(url, noted)] == [(id_of("c"), FIRST, 30, 0)]
    state(device("gen", "h", "GENERATOR", FIRST + 1), url=url)
    apply(url)
    assert [row[1:] for row in rows(url, noted + " order by sequence")] == [
        (id_of("c"), FIRST, 30, 0),
        (id_of("c"), FIRST + 1, -50, 0),
    ]
