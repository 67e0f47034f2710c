"""A story of a small grid, made from a seed: facts and messages that may come in any interleaving."""

import random
from dataclasses import dataclass
from typing import Any

from projections.metering_batch import StreamMessage
from tests.projections.metered_grid import (
    FIRST,
    Stream,
    clock,
    community,
    device,
    founded,
    household,
    id_of,
    joined,
    reading,
)
from write_side.events import CommunityLeft, DeviceDetached, Fact
from write_side.rules.timeslots import slot_start

SLOTS = range(FIRST - 4, FIRST + 8)
_FIELDS = {
    "METER": ("gridImport", "gridExport"),
    "APPLIANCE": ("consumption",),
    "SOLAR": ("production",),
    "GENERATOR": ("production",),
    "BATTERY": ("charge", "discharge"),
    "VEHICLE": ("charge",),
}


@dataclass
class Story:
    """Facts in the order of the log, messages in the order of the stream."""

    facts: list[Fact]
    messages: list[StreamMessage]


@dataclass(frozen=True)
class _Device:
    name: str
    of: str
    kind: str
    indexed: bool


def told(seed: int) -> Story:
    """The story of a seed: three homes in two communities, moving, attaching late, correcting readings."""
    dice = random.Random(seed)
    devices = [
        _Device("m1", "h1", "METER", dice.random() < 0.3),
        _Device("pv1", "h1", "SOLAR", False),
        _Device("b1", "h1", "BATTERY", dice.random() < 0.3),
        _Device("m2", "h2", "METER", False),
        _Device("tv2", "h2", "APPLIANCE", dice.random() < 0.5),
        _Device("base3", "h3", "APPLIANCE", False),
        _Device("car3", "h3", "VEHICLE", False),
        _Device("gen3", "h3", "GENERATOR", False),
        _Device("b3", "h3", "BATTERY", False),
        _Device("m4", "h4", "METER", False),
    ]
    facts: list[Fact] = [founded(), clock(SLOTS.stop), community("c1"), community("c2")]
    facts += [household("h1"), joined("c1", "h1", FIRST - 4), household("h2"), joined("c1", "h2", FIRST - 4)]
    facts += [household("h3"), joined("c1", "h3", FIRST - 2), household("h4", "elsewhere")]
    rest = [_attached(dice, one) for one in devices] + [_moves("h3", FIRST + dice.randrange(6))]
    dice.shuffle(rest)
    facts += [fact for group in rest for fact in group]
    until = slot_start(FIRST + dice.randrange(2, 8))
    facts.append(DeviceDetached(device_id=id_of("tv2"), household_id=id_of("h2"), until=until))
    return Story(facts, _messages(dice, devices))


def _attached(dice: random.Random, one: _Device) -> list[Fact]:
    since = dice.choice([SLOTS.start, FIRST, FIRST + 2])
    more = (
        {"capacity_wh": 900, "efficiency_permille": dice.choice([900, 873])} if one.kind == "BATTERY" else {}
    )
    return [device(one.name, one.of, one.kind, since, **more)]


def _moves(name: str, slot: int) -> list[Fact]:
    until = slot_start(slot)
    left = CommunityLeft(community_id=id_of("c1"), household_id=id_of(name), until_slot_start=until)
    return [left, joined("c2", name, slot)]


def _messages(dice: random.Random, devices: list[_Device]) -> list[StreamMessage]:
    stream = Stream()
    messages: list[StreamMessage] = []
    moments = [(one, slot) for one in devices for slot in SLOTS if dice.random() < 0.9]
    dice.shuffle(moments)
    moments += dice.sample(moments, len(moments) // 4)
    for number, (one, slot) in enumerate(moments):
        body = reading(slot, dice.choice([0, 0, 0, 1, 2]), **{one.name: _values(dice, one, slot)})
        area = "elsewhere" if one.of == "h4" else "area"
        if dice.random() < 0.2:
            route, body = "all", {"households": {str(id_of(one.of)): body}}
        else:
            route = one.of
        messages.append(stream.sent(route, body, area))
        if dice.random() < 0.1:
            again = messages[-1]
            messages.append(stream.raw(again.subject, again.data))
        if number % 40 == 39:
            messages += stream.marks(FIRST + number // 40)
    return messages + stream.marks(FIRST + 6)


def _values(dice: random.Random, one: _Device, slot: int) -> dict[str, Any]:
    if one.indexed:
        since = slot - SLOTS.start + 1
        return {
            f"{name}IndexWh": since * 180 + dice.choice([0, 0.5, 60, -400]) + 500
            for name in _FIELDS[one.kind]
        }
    # Mostly what a house could measure: export and discharge are small.
    values: dict[str, Any] = {
        f"{name}Wh": dice.choice([0, 0, 50] if name in ("gridExport", "discharge") else [0, 120, 333, 700])
        for name in _FIELDS[one.kind]
    }
    if dice.random() < 0.05:
        values.popitem()
    return values or {"powerW": 7}
