"""Households: what a household's own stream tells of it, its name and its consent."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import msgspec
from msgspec.structs import replace

from write_side.commands import (
    HouseholdUnknown,
    InvalidInput,
    RenameHousehold,
    SetConsent,
    is_storable,
)
from write_side.events import (
    CommunityJoined,
    CommunityLeft,
    ConsentGiven,
    ConsentPurpose,
    ConsentWithdrawn,
    DeviceAttached,
    DeviceDetached,
    DeviceKind,
    Fact,
    Granularity,
    HouseholdRegistered,
    HouseholdRenamed,
)
from write_side.past import Decision, Fold, Past
from write_side.places import NameChanged

LONGEST_NAME = 200
PRODUCTION = frozenset((DeviceKind.SOLAR, DeviceKind.GENERATOR))


# States are structs: `msgspec.structs.replace` takes a twentieth of the time of `dataclasses.replace`.
class Device(msgspec.Struct, frozen=True):
    """What a decision needs to know of an attached device."""

    kind: DeviceKind
    since: datetime
    until: datetime | None = None
    rated_power_w: int = 0


class Household(msgspec.Struct, frozen=True):
    """A household as its own stream tells it."""

    registered: bool = False
    area_id: UUID | None = None
    community_id: UUID | None = None
    devices: Mapping[UUID, Device] = msgspec.field(default_factory=dict)
    consents: Mapping[ConsentPurpose, Granularity | None] = msgspec.field(default_factory=dict)
    consent_version: int = 0


def evolve(household: Household, fact: Fact) -> Household:
    """One fact further."""
    match fact:
        case HouseholdRegistered():
            return replace(household, registered=True, area_id=fact.area_id)
        case CommunityJoined():
            return replace(household, community_id=fact.community_id)
        case CommunityLeft():
            return replace(household, community_id=None)
        case DeviceAttached():
            device = Device(fact.kind, fact.since, rated_power_w=fact.rated_power_w)
            return replace(household, devices={**household.devices, fact.device_id: device})
        case DeviceDetached():
            ended = replace(household.devices[fact.device_id], until=fact.until)
            return replace(household, devices={**household.devices, fact.device_id: ended})
        case ConsentGiven():
            return _with_consent(household, fact.purpose, fact.granularity, fact.version)
        case ConsentWithdrawn():
            return _with_consent(household, fact.purpose, None, fact.version)
        case _:
            return household


def _with_consent(
    household: Household, purpose: ConsentPurpose, granularity: Granularity | None, version: int
) -> Household:
    return replace(household, consents={**household.consents, purpose: granularity}, consent_version=version)


HOUSEHOLD = Fold(Household(), evolve, ignored="HouseholdRenamed")


@lru_cache(8192)  # a household that is imported is named a dozen times
def stream_of(household_id: UUID) -> str:
    """A household's own stream."""
    return f"household/{household_id}"


def known(past: Past, household_id: UUID) -> Household:
    """The household; HouseholdUnknown where nobody signed up under the id."""
    household = past.fold(stream_of(household_id), HOUSEHOLD)
    if not household.registered:
        raise HouseholdUnknown("there is no such household")
    return household


def check_name(name: str) -> None:
    """InvalidInput unless the name has 1 to 200 characters, none of them NUL."""
    if not name.strip() or not is_storable(name, LONGEST_NAME):
        raise InvalidInput(f"name: 1 to {LONGEST_NAME} characters")


def handle_rename(command: RenameHousehold, past: Past) -> Decision:
    """Renames a household; the name goes to the erasable table alone."""
    known(past, command.household_id)
    check_name(command.name)
    renamed = HouseholdRenamed(household_id=command.household_id)
    called = NameChanged(command.household_id, command.name.strip())
    return Decision([(stream_of(command.household_id), renamed)], [called])


def decide_consent(household: Household, command: SetConsent) -> list[Fact]:
    """Nothing where the consent stands as wanted already; nothing is consented by default."""
    if household.consents.get(command.purpose) == command.granularity:
        return []
    version = household.consent_version + 1
    if command.granularity is None:
        return [ConsentWithdrawn(household_id=command.household_id, purpose=command.purpose, version=version)]
    return [
        ConsentGiven(
            household_id=command.household_id,
            purpose=command.purpose,
            granularity=command.granularity,
            version=version,
        )
    ]


def handle_consent(command: SetConsent, past: Past) -> Decision:
    """Gives or withdraws consent."""
    facts = decide_consent(known(past, command.household_id), command)
    return Decision([(stream_of(command.household_id), fact) for fact in facts])
