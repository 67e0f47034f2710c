"""Who lives in the small neighbourhood, and what stands in their homes."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from simulator.devices import Battery, Device, Machine, Meter, constant, panels
from simulator.slots import LOCAL
from simulator.weather import Weather

PLACE = (45.764, 4.8357)
_SKY = Weather(*PLACE, seed=69)
# Share of the largest load by local hour, as homes have it: low at night, a morning, a larger evening.
_HOURS = (3, 3, 2, 2, 2, 3, 5, 7, 6, 4, 4, 5, 6, 5, 4, 4, 5, 7, 9, 10, 9, 8, 6, 4)


@dataclass(frozen=True)
class Neighbour:
    """A home to be: its name, where it stands from the place's middle, its devices."""

    name: str
    address: str
    north_m: int
    east_m: int
    devices: Sequence[Device]
    hidden: frozenset[str] = frozenset()

    @property
    def reporting(self) -> list[Device]:
        """The devices the grid is told of; what stays hidden is the untracked rest behind a meter."""
        return [device for device in self.devices if device.name not in self.hidden]


def _living(name: str, largest_w: int, seed: int) -> Machine:
    """A load that follows the day of people, the same every time for the same slot."""

    def power_w(slot: datetime) -> int:
        chance = random.Random(f"{seed}/{slot.timestamp()}").uniform(0.7, 1.3)
        return round(largest_w * _HOURS[slot.astimezone(LOCAL).hour] / 10 * chance)

    return Machine("APPLIANCE", name, power_w, largest_w)


def _in_hours(name: str, power_w: int, *hours: int) -> Machine:
    """A load that runs in some local hours."""
    return Machine(
        "APPLIANCE", name, lambda slot: power_w if slot.astimezone(LOCAL).hour in hours else 0, power_w
    )


def _pierre_and_marie() -> Neighbour:
    devices = (
        _living("base load", 600, 1),
        constant("APPLIANCE", "fridge", 60),
        _in_hours("oven", 1800, 12, 19),
    )
    return Neighbour("Pierre & Marie", "1 rue de la Mouche", 0, 0, devices)


def _albert() -> Neighbour:
    roof = panels("panels", 6000, _SKY)
    battery = Battery("battery", 7000, 4000, 900)
    devices = (_living("base load", 700, 2), _in_hours("washing machine", 900, 10), roof, battery)
    return Neighbour("Albert", "4 rue du Soleil", 350, 120, devices)


def _ines() -> Neighbour:
    devices = (_living("base load", 450, 3), panels("panels", 3000, _SKY))
    return Neighbour("Inès", "7 rue Garibaldi", -280, 400, devices)


def _leon() -> Neighbour:
    boiler = _in_hours("boiler", 2000, 2, 3)
    devices = (Meter(), boiler, _living("the rest", 500, 4))
    return Neighbour("Léon", "12 quai Perrache", -150, -350, devices, frozenset({"the rest"}))


def _bakery() -> Neighbour:
    devices = (Meter(), _in_hours("baking oven", 7000, 3, 4, 5, 6), constant("APPLIANCE", "cold room", 800))
    return Neighbour("The bakery", "2 place du Marché", 200, -220, devices)


def _school() -> Neighbour:
    lights = _in_hours("lights", 3000, *range(8, 18))
    devices = (constant("APPLIANCE", "base load", 500), lights, panels("panels", 9000, _SKY))
    return Neighbour("The school", "20 rue des Écoles", -420, 60, devices)


_HOMES = (_pierre_and_marie, _albert, _ines, _leon, _bakery, _school)
MOST_HOMES = len(_HOMES)


def neighbour(number: int) -> Neighbour:
    """The home of that number, 0 to MOST_HOMES - 1, with devices of its own."""
    return _HOMES[number]()
