"""A home on its own: slot by slot its devices run, and its journal says what really happened."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulator.devices import Battery, Device, Machine, Meter
from simulator.orders import Order
from simulator.slots import SLOT, format_time, parse_time

Reading = dict[str, int]
_JOURNAL_SLOTS = 40_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One slot in whole Wh: production + discharge + import = consumption + charge + export."""

    start: datetime
    consumption_wh: int
    production_wh: int
    charge_wh: int
    discharge_wh: int
    grid_import_wh: int
    grid_export_wh: int
    stock_wh: int
    device_wh: dict[str, int]

    @property
    def self_supplied_wh(self) -> int:
        """What of the consumption came from own panels or, charged from them alone, the own battery."""
        return self.consumption_wh - self.grid_import_wh


class Home:
    """Devices behind one grid connection. What no device reports is untracked load."""

    def __init__(self, name: str, *devices: Device) -> None:
        self.name = name
        self.devices: list[Device] = list(devices)
        self.journal: deque[Entry] = deque(maxlen=_JOURNAL_SLOTS)
        self.next_slot: datetime | None = None

    def add(self, device: Device) -> None:
        """A device is installed; it runs from the next slot on."""
        self.devices.append(device)

    def device(self, device_id: str) -> Device:
        """The device of that id. KeyError where the home has none."""
        for device in self.devices:
            if device.device_id == device_id:
                return device
        raise KeyError(device_id)

    def obey(self, order: Order) -> None:
        """Gives an order to its device. ValueError where the device cannot be told what to do."""
        device = self.device(order.device)
        if not isinstance(device, Machine):
            raise ValueError(f"a {device.kind} takes no orders")
        device.obey(order)

    def live_power(self, at: datetime) -> dict[str, Any]:
        """What the home draws from its own sources and the grid at a time, and each device's power, in W."""
        machines = [device for device in self.devices if isinstance(device, Machine)]
        told = {m.device_id: {"powerW": m.power_now_w(at)} for m in machines if m.device_id}
        return {"powerW": sum(m.power_now_w(at) for m in machines if not m.produces), "devices": told}

    def entry(self, start: datetime) -> Entry:
        """The journal of one slot. KeyError where it is not there."""
        for entry in reversed(self.journal):
            if entry.start == start:
                return entry
        raise KeyError(format_time(start))

    def run(self, start: datetime) -> dict[str, Reading]:
        """Lets a slot pass; answers the readings of the devices that report, by device id.

        A slot that passed already gives no readings again: time in a home goes one way."""
        if self.next_slot is not None and start < self.next_slot:
            return {}
        machines = [device for device in self.devices if isinstance(device, Machine)]
        energy_wh = [(machine, machine.energy_wh(start)) for machine in machines]
        entry = self._entry(start, energy_wh)
        self.journal.append(entry)
        self.next_slot = start + SLOT
        return self._readings(entry, energy_wh)

    def _entry(self, start: datetime, energy_wh: list[tuple[Machine, int]]) -> Entry:
        production_wh = sum(wh for machine, wh in energy_wh if machine.produces)
        consumption_wh = sum(wh for machine, wh in energy_wh if not machine.produces)
        balance_wh = production_wh - consumption_wh
        battery = self.battery
        charge_wh = battery.charge(balance_wh) if battery and balance_wh > 0 else 0
        discharge_wh = battery.discharge(-balance_wh) if battery and balance_wh < 0 else 0
        outward_wh = balance_wh - charge_wh + discharge_wh
        return Entry(
            start=start,
            consumption_wh=consumption_wh,
            production_wh=production_wh,
            charge_wh=charge_wh,
            discharge_wh=discharge_wh,
            grid_import_wh=max(0, -outward_wh),
            grid_export_wh=max(0, outward_wh),
            stock_wh=battery.stock_wh if battery else 0,
            device_wh={machine.name: wh for machine, wh in energy_wh},
        )

    @property
    def battery(self) -> Battery | None:
        """The home's battery, if it has one."""
        return next((device for device in self.devices if isinstance(device, Battery)), None)

    def _readings(self, entry: Entry, energy_wh: list[tuple[Machine, int]]) -> dict[str, Reading]:
        readings = {
            machine.device_id: {"productionWh" if machine.produces else "consumptionWh": wh}
            for machine, wh in energy_wh
        }
        for device in self.devices:
            if isinstance(device, Battery):
                charged = {"chargeWh": entry.charge_wh, "dischargeWh": entry.discharge_wh}
                readings[device.device_id] = charged | {"socWh": entry.stock_wh}
            if isinstance(device, Meter):
                through = {"gridImportWh": entry.grid_import_wh, "gridExportWh": entry.grid_export_wh}
                readings[device.device_id] = through
        return {device_id: reading for device_id, reading in readings.items() if device_id}

    def state(self) -> dict[str, Any]:
        """What must be kept for the home to go on after a restart."""
        devices = {device.name: device.state() for device in self.devices if not isinstance(device, Meter)}
        return {"nextSlot": self.next_slot and format_time(self.next_slot), "devices": devices}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self.next_slot = parse_time(state["nextSlot"]) if state["nextSlot"] else None
        for device in self.devices:
            if not isinstance(device, Meter) and device.name in state["devices"]:
                device.restore(state["devices"][device.name])
