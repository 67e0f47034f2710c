"""Devices: what may be attached, from when, and the end of a device's measuring."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.write_side.story import BEGUN, NEXT, NOW, LogStory, attach, given, id_of, register
from write_side.commands import AttachDevice, DetachDevice, DeviceAlreadyAttached, DeviceUnknown, InvalidInput
from write_side.devices import MOST_DEVICES, decide_attach, decide_detach
from write_side.events import DeviceAttached, DeviceDetached, DeviceKind, Flexibility
from write_side.households import HOUSEHOLD

ANNA = id_of("anna")
METER = attach("meter", "anna", DeviceKind.METER, rated_power_w=0)


def fact_of(command: AttachDevice, **other: Any) -> DeviceAttached:
    names = DeviceAttached.__dataclass_fields__
    fact = DeviceAttached(**{name: getattr(command, name) for name in names} | {"since": BEGUN})
    return replace(fact, **other)


def ended(name: str) -> DeviceDetached:
    return DeviceDetached(device_id=id_of(name), household_id=ANNA, until=NEXT)


def test_a_device_is_measured_from_the_slot_that_runs() -> None:
    command = attach("oven", "anna", flexibility=Flexibility.SHIFTABLE, rated_power_w=2000)
    given(HOUSEHOLD).when(decide_attach, command, NOW).then(fact_of(command))


def test_a_device_with_a_history_is_measured_from_the_slot_of_its_first_time() -> None:
    command = attach("oven", "anna", since=NOW - timedelta(days=365))
    given(HOUSEHOLD).when(decide_attach, command, NOW).then(
        fact_of(command, since=BEGUN - timedelta(days=365))
    )


def test_all_that_is_known_of_a_device_is_stated() -> None:
    command = attach(
        "  battery ",
        "anna",
        DeviceKind.BATTERY,
        capacity_wh=1000,
        reserve_wh=1000,
        efficiency_permille=900,
        tilt_deg=90,
        azimuth_deg=359,
    )
    given(HOUSEHOLD).when(decide_attach, command, NOW).then(
        DeviceAttached(
            device_id=id_of("  battery "),
            household_id=ANNA,
            kind=DeviceKind.BATTERY,
            name="battery",
            since=BEGUN,
            flexibility=Flexibility.ESSENTIAL,
            rated_power_w=1000,
            capacity_wh=1000,
            reserve_wh=1000,
            efficiency_permille=900,
            tilt_deg=90,
            azimuth_deg=359,
        )
    )


@pytest.mark.parametrize(
    ("other", "saying"),
    [
        ({"name": " "}, "name: 1 to 200"),
        ({"rated_power_w": -1}, "ratedPowerW"),
        ({"rated_power_w": 1_000_001}, "ratedPowerW"),
        ({"reserve_wh": -1}, "capacityWh, reserveWh"),
        ({"reserve_wh": 11, "capacity_wh": 10}, "capacityWh, reserveWh"),
        ({"capacity_wh": 10_000_001}, "capacityWh, reserveWh"),
        ({"efficiency_permille": 0}, "efficiencyPercent"),
        ({"efficiency_permille": 1001}, "efficiencyPercent"),
        ({"kind": DeviceKind.BATTERY}, "a battery has a capacity"),
        ({"tilt_deg": -1}, "tiltDeg"),
        ({"tilt_deg": 91}, "tiltDeg"),
        ({"azimuth_deg": -1}, "azimuthDeg"),
        ({"azimuth_deg": 360}, "azimuthDeg"),
        ({"since": NOW + timedelta(seconds=1)}, "ahead of time"),
        ({"since": NOW - timedelta(days=366 * 30, seconds=1)}, "30 years"),
    ],
)
def test_what_cannot_be_a_device(other: dict[str, Any], saying: str) -> None:
    command = attach("oven", "anna", **other)
    given(HOUSEHOLD).when(decide_attach, command, NOW).refused(InvalidInput, saying)


def test_no_device_is_attached_twice_not_even_after_its_end() -> None:
    command = attach("oven", "anna")
    for past in ((fact_of(command),), (fact_of(command), ended("oven"))):
        given(HOUSEHOLD, *past).when(decide_attach, command, NOW).refused(
            DeviceAlreadyAttached, "attached already"
        )


def test_a_household_has_one_meter_at_a_time() -> None:
    another = attach("another", "anna", DeviceKind.METER)
    given(HOUSEHOLD, fact_of(METER)).when(decide_attach, another, NOW).refused(
        DeviceAlreadyAttached, "main meter: detach it first"
    )
    given(HOUSEHOLD, fact_of(METER), ended("meter")).when(decide_attach, another, NOW).then(fact_of(another))


def test_a_household_has_a_hundred_devices_at_most() -> None:
    facts = [fact_of(attach(f"lamp {n}", "anna")) for n in range(MOST_DEVICES)]
    command = attach("oven", "anna")
    given(HOUSEHOLD, *facts).when(decide_attach, command, NOW).refused(InvalidInput, "at most 100 devices")
    given(HOUSEHOLD, *facts, ended("lamp 7")).when(decide_attach, command, NOW).then(fact_of(command))


def test_a_device_is_measured_until_the_next_slot_begins() -> None:
    command = DetachDevice(household_id=ANNA, device_id=id_of("oven"))
    given(HOUSEHOLD, fact_of(attach("oven", "anna"))).when(decide_detach, command, NOW).then(ended("oven"))


def test_no_device_ends_that_is_not_attached() -> None:
    command = DetachDevice(household_id=ANNA, device_id=id_of("oven"))
    for past in ((), (fact_of(METER),), (fact_of(attach("oven", "anna")), ended("oven"))):
        given(HOUSEHOLD, *past).when(decide_detach, command, NOW).refused(
            DeviceUnknown, "no such device attached"
        )


def test_devices_lie_in_the_household_s_stream(story: LogStory) -> None:
    story.given(register("anna")).when(METER).then(fact_of(METER))
    story.when(DetachDevice(household_id=ANNA, device_id=id_of("meter"))).then(ended("meter"))
    streams = story.rows("select distinct originator_id from log.fact where topic like 'Device%%'")
    assert streams == [(f"household/{ANNA}",)]
