"""Communities: placing newcomers, joining, leaving.

A community lies in one network area, so that what it shares never crosses a transformer; whoever
founds one founds its area too.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import psycopg

from write_side.clock import next_slot_start
from write_side.commands import (
    CommunityNotJoinable,
    CommunityUnknown,
    JoinCommunity,
    LeaveCommunity,
    NotInCommunity,
)
from write_side.events import CommunityFounded, CommunityJoined, CommunityLeft, Fact
from write_side.households import known
from write_side.households import stream_of as household_stream
from write_side.past import Decision, Fold, Past
from write_side.rules.placement import Candidate, CommunityRule, cells_around, place
from write_side.rules.timeslots import slot_of, slot_start

RULE = CommunityRule()
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


def place_newcomer(past: Past, household_id: UUID, latitude_deg: float, longitude_deg: float) -> Placing:
    """The nearest community with room whose members all stand near enough, else one of its own."""
    found = place(
        latitude_deg, longitude_deg, _candidates(past.connection, latitude_deg, longitude_deg), RULE
    )
    if found is not None:
        return Placing(found, area_of(past, found), [])
    community_id = uuid5(_COMMUNITIES, f"community/{household_id}")
    area_id = uuid5(_COMMUNITIES, f"area/{household_id}")
    founded = CommunityFounded(community_id=community_id, area_id=area_id)
    return Placing(community_id, area_id, [(stream_of(community_id), founded)])


def _candidates(
    connection: psycopg.Connection[Any], latitude_deg: float, longitude_deg: float
) -> list[Candidate[UUID]]:
    cells = [str(cell) for cell in cells_around(latitude_deg, longitude_deg)]
    rows = connection.execute(
        """select community_id, array_agg(latitude), array_agg(longitude) from log.place where community_id in
             (select community_id from log.place where cell = any(%s))
           group by community_id order by community_id""",
        (cells,),
    )
    return [Candidate(community_id=row[0], latitudes=row[1], longitudes=row[2]) for row in rows]


def _takes(past: Past, community_id: UUID, household_id: UUID) -> bool:
    """Whether the community as it stands would take the household."""
    row = past.connection.execute(
        """select (select latitude from log.place where household_id = %(household)s),
                  (select longitude from log.place where household_id = %(household)s),
                  array_agg(latitude), array_agg(longitude)
           from log.place where community_id = %(community)s""",
        {"household": household_id, "community": community_id},
    ).fetchone()
    assert row is not None
    latitude, longitude, latitudes, longitudes = row
    if latitudes is None:
        return True  # everybody has left: whoever comes stands near enough to nobody
    candidate = Candidate(community_id=community_id, latitudes=latitudes, longitudes=longitudes)
    return place(latitude, longitude, [candidate], RULE) is not None


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
    return Decision([*facts, (stream, entering)], [_moved(command.household_id, command.community_id)])


def handle_leave(command: LeaveCommunity, past: Past) -> Decision:
    """Takes a household out of its community, from the next slot on."""
    household = known(past, command.household_id)
    if household.community_id is None:
        raise NotInCommunity("the household is in no community")
    left = _left(household.community_id, command.household_id, next_slot_start(past.at))
    return Decision([(household_stream(command.household_id), left)], [_moved(command.household_id, None)])


def _left(community_id: UUID, household_id: UUID, until: datetime) -> CommunityLeft:
    return CommunityLeft(community_id=community_id, household_id=household_id, until_slot_start=until)


def _moved(household_id: UUID, community_id: UUID | None) -> tuple[str, tuple[object, ...]]:
    return "update log.place set community_id = %s where household_id = %s", (community_id, household_id)
