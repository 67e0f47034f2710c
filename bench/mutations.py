"""The mutations that a town sends on a busy day, as HTTP requests or as bare commands, and what the log must
hold of them afterwards."""

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
from strawberry import relay

from bench.figures import WrongAnswer
from bench.open_loop import asking
from write_side.commands import (
    AttachDevice,
    Command,
    RegisterHousehold,
    RenameHousehold,
    SetConsent,
    SwitchDevice,
)
from write_side.events import ConsentPurpose, DeviceKind, Flexibility, Granularity

MIX = {"rename": 0.4, "consent": 0.25, "switch": 0.25, "register": 0.1}
MIX_TEXT = ", ".join(f"{share:.0%} {kind}" for kind, share in MIX.items())
HOMES_PER_VILLAGE = 150
_DEGREES_PER_M = 1 / 111_195

_QUERIES = {
    "rename": ("RenameHouseholdInput", "renameHousehold", "HouseholdPayload"),
    "consent": ("SetConsentInput", "setConsent", "HouseholdPayload"),
    "switch": ("SwitchDeviceInput", "switchDevice", "SwitchDevicePayload"),
    "register": ("RegisterHouseholdInput", "registerHousehold", "RegisterHouseholdPayload"),
}
# What a command may leave in the log; a consent that stands already leaves nothing.
_FACTS: dict[str, tuple[dict[str, int], ...]] = {
    "rename": ({"HouseholdRenamed": 1},),
    "consent": ({"ConsentGiven": 1}, {"ConsentWithdrawn": 1}, {}),
    "switch": ({"DeviceSwitched": 1},),
    "register": (
        {"HouseholdRegistered": 1, "CommunityJoined": 1},
        {"HouseholdRegistered": 1, "CommunityFounded": 1, "CommunityJoined": 1},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Home:
    """A household with one device, and where it stands, degrees."""

    household_id: UUID
    device_id: UUID
    latitude: Decimal
    longitude: Decimal

    def commands(self) -> tuple[Command, Command]:
        """Its registration, and the attaching of its device."""
        return self.registration("a home"), AttachDevice(
            device_id=self.device_id,
            household_id=self.household_id,
            kind=DeviceKind.APPLIANCE,
            name="water heater",
            since=None,
            flexibility=Flexibility.SHIFTABLE,
            rated_power_w=2400,
            capacity_wh=0,
            reserve_wh=0,
            efficiency_permille=1000,
            tilt_deg=None,
            azimuth_deg=None,
        )

    def registration(self, name: str) -> RegisterHousehold:
        """Its registration alone."""
        return RegisterHousehold(
            household_id=self.household_id,
            name=name,
            address="1, rue du Moulin",
            latitude_deg=self.latitude,
            longitude_deg=self.longitude,
            subscribed_power_w=6000,
        )


def homes(count: int, chance: random.Random, first: int = 0) -> list[Home]:
    """Homes in villages 5 km apart, each village within 800 m."""
    return [_home(number, chance) for number in range(first, first + count)]


def _home(number: int, chance: random.Random) -> Home:
    village = number // HOMES_PER_VILLAGE
    north, east = divmod(village, 100)
    return Home(
        household_id=uuid4(),
        device_id=uuid4(),
        latitude=_degrees(44 + north * 0.05 + chance.uniform(0, 800) * _DEGREES_PER_M),
        longitude=_degrees(1 + east * 0.07 + chance.uniform(0, 800) * _DEGREES_PER_M),
    )


def _degrees(value: float) -> Decimal:
    return Decimal(f"{value:.6f}")


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One mutation of the mix; `home` is whom it is about, for a registration whom it brings."""

    kind: str
    key: str
    home: Home
    choice: int

    @property
    def by(self) -> str:
        """The principal who sends it: the household itself, the operator for a registration."""
        return "operator:nikola" if self.kind == "register" else f"household:{self.home.household_id}"

    def command(self) -> Command:
        """It as the write side takes it."""
        household_id = self.home.household_id
        match self.kind:
            case "rename":
                return RenameHousehold(household_id=household_id, name=f"name {self.choice}")
            case "consent":
                purpose, granularity = self._consent()
                return SetConsent(household_id=household_id, purpose=purpose, granularity=granularity)
            case "switch":
                on = self.choice % 2 == 0
                return SwitchDevice(household_id=household_id, device_id=self.home.device_id, on=on)
            case _:
                return self.home.registration(f"name {self.choice}")

    def request(self, url: str, token: str) -> bytes:
        """It as the gateway takes it; asks for the receipt."""
        input_type, field, payload = _QUERIES[self.kind]
        query = (
            f"mutation($input: {input_type}!) {{ {field}(input: $input) {{ __typename"
            f" ... on {payload} {{ position }} ... on Refusal {{ code message }} }} }}"
        )
        return asking(url, token, query, {"input": self._input() | {"idempotencyKey": self.key}})

    def _input(self) -> dict[str, object]:
        household = str(relay.GlobalID("Household", str(self.home.household_id)))
        match self.kind:
            case "rename":
                return {"householdId": household, "name": f"name {self.choice}"}
            case "consent":
                purpose, granularity = self._consent()
                return {"householdId": household, "purpose": purpose, "granularity": granularity}
            case "switch":
                device = str(relay.GlobalID("Device", str(self.home.device_id)))
                return {"deviceId": device, "on": self.choice % 2 == 0}
            case _:
                place = {"latitude": str(self.home.latitude), "longitude": str(self.home.longitude)}
                return {"name": f"name {self.choice}", **place}

    def _consent(self) -> tuple[ConsentPurpose, Granularity | None]:
        purposes, granularities = list(ConsentPurpose), [None, *Granularity]
        return purposes[self.choice % 3], granularities[self.choice // 3 % 4]


def mixed(count: int, town: list[Home], newcomers: Iterator[Home], chance: random.Random) -> list[Mutation]:
    """So many mutations of the mix, each under a key of its own."""
    kinds = chance.choices(list(MIX), list(MIX.values()), k=count)
    return [
        Mutation(
            kind=kind,
            key=str(uuid4()),
            home=next(newcomers) if kind == "register" else chance.choice(town),
            choice=number,
        )
        for number, kind in enumerate(kinds)
    ]


def check(database_url: str, told: Mapping[str, int], sent: Collection[Mutation]) -> None:
    """Compares what clients were told, key to position, with the log: each key once, whole, and there.

    A command that was sent and not answered may stand or not; nothing else may. WrongAnswer otherwise.
    """
    in_log, kept = _log_by_key(database_url)
    for mutation in sent:
        found: Mapping[str, int] = in_log.get(mutation.key, {})
        if mutation.key in told:
            if dict(found) not in _FACTS[mutation.kind]:
                raise WrongAnswer(f"an acknowledged {mutation.kind} left {dict(found)} in the log")
            if kept.get(mutation.key) != told[mutation.key]:
                raise WrongAnswer(
                    f"{mutation.kind}: told {told[mutation.key]}, kept {kept.get(mutation.key)}"
                )
        elif dict(found) not in ({}, *_FACTS[mutation.kind]):
            raise WrongAnswer(f"an unanswered {mutation.kind} left {dict(found)} in the log")


def _log_by_key(database_url: str) -> tuple[dict[str, Counter[str]], dict[str, int]]:
    in_log: dict[str, Counter[str]] = defaultdict(Counter)
    with psycopg.connect(database_url) as connection:
        facts = connection.execute(
            """select convert_from(state, 'UTF8')::json ->> 'key', topic, count(*) from log.fact
               group by 1, 2"""
        )
        for key, topic, count in facts:
            in_log[key][topic] = count
        keys = connection.execute("select key, position from log.command_key").fetchall()
    if len({key for key, _ in keys}) != len(keys):
        raise WrongAnswer("a key was kept twice")
    return in_log, dict(keys)
