"""Communities: placing newcomers, joining, leaving.

A community lies in one network area, so that what it shares never crosses a transformer; whoever
founds one founds its area too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID, uuid5

from write_side.clock import next_slot_start
from write_side.commands import (
    AttachDevice,
    Command,
    CommunityNotJoinable,
    CommunityUnknown,
    DetachDevice,
    JoinCommunity,
    LeaveCommunity,
    NotInCommunity,
    RegisterHousehold,
)
from write_side.events import CommunityFounded, CommunityJoined, CommunityLeft, Fact
from write_side.households import PRODUCTION, known
from write_side.households import stream_of as household_stream
from write_side.past import Decision, Fold, Past
from write_side.places import RULE as RULE
from write_side.places import Moved
from write_side.rules.placement import cells_around, is_on_earth, place
from write_side.rules.timeslots import slot_of, slot_start

_ROUNDED_M = 100.0
_COMMUNITIES = UUID("3b2f4c55-2f1c-4e7e-8d8d-6f1f86f0a7b2")


@dataclass(frozen=True)
class Placing:
    """Where a newcomer belongs, and the founding facts where it is the first."""

    community_id: UUID
    area_id: UUID
    founding: list[tuple[str, Fact]]


def stream_of(community_id: UUID) -> str:
    """A community's own stream."""
    return f"community/{community_id}"


def ask_ahead(past: Past, group: Iterable[Command]) -> None:
    """Asks for the communities that newcomers may be placed in, and those whose members change."""
    cells, household_ids, community_ids = set[str](), set[UUID](), set[UUID]()
    for command in group:
        match command:
            case RegisterHousehold() if is_on_earth(command.latitude_deg, command.longitude_deg):
                latitude, longitude = float(command.latitude_deg), float(command.longitude_deg)
                cells.update(_around(round(latitude, 3), round(longitude, 3)))
            case JoinCommunity():
                household_ids.add(command.household_id)
                community_ids.add(command.community_id)
            case LeaveCommunity() | DetachDevice():
                household_ids.add(command.household_id)
            case AttachDevice() if command.kind in PRODUCTION:
                household_ids.add(command.household_id)
    if cells or household_ids:
        past.places.ask_ahead(past.connection, cells, household_ids, community_ids)


@lru_cache(4096)
def _around(latitude_deg: float, longitude_deg: float) -> tuple[str, ...]:
    """The cells to look in, for all who stand within some 80 m: a thousandth of a degree rounded off."""
    return tuple(map(str, cells_around(latitude_deg, longitude_deg, RULE.span_m + _ROUNDED_M)))


def place_newcomer(past: Past, household_id: UUID, latitude_deg: float, longitude_deg: float) -> Placing:
    """The nearest community with room whose members all stand near enough, else one of its own."""
    near = past.places.near(_around(round(latitude_deg, 3), round(longitude_deg, 3)))
    found = place(latitude_deg, longitude_deg, near, RULE)
    if found is not None:
        return Placing(found, past.places.area_of(found), [])
    community_id = uuid5(_COMMUNITIES, f"community/{household_id}")
    area_id = uuid5(_COMMUNITIES, f"area/{household_id}")
    founded = CommunityFounded(community_id=community_id, area_id=area_id)
    return Placing(community_id, area_id, [(stream_of(community_id), founded)])


def _takes(past: Past, community_id: UUID, household_id: UUID) -> bool:
    """Whether the community as it stands would take the household with what it produces."""
    candidate, home = past.places.community(community_id), past.places.home(household_id)
    if candidate is None or home is None:
        return True  # everybody has left: whoever comes stands near enough to nobody
    return place(home.latitude, home.longitude, [candidate], RULE, home.production_w) is not None


@dataclass(frozen=True)
class Community:
    """A community as its own stream tells it; without an area nobody has founded it."""

    area_id: UUID | None = None


def evolve(community: Community, fact: Fact) -> Community:
    """A community is founded once."""
    return Community(fact.area_id) if isinstance(fact, CommunityFounded) else community


COMMUNITY = Fold(Community(), evolve)


def area_of(past: Past, community_id: UUID) -> UUID:
    """The network area a community lies in; CommunityUnknown where nobody founded it."""
    area_id = past.fold(stream_of(community_id), COMMUNITY).area_id
    if area_id is None:
        raise CommunityUnknown("there is no such community")
    return area_id


def joined(community_id: UUID, household_id: UUID, at: datetime) -> CommunityJoined:
    """A newcomer shares from the slot that runs now."""
    return CommunityJoined(
        community_id=community_id, household_id=household_id, from_slot_start=slot_start(slot_of(at))
    )


def handle_join(command: JoinCommunity, past: Past) -> Decision:
    """Moves a household into a community of its own network area, from the next slot on."""
    household = known(past, command.household_id)
    area_id = area_of(past, command.community_id)
    if household.community_id == command.community_id:
        return Decision()
    if area_id != household.area_id:
        raise CommunityNotJoinable("the community lies in another network area")
    if not _takes(past, command.community_id, command.household_id):
        raise CommunityNotJoinable("the community is full or a member stands too far away")
    from_slot = next_slot_start(past.at)
    stream = household_stream(command.household_id)
    facts: list[tuple[str, Fact]] = []
    if household.community_id is not None:
        facts.append((stream, _left(household.community_id, command.household_id, from_slot)))
    entering = CommunityJoined(
        community_id=command.community_id, household_id=command.household_id, from_slot_start=from_slot
    )
    return Decision([*facts, (stream, entering)], [Moved(command.household_id, command.community_id)])


def handle_leave(command: LeaveCommunity, past: Past) -> Decision:
    """Takes a household out of its community, from the next slot on."""
    household = known(past, command.household_id)
    if household.community_id is None:
        raise NotInCommunity("the household is in no community")
    left = _left(household.community_id, command.household_id, next_slot_start(past.at))
    return Decision([(household_stream(command.household_id), left)], [Moved(command.household_id, None)])


def _left(community_id: UUID, household_id: UUID, until: datetime) -> CommunityLeft:
    return CommunityLeft(community_id=community_id, household_id=household_id, until_slot_start=until)
