"""The devices of a home: loads, panels, a generator, a battery. Power in W, energy in whole Wh per slot."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, Literal

from simulator.orders import Order, parse_order, written
from simulator.running_index import RunningIndex
from simulator.weather import Weather

Power = Callable[[datetime], int]
_KEPT_ORDERS = 20


@dataclass
class Machine:
    """Something that consumes or produces: its own power by time, unless the grid ordered otherwise."""

    kind: Literal["APPLIANCE", "SOLAR", "GENERATOR", "VEHICLE"]
    name: str
    power_w: Power
    rated_power_w: int
    device_id: str = ""
    index: RunningIndex = field(default_factory=RunningIndex)
    orders: list[Order] = field(default_factory=list)

    @property
    def produces(self) -> bool:
        """Panels and generators produce, everything else consumes."""
        return self.kind in ("SOLAR", "GENERATOR")

    def obey(self, order: Order) -> None:
        """Takes an order up; the one that begins last has the say."""
        self.orders = sorted([*self.orders, order], key=lambda each: each.begin)[-_KEPT_ORDERS:]

    def energy_wh(self, slot: datetime) -> int:
        """What the slot adds to the machine's index, in Wh."""
        return self.index.add(Fraction(self.power_now_w(slot), 4))

    def power_now_w(self, slot: datetime) -> int:
        """The power in W in a slot, orders included."""
        wanted_w = self.power_w(slot)
        in_force = [order for order in self.orders if order.holds(slot)]
        return in_force[-1].power(slot, wanted_w) if in_force else wanted_w

    def state(self) -> dict[str, Any]:
        """What must be kept for the machine to go on after a restart."""
        return {"totalWh": str(self.index.total_wh), "orders": [written(order) for order in self.orders]}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self.index = RunningIndex(state["totalWh"])
        self.orders = [parse_order(order) for order in state["orders"]]


@dataclass
class Battery:
    """A battery that takes surplus and gives to the load; losses are booked on charging."""

    name: str
    capacity_wh: int
    rated_power_w: int
    efficiency_permille: int = 900
    device_id: str = ""
    charged_wh: int = 0
    discharged_wh: int = 0
    kind: Literal["BATTERY"] = "BATTERY"

    @property
    def stock_wh(self) -> int:
        """What is in it: the stored part of all it was given, less all it gave."""
        return self._stored(self.charged_wh) - self.discharged_wh

    def charge(self, surplus_wh: int) -> int:
        """Takes what it can of a slot's surplus; answers that, in Wh at its terminals."""
        taken_wh = min(surplus_wh, self.rated_power_w // 4)
        while taken_wh and self._stored(self.charged_wh + taken_wh) - self.discharged_wh > self.capacity_wh:
            taken_wh -= 1
        self.charged_wh += taken_wh
        return taken_wh

    def discharge(self, lacking_wh: int) -> int:
        """Gives what it can of what a slot lacks; answers that, in Wh."""
        given_wh = min(lacking_wh, self.rated_power_w // 4, self.stock_wh)
        self.discharged_wh += given_wh
        return given_wh

    def _stored(self, charged_wh: int) -> int:
        return charged_wh * self.efficiency_permille // 1000

    def state(self) -> dict[str, Any]:
        """What must be kept for the battery to go on after a restart."""
        return {"chargedWh": self.charged_wh, "dischargedWh": self.discharged_wh}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self.charged_wh, self.discharged_wh = state["chargedWh"], state["dischargedWh"]


@dataclass
class Meter:
    """The grid connection's meter: import and export of the whole home."""

    name: str = "main meter"
    device_id: str = ""
    kind: Literal["METER"] = "METER"
    rated_power_w: int = 0


Device = Machine | Battery | Meter


def constant(kind: Literal["APPLIANCE", "GENERATOR"], name: str, power_w: int) -> Machine:
    """A load or a generator with one power, day and night."""
    return Machine(kind, name, lambda _slot: power_w, power_w)


def panels(name: str, rated_power_w: int, weather: Weather) -> Machine:
    """Panels under a sky; the power of a slot is that at its middle."""
    return Machine("SOLAR", name, lambda slot: _yield_w(rated_power_w, weather, slot), rated_power_w)


def _yield_w(rated_power_w: int, weather: Weather, slot: datetime) -> int:
    return round(rated_power_w * weather.yield_share(slot.replace(minute=slot.minute + 7)))
