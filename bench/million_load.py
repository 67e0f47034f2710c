"""The homes of the bench `million`: who they are, what their meters say, and what must come of it.

A home has a meter, panels, two appliances and a battery (every tenth) or a third appliance. In a slot it
either sends its surplus out or lacks something, never both, and no battery discharges: so the client can work
out by hand what each home and each community supplies itself with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from write_side.commands import AttachDevice, RegisterHousehold, SetAutarkyRule
from write_side.events import DeviceKind, Flexibility
from write_side.importing import Newcomer

Ints = NDArray[np.int64]
MEMBERS, DEVICES = 100, 5
RULED = 10  # so many homes of a community, and the community itself, are judged on one slot at a time
THRESHOLD = {"household": 100, "community": 60}
_COLUMNS = ("gridImportWh", "gridExportWh", "productionWh", "consumptionWh", "consumptionWh", "chargeWh")
_KINDS = ("METER", "SOLAR", "APPLIANCE", "APPLIANCE")
_BATTERY_EVERY = 10
_SIDE = 100  # communities stand in rows and columns, 0.1 degrees apart: nobody could join the next one


def id_of(kind: int, number: int) -> UUID:
    """The id of the nth household (0) or device (1), spread over the whole range as real ids are."""
    return UUID(int=((number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 + kind * 0x1234567) % 2**128)


def has_battery(household: int) -> bool:
    """Whether the fifth device is a battery."""
    return household % _BATTERY_EVERY == 0


def newcomer(household: int) -> Newcomer:
    """The commands that bring a household and its devices in."""
    community, member = divmod(household, MEMBERS)
    row, column = divmod(community, _SIDE)
    place = RegisterHousehold(
        household_id=id_of(0, household),
        name=f"home {household}",
        address=f"{household}, rue du Banc",
        latitude_deg=Decimal(400_000 + 1_000 * row + member) / 10_000,
        longitude_deg=Decimal(1_000 * column) / 10_000,
        subscribed_power_w=9_000,
    )
    kinds = (*_KINDS, "BATTERY" if has_battery(household) else "APPLIANCE")
    devices = tuple(_device(household, number, kind) for number, kind in enumerate(kinds))
    return Newcomer(f"million/{household}", place, devices)


def _device(household: int, number: int, kind: str) -> AttachDevice:
    return AttachDevice(
        device_id=id_of(1, household * DEVICES + number),
        household_id=id_of(0, household),
        kind=DeviceKind(kind),
        name=f"{kind.lower()} {number}",
        since=None,
        flexibility=Flexibility.ESSENTIAL,
        rated_power_w=3_000,
        capacity_wh=8_000 if kind == "BATTERY" else 0,
        reserve_wh=0,
        efficiency_permille=950 if kind == "BATTERY" else 1_000,
        tilt_deg=30 if kind == "SOLAR" else None,
        azimuth_deg=180 if kind == "SOLAR" else None,
    )


def rules(households: int, community_ids: list[str]) -> Iterator[SetAutarkyRule]:
    """The rules of those who are judged on each slot by itself."""
    for household in range(households):
        if household % MEMBERS < RULED:
            yield _rule("household", household_id=id_of(0, household), community_id=None)
    for community_id in community_ids:
        yield _rule("community", household_id=None, community_id=UUID(community_id))


def _rule(of: str, *, household_id: UUID | None, community_id: UUID | None) -> SetAutarkyRule:
    return SetAutarkyRule(
        household_id=household_id,
        community_id=community_id,
        window_slots=1,
        threshold_percent=Decimal(THRESHOLD[of]),
        hysteresis_points=Decimal(0),
        dwell_slots=1,
        minimum_coverage_percent=Decimal(90),
    )


@dataclass(frozen=True)
class Slot:
    """What every home measures in a slot, Wh: `values[household, columns]`, as _COLUMNS says."""

    values: Ints

    @classmethod
    def drawn(cls, households: int, slot: int) -> "Slot":
        """The same slot, the same values."""
        rng = np.random.default_rng(slot)
        values = rng.integers(0, 300, (households, len(_COLUMNS)), dtype=np.int32).astype(np.int64)
        is_sunny = rng.random(households) < 0.5
        values[is_sunny, 0] = 0
        values[~is_sunny, 1] = 0
        values[:, 2] += 600  # more than leaves the house or goes into the battery
        values[~is_sunny, 2] -= 550
        values[:, 5] *= (np.arange(households) % _BATTERY_EVERY == 0) & is_sunny
        return cls(values)

    @cached_property
    def consumption_wh(self) -> Ints:
        """What comes in and does not go out again."""
        imported, exported, production, _, _, charge = self.values.T
        found: Ints = production + imported - exported - charge
        return found

    @cached_property
    def own_wh(self) -> Ints:
        """What the panels serve of the load."""
        return np.minimum(self.values[:, 2], self.consumption_wh)

    @property
    def household_reaches(self) -> NDArray[np.bool_]:
        """Who feeds itself by the threshold of the ruled households."""
        reaches: NDArray[np.bool_] = 100 * self.own_wh >= THRESHOLD["household"] * self.consumption_wh
        return reaches

    @property
    def community_reaches(self) -> NDArray[np.bool_]:
        """Which communities do: their own, and what they share, which is all that one has and others lack."""
        own, consumed, imported, exported = (
            column.reshape(-1, MEMBERS).sum(axis=1)
            for column in (self.own_wh, self.consumption_wh, self.values[:, 0], self.values[:, 1])
        )
        supplied = own + np.minimum(imported, exported)
        reaches: NDArray[np.bool_] = 100 * supplied >= THRESHOLD["community"] * consumed
        return reaches

    @property
    def totals_wh(self) -> tuple[int, ...]:
        """The grid's consumption, production, import, export and charge."""
        imported, exported, production, _, _, charge = self.values.sum(axis=0)
        return tuple(map(int, (self.consumption_wh.sum(), production, imported, exported, charge)))

    def message(self, template: bytes, community: int, start: datetime) -> bytes:
        """What the community's concentrator sends, of its template."""
        stamp = b'"revision":0,"slot":"%s"' % f"{start:%Y-%m-%dT%H:%M:%SZ}".encode()
        lines = self.values[community * MEMBERS : (community + 1) * MEMBERS].ravel().tolist()
        return template.replace(b"@", stamp) % tuple(lines)


def template(community: int) -> bytes:
    """The message of a community, `@` where a home's slot and revision stand, `%d` for each value."""
    homes = range(community * MEMBERS, (community + 1) * MEMBERS)
    return b'{"households":{' + b",".join(map(_home, homes)) + b"}}"


def _home(household: int) -> bytes:
    ids = [str(id_of(1, household * DEVICES + number)) for number in range(DEVICES)]
    last = '"chargeWh":%d,"dischargeWh":0' if has_battery(household) else '"consumptionWh":%d'
    load = '"consumptionWh":%d'
    fields = ('"gridImportWh":%d,"gridExportWh":%d', '"productionWh":%d', load, load, last)
    devices = ",".join(f'"{device}":{{{each}}}' for device, each in zip(ids, fields, strict=True))
    return f'"{id_of(0, household)}":{{@,"devices":{{{devices}}}}}'.encode()


SLOT = timedelta(minutes=15)
