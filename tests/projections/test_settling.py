"""Settled slots: sharing, flows and the colours of what batteries hold, through the real database."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from projections.metering_rebuild import compare, rebuild
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
from write_side.rules.energy import coverage_percent, self_consumption_percent, self_sufficiency_percent

LONG = 500


@pytest.fixture
def url(metering_servers: str) -> Iterator[str]:
    with database(metering_servers) as url:
        state(
            founded(),
            clock(FIRST + LONG),
            community("c"),
            household("h1"),
            joined("c", "h1"),
            household("h2"),
            joined("c", "h2"),
            device("m1", "h1", "METER", FIRST - LONG),
            device("gen", "h1", "GENERATOR", FIRST - LONG),
            device("bat", "h1", "BATTERY", FIRST - LONG, capacity_wh=5000, efficiency_permille=900),
            device("m2", "h2", "METER"),
            url=url,
        )
        yield url


def _home(
    slot: int, imported: int, exported: int, produced: int, charged: int, discharged: int, revision: int = 0
) -> dict[str, Any]:
    return reading(
        slot,
        revision,
        m1={"gridImportWh": imported, "gridExportWh": exported},
        gen={"productionWh": produced},
        bat={"chargeWh": charged, "dischargeWh": discharged},
    )


def _neighbour(slot: int, imported: int, exported: int = 0) -> dict[str, Any]:
    return reading(slot, m2={"gridImportWh": imported, "gridExportWh": exported})


def _sum(url: str, *columns: str) -> tuple[int, ...]:
    return rows(url, f"select {', '.join(f'sum({name})::bigint' for name in columns)} from household_flow")[0]


def test_settling_example_1_flows_colours_and_rates(url: str) -> None:
    sent = Stream()
    slots = [(0, 500, 3000, 1500, 0), (1800, 0, 0, 1000, 0), (400, 0, 0, 0, 1600), (0, 600, 0, 0, 600)]
    for number, values in enumerate(slots[:3]):
        apply(url, sent.sent("h1", _home(FIRST + number, *values)), *sent.marks(FIRST + number))
    own, consumed, produced, to_grid = _sum(
        url,
        "pv_to_load_wh + own_battery_to_load_wh",
        "consumption_wh",
        "production_wh",
        "pv_to_grid_wh + own_battery_to_grid_wh",
    )
    assert f"{self_sufficiency_percent(own, consumed):.2f}" == "51.58"
    assert f"{self_consumption_percent(produced, to_grid):.2f}" == "83.33"
    assert f"{coverage_percent(produced, consumed):.2f}" == "78.95"
    apply(url, sent.sent("h1", _home(FIRST + 3, *slots[3])), *sent.marks(FIRST + 3))
    flows = """select pv_to_load_wh, pv_to_battery_wh, pv_to_grid_wh, battery_to_load_wh,
               own_battery_to_load_wh, battery_to_grid_wh, own_battery_to_grid_wh, stock_own_wh, stock_grid_wh
               from household_flow order by slot"""
    assert rows(url, flows) == [
        (1000, 1500, 500, 0, 0, 0, 0, 1350, 0),
        (0, 0, 0, 0, 0, 0, 0, 1350, 900),
        (0, 0, 0, 1600, 960, 0, 0, 390, 260),
        (0, 0, 0, 0, 0, 600, 360, 30, 20),
    ]
    produced, to_grid = _sum(url, "production_wh", "pv_to_grid_wh + own_battery_to_grid_wh")
    assert f"{self_consumption_percent(produced, to_grid):.2f}" == "71.33"


def test_settling_example_3_a_community_with_a_battery(url: str) -> None:
    sent = Stream()
    apply(
        url,
        sent.sent("h1", _home(FIRST, 0, 300, 1000, 500, 0)),
        sent.sent("h2", _neighbour(FIRST, 400)),
        *sent.marks(FIRST),
        sent.sent("h1", _home(FIRST + 1, 0, 100, 0, 0, 400)),
        sent.sent("h2", _neighbour(FIRST + 1, 400)),
        *sent.marks(FIRST + 1),
    )
    community_flow = """select shared_wh, self_supplied_wh, consumption_wh, production_wh, from_outside_wh,
        to_outside_wh, households, sharing from community_flow where community_id = %s order by slot"""
    found = rows(url, community_flow, id_of("c"))
    assert found == [(300, 500, 600, 1000, 100, 0, 2, 2), (100, 400, 700, 0, 300, 0, 2, 2)]
    supplied, consumed = sum(row[1] for row in found), sum(row[2] for row in found)
    assert f"{self_sufficiency_percent(supplied, consumed):.2f}" == "69.23"
    stock = """select slot, stock_own_wh from household_flow join meter_household using (household)
               where household_id = %s order by slot"""
    assert rows(url, stock, id_of("h1")) == [(FIRST, 450), (FIRST + 1, 50)]
    given = rows(url, "select slot, given_wh from household_share where given_wh > 0 order by slot")
    assert given == [(FIRST, 300), (FIRST + 1, 100)]


def test_settling_only_what_is_marked_or_history(url: str) -> None:
    sent = Stream()
    settled = "select slot from household_flow order by slot"
    apply(url, sent.sent("h1", _home(FIRST - 3, 5, 0, 0, 0, 0)), sent.sent("h1", _home(FIRST, 5, 0, 0, 0, 0)))
    assert rows(url, settled) == [(FIRST - 3,)]
    assert rows(url, "select count(*) from household_energy") == [(2,)]
    apply(url, *sent.marks(FIRST))
    assert rows(url, settled) == [(FIRST - 3,), (FIRST,)]
    apply(url, sent.sent("h1", _home(FIRST - 2, 5, 0, 0, 0, 0)))
    assert len(rows(url, settled)) == 3
    assert rows(url, "select count(*) from late_change") == [(0,)]


def test_settling_a_late_reading_of_one_changes_its_neighbours_share(url: str) -> None:
    state(household("h3"), joined("c", "h3"), device("m3", "h3", "METER"), url=url)
    sent = Stream()
    apply(
        url,
        sent.sent("h1", _home(FIRST, 0, 100, 100, 0, 0)),
        sent.sent("h2", _neighbour(FIRST, 100)),
        *sent.marks(FIRST),
    )
    shares = "select received_wh, given_wh from household_share order by household"
    assert rows(url, shares) == [(0, 100), (100, 0)]
    apply(url, sent.sent("h3", reading(FIRST, m3={"gridImportWh": 300, "gridExportWh": 0})))
    assert rows(url, shares) == [(0, 100), (25, 0), (75, 0)]
    assert rows(url, "select shared_wh, from_outside_wh, sharing from community_flow") == [(100, 300, 3)]


def test_settling_local_energy_in_a_battery_and_a_gap(url: str) -> None:
    sent = Stream()
    apply(
        url,
        sent.sent("h1", _home(FIRST, 500, 0, 0, 500, 0)),
        sent.sent("h2", _neighbour(FIRST, 0, 200)),
        *sent.marks(FIRST),
        sent.sent(
            "h1", reading(FIRST + 1, m1={"gridImportWh": 0, "gridExportWh": 0}, gen={"productionWh": 0})
        ),
        sent.sent("h1", _home(FIRST + 2, 0, 0, 0, 0, 100)),
        *sent.marks(FIRST + 2),
    )
    flows = """select slot, received_wh, received_to_battery_wh, local_battery_to_load_wh, stock_own_wh,
               stock_local_wh, stock_grid_wh from household_flow join meter_household using (household)
               where household_id = %s order by slot"""
    assert rows(url, flows, id_of("h1")) == [
        (FIRST, 200, 200, 0, 0, 180, 270),
        (FIRST + 2, 0, 0, 40, 0, 140, 210),
    ]


def test_settling_a_correction_long_ago_carries_the_stock_forward(url: str) -> None:
    dice, sent = random.Random(5), Stream()
    history = [
        sent.sent(
            "h1",
            _home(FIRST - LONG + n, 300, 0, dice.choice([0, 90]), dice.randrange(60), dice.randrange(50)),
        )
        for n in range(2 * LONG)
    ]
    apply(url, *history, *sent.marks(FIRST + LONG))
    before = rows(url, "select * from household_flow order by slot")
    assert len(before) == 2 * LONG
    apply(url, sent.sent("h1", _home(FIRST - LONG + 3, 900, 0, 0, 700, 0, revision=1)))
    after = rows(url, "select * from household_flow order by slot")
    assert sum(one != other for one, other in zip(before, after, strict=True)) > 200  # beyond one portion
    assert compare(url) == []


def test_settling_rebuilt_tables_take_the_place_of_the_live_ones(url: str) -> None:
    sent = Stream()
    for number in range(6):
        apply(
            url,
            sent.sent("h1", _home(FIRST + number, 100 * number, 0, 50, 20, 10)),
            *sent.marks(FIRST + number),
        )
    before = rows(url, "select * from household_flow order by slot")
    with_fault = "update {} set consumption_wh = consumption_wh + 1 where slot = %s returning 1"
    assert rows(url, with_fault.format("metering.household_flow"), FIRST + 2)
    assert len(compare(url)) == 2
    rebuild(url)
    assert compare(url) == []
    assert rows(url, "select * from household_flow order by slot") == before
    assert rows(url, "select count(*) from pg_namespace where nspname like 'metering%%'") == [(1,)]
    apply(url, sent.sent("h1", _home(FIRST + 6, 1, 0, 0, 0, 0)), *sent.marks(FIRST + 6))
    assert len(rows(url, "select 1 from household_flow")) == 7
