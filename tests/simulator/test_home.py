"""A home conserves energy in every slot, and its battery never lies about what is in it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.devices import Battery, Machine, Meter, constant, panels
from simulator.home import Home
from simulator.orders import Order
from simulator.slots import SLOT
from simulator.weather import Weather

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
POWERS = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000)), min_size=1, max_size=60)


@given(powers=POWERS, capacity_wh=st.integers(1, 5000), efficiency=st.integers(1, 1000))
def test_every_slot_balances(powers: list[tuple[int, int]], capacity_wh: int, efficiency: int) -> None:
    load_w = {NOON + SLOT * number: load for number, (load, _) in enumerate(powers)}
    source_w = {NOON + SLOT * number: source for number, (_, source) in enumerate(powers)}
    battery = Battery("battery", capacity_wh, 3000, efficiency, device_id="b")
    home = Home(
        "home",
        Machine("APPLIANCE", "load", load_w.__getitem__, 9000, "l"),
        Machine("SOLAR", "source", source_w.__getitem__, 9000, "s"),
        battery,
        Meter(device_id="m"),
    )
    charged = discharged = 0
    for start in load_w:
        readings = home.run(start)
        entry = home.entry(start)
        inward = entry.production_wh + entry.discharge_wh + entry.grid_import_wh
        assert inward == entry.consumption_wh + entry.charge_wh + entry.grid_export_wh
        charged, discharged = charged + entry.charge_wh, discharged + entry.discharge_wh
        assert 0 <= entry.stock_wh == efficiency * charged // 1000 - discharged <= capacity_wh
        assert max(entry.charge_wh, entry.discharge_wh) <= 750
        assert readings["l"] == {"consumptionWh": entry.consumption_wh}
        assert readings["m"] == {"gridImportWh": entry.grid_import_wh, "gridExportWh": entry.grid_export_wh}
        assert readings["b"]["socWh"] == entry.stock_wh
    assert abs(sum(wh for wh, _ in powers) / 4 - sum(e.consumption_wh for e in home.journal)) <= 0.5


def test_a_slot_passes_once() -> None:
    home = Home("home", constant("APPLIANCE", "load", 400))
    home.devices[0].device_id = "l"
    assert home.run(NOON) == {"l": {"consumptionWh": 100}}
    assert home.run(NOON) == {}
    assert len(home.journal) == 1


def test_load_without_an_id_is_untracked() -> None:
    home = Home("home", constant("APPLIANCE", "the rest", 400), Meter(device_id="m"))
    assert home.run(NOON) == {"m": {"gridImportWh": 100, "gridExportWh": 0}}


def test_a_home_goes_on_where_it_stood() -> None:
    def made() -> Home:
        sky = Weather(45.0, 4.0)
        return Home(
            "h", constant("APPLIANCE", "load", 333), panels("panels", 2001, sky), Battery("b", 900, 4000)
        )

    whole, before = made(), made()
    later = [NOON + SLOT * number for number in range(1, 20)]
    for home in (whole, before):
        home.run(NOON)
    after = made()
    after.restore(before.state())
    for start in later:
        whole.run(start)
        after.run(start)
    assert list(whole.journal)[1:] == list(after.journal)


def _order(kind: str, **more: object) -> Order:
    fields = {"id": "1", "device": "l", "kind": kind, "begin": NOON + SLOT, "until": None, **more}
    return Order(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("order", "energies"),
    [
        (_order("SETPOINT", power_w=0), [100, 0, 0, 0]),
        (_order("SETPOINT", power_w=0, until=NOON + 2 * SLOT), [100, 0, 0, 0]),
        (_order("CURTAIL", power_w=200, until=NOON + 3 * SLOT), [100, 50, 50, 100]),
        (_order("PLAN", plan_wh=(300, 20)), [100, 300, 20, 100]),
    ],
)
def test_orders_hold_from_their_slot_on(order: Order, energies: list[int]) -> None:
    home = Home("home", constant("APPLIANCE", "load", 400))
    home.devices[0].device_id = "l"
    home.obey(order)
    assert [home.run(NOON + SLOT * number)["l"]["consumptionWh"] for number in range(4)] == energies


def test_resume_ends_a_setpoint() -> None:
    home = Home("home", constant("APPLIANCE", "load", 400))
    home.devices[0].device_id = "l"
    home.obey(_order("SETPOINT", power_w=0, begin=NOON))
    home.obey(_order("RESUME", begin=NOON + SLOT))
    assert [home.run(NOON + SLOT * number)["l"]["consumptionWh"] for number in range(2)] == [0, 100]


def test_the_sun_shines_at_noon_and_not_at_night() -> None:
    sky = Weather(45.8, 4.0, seed=5)
    assert sky.yield_share(datetime(2026, 1, 5, 0, tzinfo=UTC)) == 0
    winter = sky.yield_share(datetime(2026, 1, 5, 11, 45, tzinfo=UTC))
    summer = sky.yield_share(datetime(2026, 6, 21, 11, 45, tzinfo=UTC))
    assert 0.1 < winter < 0.5 < summer <= 1 or winter < summer
    assert winter == Weather(45.8, 4.0, seed=5).yield_share(datetime(2026, 1, 5, 11, 45, tzinfo=UTC))
