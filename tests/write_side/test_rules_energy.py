"""Balance, flows and rates of a household; examples 1 and 3 of the worked numbers, and a real French home."""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_side.rules.energy import (
    Flows,
    WattHours,
    coverage_percent,
    flows,
    household_balance,
    received_to,
    self_consumption_percent,
    self_sufficiency_percent,
)
from write_side.rules.sun import elevation_degrees
from write_side.rules.timeslots import LOCAL, month_slots

FRENCH_HOME = Path(__file__).parents[3] / "shared" / "data" / "home_fr_2024_load_pv_30min.csv.gz"
HALF_HOUR = timedelta(minutes=30)
ENERGY = st.integers(0, 50_000)

# Example 1: production, consumption, charge, discharge of four slots, Wh.
EXAMPLE_1 = (
    np.array([3000, 0, 0, 0]),
    np.array([1000, 800, 2000, 0]),
    np.array([1500, 1000, 0, 0]),
    np.array([0, 0, 1600, 600]),
)


def rounded(percent: Decimal | None) -> Decimal:
    assert percent is not None
    return percent.quantize(Decimal("0.01"))


def wh(*values: int) -> WattHours:
    return np.array(values, dtype=np.int64)


def test_example_1_flows() -> None:
    slots = flows(*EXAMPLE_1)
    assert slots.pv_to_load.tolist() == [1000, 0, 0, 0]
    assert slots.pv_to_battery.tolist() == [1500, 0, 0, 0]
    assert slots.pv_to_grid.tolist() == [500, 0, 0, 0]
    assert slots.battery_to_load.tolist() == [0, 0, 1600, 0]
    assert slots.battery_to_grid.tolist() == [0, 0, 0, 600]
    assert slots.grid_to_battery.tolist() == [0, 1000, 0, 0]
    assert slots.grid_to_load.tolist() == [0, 800, 400, 0]


def test_example_1_rates() -> None:
    assert rounded(self_sufficiency_percent(1960, 3800)) == Decimal("51.58")
    assert rounded(self_consumption_percent(3000, 500)) == Decimal("83.33")
    assert rounded(coverage_percent(3000, 3800)) == Decimal("78.95")
    assert rounded(self_consumption_percent(3000, 500 + 360)) == Decimal("71.33")


def test_example_1_charging_from_the_grid_is_not_negative_autarky() -> None:
    slot = flows(wh(0), wh(1000), wh(5000), wh(0))
    own_to_load = int(slot.pv_to_load[0] + slot.battery_to_load[0])
    assert self_sufficiency_percent(own_to_load, 1000) == 0


def test_example_1_selling_grid_energy_is_not_negative_self_consumption() -> None:
    slot = flows(wh(10_000), wh(5000), wh(0), wh(6000))
    assert int(slot.battery_to_grid[0]) == 6000
    assert self_consumption_percent(10_000, int(slot.pv_to_grid[0])) == 50


def test_the_check_of_the_definitions() -> None:
    assert rounded(self_consumption_percent(35_310, 35_310 - 11_700)) == Decimal("33.14")
    assert rounded(self_sufficiency_percent(11_700, 18_560)) == Decimal("63.04")


def test_a_zero_denominator_has_no_value() -> None:
    assert self_sufficiency_percent(0, 0) is None
    assert coverage_percent(10, 0) is None
    assert self_consumption_percent(0, 0) is None


def example_3_flows() -> tuple[Flows, Flows]:
    """H1 and H2 of the community with a battery, two slots each."""
    with_battery = flows(wh(1000, 0), wh(200, 300), wh(500, 0), wh(0, 400))
    return with_battery, flows(wh(0, 0), wh(400, 400), wh(0, 0), wh(0, 0))


def test_example_3_flows_and_rate_of_a_community() -> None:
    first, second = example_3_flows()
    assert first.pv_to_grid.tolist() == [300, 0]
    assert first.battery_to_grid.tolist() == [0, 100]
    to_load, to_battery = received_to(second, wh(300, 100))
    assert to_load.tolist() == [300, 100]
    assert to_battery.tolist() == [0, 0]
    own = first.pv_to_load.sum() + first.battery_to_load.sum() + to_load.sum()
    assert int(own) == 200 + 300 + 300 + 100
    assert rounded(self_sufficiency_percent(int(own), 1300)) == Decimal("69.23")


def test_received_energy_serves_load_before_the_battery() -> None:
    slot = flows(wh(0, 0), wh(300, 300), wh(500, 500), wh(0, 0))
    to_load, to_battery = received_to(slot, wh(200, 700))
    assert to_load.tolist() == [200, 300]
    assert to_battery.tolist() == [0, 400]


def test_a_metered_house_and_one_without_a_meter() -> None:
    balance = household_balance(
        metered=np.array([True, False, False]),
        production_wh=wh(3000, 3000, 0),
        charge_wh=wh(1500, 1500, 0),
        discharge_wh=wh(0, 0, 100),
        devices_wh=wh(777, 1000, 900),
        grid_import_wh=wh(0, 777, 777),
        grid_export_wh=wh(500, 777, 777),
    )
    assert balance.consumption_wh.tolist() == [1000, 1000, 900]
    assert balance.grid_import_wh.tolist() == [0, 0, 800]
    assert balance.grid_export_wh.tolist() == [500, 500, 0]
    assert balance.unexplained_wh.tolist() == [0, 0, 0]


def test_meters_that_contradict_each_other_never_make_consumption_negative() -> None:
    balance = household_balance(
        metered=np.array([True]),
        production_wh=wh(100),
        charge_wh=wh(0),
        discharge_wh=wh(0),
        devices_wh=wh(0),
        grid_import_wh=wh(0),
        grid_export_wh=wh(103),
    )
    assert balance.consumption_wh.tolist() == [0]
    assert balance.unexplained_wh.tolist() == [3]


@given(st.lists(st.tuples(ENERGY, ENERGY, ENERGY, ENERGY), min_size=1))
def test_energy_is_conserved_in_every_slot(rows: list[tuple[int, int, int, int]]) -> None:
    production, consumption, charge, discharge = np.array(rows, dtype=np.int64).T
    slots = flows(production, consumption, charge, discharge)
    assert all(bool((flow >= 0).all()) for flow in vars(slots).values())
    taken = slots.grid_to_load + slots.grid_to_battery
    given_back = slots.pv_to_grid + slots.battery_to_grid
    assert np.array_equal(production + discharge + taken, consumption + charge + given_back)
    assert np.array_equal(slots.pv_to_load + slots.battery_to_load + slots.grid_to_load, consumption)
    assert np.array_equal(slots.pv_to_battery + slots.grid_to_battery, charge)


@given(st.booleans(), *[ENERGY] * 6)
def test_a_balance_closes(
    metered: bool, production: int, charge: int, discharge: int, devices: int, taken: int, given_back: int
) -> None:
    balance = household_balance(
        metered=np.array([metered]),
        production_wh=wh(production),
        charge_wh=wh(charge),
        discharge_wh=wh(discharge),
        devices_wh=wh(devices),
        grid_import_wh=wh(taken),
        grid_export_wh=wh(given_back),
    )
    entered = production + discharge + int(balance.grid_import_wh[0]) + int(balance.unexplained_wh[0])
    assert entered == int(balance.consumption_wh[0]) + charge + int(balance.grid_export_wh[0])


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_a_rate_says_on_which_side_of_a_threshold_the_fraction_lies(own: int, consumption: int) -> None:
    rate = self_sufficiency_percent(own, consumption)
    assert rate is not None
    assert (rate >= 99) == (Fraction(100 * own, consumption) >= 99)


def half_hours(year: int, month: int) -> Iterator[tuple[datetime, str, str]]:
    slots = month_slots(year, month)
    with gzip.open(FRENCH_HOME, "rt") as lines:
        for row in csv.DictReader(lines):
            at = datetime.fromisoformat(row["time"])
            if int(at.timestamp()) // 900 in slots:
                yield at, row["load_w"], row["pv_w"]


@pytest.mark.skipif(not FRENCH_HOME.exists(), reason="../shared/data with the French home is not there")
@pytest.mark.parametrize(
    ("month", "own_mwh", "consumption_mwh", "percent", "coverage"),
    [(5, 169_419_850, 350_776_900, "48.30", "99.60"), (12, 136_333_400, 1_058_828_500, "12.88", "98.32")],
)
def test_example_12_a_real_french_home(
    month: int, own_mwh: int, consumption_mwh: int, percent: str, coverage: str
) -> None:
    # Thousandths of a Wh, so that the file's hundredths of a watt over half an hour stay whole.
    production, consumption, expected = [], [], 0
    for at, load_w, pv_w in half_hours(2024, month):
        expected += 1
        night = elevation_degrees(45.8, 4.0, (at + HALF_HOUR / 2).timestamp()) < 5
        if load_w and (pv_w or night):
            consumption.append(int(Decimal(load_w) * 500))
            production.append(int(Decimal(pv_w or 0) * 500))
    idle = np.zeros(len(consumption), dtype=np.int64)
    own = int(flows(wh(*production), wh(*consumption), idle, idle).pv_to_load.sum())
    assert sum(consumption) == pytest.approx(consumption_mwh, rel=0.002)
    assert own == pytest.approx(own_mwh, rel=0.002)
    rate = self_sufficiency_percent(own, sum(consumption))
    assert rate is not None
    assert abs(rate - Decimal(percent)) <= Decimal("0.2")
    assert abs(Decimal(100 * len(consumption)) / expected - Decimal(coverage)) <= Decimal("0.2")


def test_the_local_months_of_the_home_begin_at_local_midnight() -> None:
    start = datetime.fromtimestamp(month_slots(2024, 5).start * 900, UTC).astimezone(LOCAL)
    assert (start.month, start.day, start.hour) == (5, 1, 0)
