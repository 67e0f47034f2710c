"""Homes for the benches of metering, and what their concentrators send: made from a seed, summed by numpy.

A home has five devices: a meter, two appliances, and panels, a battery, a car or more appliances. The client
knows what it sent, so it knows what every total must be without asking the grid.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from write_side.events import (
    ClockAdvanced,
    CommunityFounded,
    CommunityJoined,
    DeviceAttached,
    DeviceKind,
    Fact,
    Flexibility,
    GridFounded,
    HouseholdRegistered,
    Stride,
)
from write_side.log import LOG_LOCK, append
from write_side.rules.timeslots import slot_of, slot_start
from write_side.stored_form import encode

DEVICES = 5
VARIANTS = 8  # a community's slots differ in their values, and come round again after so many
START = datetime(2026, 1, 5, tzinfo=UTC)
FIRST = slot_of(START)
TERMS = ("consumption", "production", "grid_import", "grid_export", "charge", "discharge")
_MOST_SLOTS = 40_000
_FACTS_AT_ONCE = 20_000
_SLOT = b"@"
_FIELDS = {
    "METER": ("gridImportWh", "gridExportWh"),
    "APPLIANCE": ("consumptionWh",),
    "SOLAR": ("productionWh",),
    "BATTERY": ("chargeWh", "dischargeWh", "socWh"),
    "VEHICLE": ("chargeWh",),
}
# Whatever is drawn, more enters a house than leaves it.
_RANGE_WH = {"gridImportWh": (600, 2_500), "gridExportWh": (0, 60), "chargeWh": (0, 500)}
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Home:
    """A household with its devices' ids and kinds."""

    household: UUID
    devices: tuple[tuple[UUID, str], ...]


@dataclass(frozen=True)
class Community:
    """The homes of one network area; `sums[variant, home, TERMS]` is what their devices measure, Wh."""

    community: UUID
    area: UUID
    homes: tuple[Home, ...]
    sums: Ints
    pieces: tuple[tuple[bytes, ...], ...]  # of each variant: the message, cut where the slot stands
    single: tuple[tuple[tuple[bytes, ...], ...], ...]  # of each variant: each home's own message, cut so

    def message(self, variant: int, slot: int, revision: int = 0) -> bytes:
        """What the concentrator sends for a slot: all homes."""
        return _stamp(slot, revision).join(self.pieces[variant % VARIANTS])

    def home_message(self, home: int, variant: int, slot: int) -> bytes:
        """What one home sends for a slot."""
        return _stamp(slot, 0).join(self.single[variant % VARIANTS][home])


def _stamp(slot: int, revision: int) -> bytes:
    start = slot_start(slot).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    return b'"revision":%d,"slot":"%s"' % (revision, start)


def communities(count: int, homes: int, seed: int = 1) -> list[Community]:
    """As many communities of so many homes each; the same seed, the same ids and values."""
    dice = random.Random(seed)
    return [_community(dice, homes) for _ in range(count)]


def _community(dice: random.Random, count: int) -> Community:
    homes = tuple(_home(dice, number) for number in range(count))
    fields = [(home, field) for home in homes for _, kind in home.devices for field in _FIELDS[kind]]
    rng = np.random.default_rng(dice.getrandbits(63))
    ranges = np.array([_RANGE_WH.get(field, (0, 400)) for _, field in fields])
    values = rng.integers(ranges[:, 0], ranges[:, 1], (VARIANTS, len(fields)))
    texts = [_text(home) for home in homes]
    together = b'{"households":{' + b",".join(b'"%s":%s' % pair for pair in texts) + b"}}"
    pieces: list[tuple[bytes, ...]] = []
    single: list[tuple[tuple[bytes, ...], ...]] = []
    for line in values.tolist():
        pieces.append(tuple((together % tuple(line)).split(_SLOT)))
        numbers = iter(line)
        alone = [text % tuple(next(numbers) for _ in range(text.count(b"%d"))) for _, text in texts]
        single.append(tuple(tuple(text.split(_SLOT)) for text in alone))
    return Community(_id(dice), _id(dice), homes, _sums(homes, values), tuple(pieces), tuple(single))


def _home(dice: random.Random, number: int) -> Home:
    fourth = "SOLAR" if number % 3 == 0 else "APPLIANCE"
    fifth = {0: "BATTERY", 5: "VEHICLE"}.get(number % 10, "APPLIANCE")
    kinds = ("METER", "APPLIANCE", "APPLIANCE", fourth, fifth)
    return Home(_id(dice), tuple((_id(dice), kind) for kind in kinds))


def _id(dice: random.Random) -> UUID:
    return UUID(int=dice.getrandbits(128), version=4)


def _text(home: Home) -> tuple[bytes, bytes]:
    devices = b",".join(
        b'"%s":{%s}' % (str(device).encode(), b",".join(b'"%s":%%d' % f.encode() for f in _FIELDS[kind]))
        for device, kind in home.devices
    )
    return str(home.household).encode(), b'{@,"devices":{%s}}' % devices


def _sums(homes: tuple[Home, ...], values: Ints) -> Ints:
    """By the definition of the terms: what comes into a house and is not sent out again was consumed."""
    sums = np.zeros((len(values), len(homes), len(TERMS)), dtype=np.int64)
    _, production, imported, exported, charge, discharge = range(len(TERMS))
    term = {
        "gridImportWh": imported, "gridExportWh": exported, "productionWh": production,
        "chargeWh": charge, "dischargeWh": discharge,
    }  # fmt: skip
    column = 0
    for number, home in enumerate(homes):
        for _, kind in home.devices:
            for field in _FIELDS[kind]:
                if field in term and kind != "VEHICLE":  # a car is a load: its charging is consumption
                    sums[:, number, term[field]] += values[:, column]
                column += 1
    entering = sums[..., production] + sums[..., imported] + sums[..., discharge]
    sums[..., 0] = entering - sums[..., exported] - sums[..., charge]
    return sums


def found(database_url: str, made: list[Community]) -> int:
    """Puts the facts of these homes into the log, and a clock that no reading is ahead of; their count."""
    end = slot_start(FIRST + _MOST_SLOTS)
    facts: list[Fact] = [
        GridFounded(first_slot_start=START, simulated=True),
        ClockAdvanced(since=end - timedelta(minutes=15), to=end, target=end, stride=Stride.SLOT),
    ]
    for community in made:
        facts += _facts(community)
    told: dict[str, Any] = {
        "at": START, "recorded_at": START, "by": "bench", "key": "bench", "cause": None,
        "correlation": "bench",
    }  # fmt: skip
    with psycopg.connect(database_url) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (LOG_LOCK,))
        for begin in range(0, len(facts), _FACTS_AT_ONCE):
            part = facts[begin : begin + _FACTS_AT_ONCE]
            rows = [("bench", begin + n, *encode(fact, **told)) for n, fact in enumerate(part, 1)]
            append(connection, rows)
    return len(facts)


def _facts(community: Community) -> Iterator[Fact]:
    yield CommunityFounded(community_id=community.community, area_id=community.area)
    for home in community.homes:
        yield HouseholdRegistered(
            household_id=home.household,
            area_id=community.area,
            subscribed_power_w=9_000,
            latitude_deg=Decimal("45.8"),
            longitude_deg=Decimal("4.8"),
        )
        yield CommunityJoined(
            community_id=community.community, household_id=home.household, from_slot_start=START
        )
        for number, (device, kind) in enumerate(home.devices):
            yield DeviceAttached(
                device_id=device,
                household_id=home.household,
                kind=DeviceKind(kind),
                name=f"{kind.lower()} {number}",
                since=START,
                flexibility=Flexibility.ESSENTIAL,
                rated_power_w=2_000,
                capacity_wh=10_000 if kind == "BATTERY" else 0,
            )
