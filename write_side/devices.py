"""Devices of a household: what may be attached, and when its measuring begins and ends."""

from datetime import datetime, timedelta
from functools import lru_cache

from write_side.clock import next_slot_start
from write_side.commands import AttachDevice, DetachDevice, DeviceAlreadyAttached, DeviceUnknown, InvalidInput
from write_side.events import DeviceAttached, DeviceDetached, DeviceKind, Fact
from write_side.households import PRODUCTION, Household, check_name, known, stream_of
from write_side.past import Decision, Past
from write_side.places import ProductionChanged
from write_side.rules.timeslots import slot_of, slot_start

MOST_DEVICES = 100
LARGEST_POWER_W = 1_000_000
LARGEST_CAPACITY_WH = 10_000_000
LONGEST_HISTORY = timedelta(days=366 * 30)


def _check_ranges(command: AttachDevice) -> None:
    check_name(command.name)
    if not 0 <= command.rated_power_w <= LARGEST_POWER_W:
        raise InvalidInput(f"ratedPowerW: 0 to {LARGEST_POWER_W} W")
    if not 0 <= command.reserve_wh <= command.capacity_wh <= LARGEST_CAPACITY_WH:
        raise InvalidInput(f"capacityWh, reserveWh: 0 <= reserve <= capacity <= {LARGEST_CAPACITY_WH} Wh")
    if not 1 <= command.efficiency_permille <= 1000:
        raise InvalidInput("efficiencyPercent: above 0 and at most 100, in steps of 0.1")
    if command.kind is DeviceKind.BATTERY and command.capacity_wh == 0:
        raise InvalidInput("capacityWh: a battery has a capacity")
    if command.tilt_deg is not None and not 0 <= command.tilt_deg <= 90:
        raise InvalidInput("tiltDeg: 0 to 90 degrees")
    if command.azimuth_deg is not None and not 0 <= command.azimuth_deg < 360:
        raise InvalidInput("azimuthDeg: 0 (north) to 359 degrees")


def _check_since(since: datetime, now: datetime) -> None:
    if since > now:
        raise InvalidInput("since: a device is not attached ahead of time")
    if since < now - LONGEST_HISTORY:
        raise InvalidInput("since: at most 30 years back")


@lru_cache(64)  # the devices of a file begin at the same time, most of them
def _slot_start(at: datetime) -> datetime:
    return slot_start(slot_of(at))


def decide_attach(household: Household, command: AttachDevice, now: datetime) -> list[Fact]:
    """Attaches a device from the slot of `since`, or from the slot that runs now."""
    _check_ranges(command)
    since = command.since or now
    _check_since(since, now)
    if command.device_id in household.devices:
        raise DeviceAlreadyAttached("this device is attached already")
    attached = [device for device in household.devices.values() if device.until is None]
    if command.kind is DeviceKind.METER and any(device.kind is DeviceKind.METER for device in attached):
        raise DeviceAlreadyAttached("the household has a main meter: detach it first")
    if len(attached) >= MOST_DEVICES:
        raise InvalidInput(f"a household has at most {MOST_DEVICES} devices")
    return [
        DeviceAttached(
            device_id=command.device_id,
            household_id=command.household_id,
            kind=command.kind,
            name=command.name.strip(),
            since=_slot_start(since),
            flexibility=command.flexibility,
            rated_power_w=command.rated_power_w,
            capacity_wh=command.capacity_wh,
            reserve_wh=command.reserve_wh,
            efficiency_permille=command.efficiency_permille,
            tilt_deg=command.tilt_deg,
            azimuth_deg=command.azimuth_deg,
        )
    ]


def decide_detach(household: Household, command: DetachDevice, now: datetime) -> list[Fact]:
    """Ends a device's measuring where the next slot begins."""
    device = household.devices.get(command.device_id)
    if device is None or device.until is not None:
        raise DeviceUnknown("the household has no such device attached")
    until = next_slot_start(now)
    return [DeviceDetached(device_id=command.device_id, household_id=command.household_id, until=until)]


def handle_attach(command: AttachDevice, past: Past) -> Decision:
    """Attaches a device to a household that exists."""
    facts = decide_attach(known(past, command.household_id), command, past.at)
    decision = Decision([(stream_of(command.household_id), fact) for fact in facts])
    if command.kind in PRODUCTION:
        decision.places.append(ProductionChanged(command.household_id, command.rated_power_w))
    return decision


def handle_detach(command: DetachDevice, past: Past) -> Decision:
    """Detaches a device of the household."""
    household = known(past, command.household_id)
    facts = decide_detach(household, command, past.at)
    decision = Decision([(stream_of(command.household_id), fact) for fact in facts])
    device = household.devices[command.device_id]
    if device.kind in PRODUCTION:
        decision.places.append(ProductionChanged(command.household_id, -device.rated_power_w))
    return decision
