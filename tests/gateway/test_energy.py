"""Energy by query, set against sums that are written here: buckets, coverage, ranking, the rest."""

from datetime import timedelta
from typing import Any

import pytest

from tests.gateway.conftest import FIRST_SLOT, Neighbourhood
from write_side.rules.timeslots import slot_of

FIRST = slot_of(FIRST_SLOT)
TERMS = ("consumption_wh", "production_wh", "grid_import_wh", "grid_export_wh", "charge_wh", "discharge_wh")


@pytest.fixture(scope="module")
def house(neighbourhood: Neighbourhood) -> dict[str, Any]:
    """Eight slots before the grid's first: two hours of local Monday 5 January, 00:00 to 02:00 in Paris...

    Slot n consumes 100 + n Wh, 60 of them by the boiler; slot 3 is missing, slot 5 lacks production.
    """
    household = neighbourhood.register("Energy", 49.4, 1.1)
    begins = FIRST_SLOT - timedelta(hours=1)
    since = {"since": begins.isoformat()}
    boiler = neighbourhood.attach(household, "APPLIANCE", "boiler", **since)
    oven = neighbourhood.attach(household, "APPLIANCE", "oven", **since)
    number = neighbourhood.number("household", household["household"]["uuid"])
    numbers = [neighbourhood.number("device", device["uuid"]) for device in (boiler, oven)]
    raw = {
        "device_id": boiler["uuid"],
        "household": number,
        "kind": "APPLIANCE",
        "since_slot": slot_of(begins),
    }
    rest = {"efficiency_permille": 1000, "capacity_wh": 0}
    neighbourhood.fill("meter_device", {"device": numbers[0], **raw, **rest})
    for n in range(8):
        if n == 3:
            continue
        slot = slot_of(begins) + n
        values = dict.fromkeys(TERMS, 0) | {"consumption_wh": 100 + n, "grid_import_wh": 100 + n}
        energy: dict[str, object] = {"household": number, "slot": slot, **values, "appliances_wh": 80}
        complete = n != 5
        neighbourhood.fill(
            "household_energy",
            energy | {"complete": complete} | ({} if complete else {"production_wh": None}),
        )
        for device, wh in zip(numbers, (60, 20), strict=True):
            reading = {"device": device, "slot": slot, "consumption_wh": wh, "revision": 0, "sequence": n + 1}
            neighbourhood.fill("reading", reading | {"known_at": FIRST_SLOT})
    return household


def _energy(around: Neighbourhood, house: dict[str, Any], asked: str, fields: str) -> Any:
    query = f"{{ household {{ energy({asked}) {{ {fields} }} }} }}"
    return around.data(query, token=house["token"])["household"]["energy"]


def test_hours_are_sums_of_the_slots_that_are_there(
    neighbourhood: Neighbourhood, house: dict[str, Any]
) -> None:
    fields = "nodes { start consumptionWh productionWh untrackedWh coveragePercent closed }"
    nodes = _energy(neighbourhood, house, "last: 3, resolution: HOUR", fields)["nodes"]
    assert [node["start"] for node in nodes] == [f"2026-01-0{day}:00:00Z" for day in ("4T22", "4T23", "5T00")]
    assert [node["consumptionWh"] for node in nodes] == [None, 100 + 101 + 102, 104 + 105 + 106 + 107]
    assert [node["untrackedWh"] for node in nodes] == [None, 303 - 240, 422 - 320]
    assert [node["coveragePercent"] for node in nodes] == ["0.00", "75.00", "75.00"]
    assert [node["closed"] for node in nodes] == [True, True, True]


def test_a_local_day_begins_at_local_midnight(neighbourhood: Neighbourhood, house: dict[str, Any]) -> None:
    days = _energy(
        neighbourhood, house, "last: 2, resolution: DAY", "nodes { start end consumptionWh closed }"
    )
    assert [(node["start"], node["consumptionWh"], node["closed"]) for node in days["nodes"]] == [
        ("2026-01-03T23:00:00Z", None, True),
        ("2026-01-04T23:00:00Z", 725, False),
    ]


def test_columns_and_nodes_say_the_same(neighbourhood: Neighbourhood, house: dict[str, Any]) -> None:
    names = (
        "consumptionWh productionWh gridImportWh gridExportWh batteryChargeWh batteryDischargeWh untrackedWh"
    )
    found = _energy(
        neighbourhood,
        house,
        'from: "2026-01-04T23:00:00Z", to: "2026-01-05T01:00:00Z"',
        f"start nodes {{ start {names} }} columns {{ start starts {names} }} total {{ {names} }}",
    )
    assert found["start"] == found["columns"]["start"] == found["nodes"][0]["start"] == "2026-01-04T23:00:00Z"
    assert found["columns"]["starts"] == [node["start"] for node in found["nodes"]]
    for name in names.split():
        assert found["columns"][name] == [node[name] for node in found["nodes"]]
        assert found["total"][name] == sum(value or 0 for value in found["columns"][name])
    assert found["columns"]["consumptionWh"] == [100, 101, 102, None, 104, 105, 106, 107]
    assert found["columns"]["productionWh"] == [0, 0, 0, None, 0, None, 0, 0]


def test_devices_are_ranked_with_their_share(neighbourhood: Neighbourhood, house: dict[str, Any]) -> None:
    fields = """devices { device { name } energyWh sharePercent energyByBucketWh }
        untrackedWh untrackedPercent total { consumptionWh }"""
    found = _energy(neighbourhood, house, "last: 2, resolution: HOUR", fields)
    assert found["devices"] == [
        {
            "device": {"name": "boiler"},
            "energyWh": 420,
            "sharePercent": "57.93",
            "energyByBucketWh": [180, 240],
        },
        {"device": {"name": "oven"}, "energyWh": 140, "sharePercent": "19.31", "energyByBucketWh": [60, 80]},
    ]
    assert (found["untrackedWh"], found["untrackedPercent"]) == (165, "22.76")
    assert sum(entry["energyWh"] for entry in found["devices"]) + 165 == found["total"]["consumptionWh"]


def test_a_devices_own_series(neighbourhood: Neighbourhood, house: dict[str, Any]) -> None:
    query = """{ household { devices { name lastSlotStart energy(last: 8) {
        columns { consumptionWh coveragePercent } total { consumptionWh coveragePercent } } } } }"""
    boiler = neighbourhood.data(query, token=house["token"])["household"]["devices"][0]
    assert boiler["lastSlotStart"] == "2026-01-05T00:45:00Z"
    assert boiler["energy"]["columns"]["consumptionWh"] == [60, 60, 60, None, 60, 60, 60, 60]
    assert boiler["energy"]["total"] == {"consumptionWh": 420, "coveragePercent": "87.50"}


def test_where_nothing_is_the_reason_is_told(neighbourhood: Neighbourhood) -> None:
    empty = neighbourhood.register("Empty", 49.4, 1.1)
    query = """{ household { energy(last: 2) { nodes { consumptionWh coveragePercent } devices { energyWh } }
        autarky { selfSufficiencyPercent { value coveragePercent reason } missingWh } battery { socPercent }
        flows { total { pvToLoadWh } } notifications: community { memberCount } } }"""
    seen = neighbourhood.data(query, token=empty["token"])["household"]
    assert seen["energy"]["nodes"] == [{"consumptionWh": None, "coveragePercent": "0.00"}] * 2
    assert seen["autarky"]["selfSufficiencyPercent"] == {
        "value": None,
        "coveragePercent": "0.00",
        "reason": "nothing is attached that could be measured",
    }
    assert seen["battery"] is None
    assert seen["flows"]["total"] == {"pvToLoadWh": None}


def test_a_query_reads_no_more_than_40_000_slots(neighbourhood: Neighbourhood, house: dict[str, Any]) -> None:
    series = " ".join(f"e{n}: energy(last: 21000) {{ columns {{ start }} }}" for n in range(2))
    answer = neighbourhood.ask(f"{{ household {{ {series} }} }}", token=house["token"]).json()
    assert answer["errors"][0]["extensions"]["code"] == "TOO_COMPLEX"
