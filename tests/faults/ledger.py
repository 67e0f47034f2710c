"""Commands that are repeated under one key until answered, and the client's own list of what was answered."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from random import Random
from uuid import UUID

from gql import GraphQLRequest, gql

from simulator.client import Answer, GridClient
from tests.faults.clients import all_facts, all_households, until_answered


def _mutation(name: str, type_: str, payload: str) -> GraphQLRequest:
    input_ = name[0].upper() + name[1:]
    return gql(
        f"mutation($input: {input_}Input!) {{ {name}(input: $input) {{ ... on {type_}"
        f" {{ position {payload} }} ... on Refusal {{ message code }} }} }}"
    )


_REGISTER = _mutation("registerHousehold", "RegisterHouseholdPayload", "householdId")
_ATTACH = _mutation("attachDevice", "DevicePayload", "device { id }")
_RENAME = _mutation("renameHousehold", "HouseholdPayload", "")
# Far enough from each other that their readings lie in different partitions.
_PLACES = [(43.5 + 0.7 * n, 0.5 * n) for n in range(8)]


@dataclass
class Ledger:
    """What was acknowledged: households' names by id, devices' homes by name, and the fact of each key."""

    chance: Random
    names: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    async def register(self, client: GridClient) -> None:
        """Signs one household up."""
        key, place = self._key(), self.chance.choice(_PLACES)
        name = f"home {key}"
        latitude, longitude = f"{place[0]:.6f}", f"{place[1]:.6f}"
        payload = await self._tell(
            client, _REGISTER, key, "HouseholdRegistered", name=name, latitude=latitude, longitude=longitude
        )
        self.names[payload["householdId"]] = name

    async def attach(self, client: GridClient, household_id: str) -> None:
        """Attaches one device."""
        key = self._key()
        name = f"load {key}"
        await self._tell(
            client, _ATTACH, key, "DeviceAttached", householdId=household_id, kind="APPLIANCE", name=name
        )
        self.devices[name] = household_id

    async def rename(self, client: GridClient, household_id: str) -> None:
        """Gives a household another name; one command at a time for each household."""
        key = self._key()
        await self._tell(
            client, _RENAME, key, "HouseholdRenamed", householdId=household_id, name=f"renamed {key}"
        )
        self.names[household_id] = f"renamed {key}"

    async def _tell(
        self, client: GridClient, mutation: GraphQLRequest, key: str, fact: str, **input_: str
    ) -> Answer:
        payload = await until_answered(partial(client.tell, mutation, idempotencyKey=key, **input_))
        repeated = await until_answered(partial(client.tell, mutation, idempotencyKey=key, **input_))
        assert repeated["position"] == payload["position"], f"{key} was answered twice, and differently"
        self.facts[key] = fact
        return payload

    def _key(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128)))

    async def holds(self, client: GridClient) -> None:
        """Everything acknowledged is there once: in the log under its key, and in the views."""
        told = Counter((fact["key"], fact["name"]) for fact in await all_facts(client))
        doubled = {
            (key, name): count for (key, name), count in told.items() if key in self.facts and count > 1
        }
        missing = {key: name for key, name in self.facts.items() if (key, name) not in told}
        assert (missing, doubled) == ({}, {}), "facts in the log"
        shown = await all_households(client)
        assert _counted_names(shown, self.names) == Counter(self.names.items())
        assert _counted_devices(shown, self.devices) == Counter(self.devices.items())


def _counted_names(shown: list[Answer], known: dict[str, str]) -> "Counter[tuple[str, str]]":
    return Counter((home["id"], home["name"]) for home in shown if home["id"] in known)


def _counted_devices(shown: list[Answer], known: dict[str, str]) -> "Counter[tuple[str, str]]":
    attached = [(device["name"], home["id"]) for home in shown for device in home["devices"]]
    return Counter((name, home) for name, home in attached if name in known)
