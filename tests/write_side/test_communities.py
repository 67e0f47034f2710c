"""Communities: joining and leaving from the next slot on, within one network area and 2 km."""

from uuid import UUID

import pytest

from tests.write_side.story import BEGUN, NEXT, SLOT, LogStory, attach, id_of, register
from write_side.commands import (
    AttachDevice,
    CommunityNotJoinable,
    CommunityUnknown,
    DetachDevice,
    JoinCommunity,
    LeaveCommunity,
    NotInCommunity,
)
from write_side.communities import RULE
from write_side.events import CommunityJoined, CommunityLeft, DeviceKind

ANNA, BEN = id_of("anna"), id_of("ben")


def community_of(story: LogStory, name: str) -> UUID:
    row = story.rows("select community_id from log.place where household_id = %s", id_of(name))
    found = row[0][0]
    assert isinstance(found, UUID)
    return found


@pytest.fixture
def village(story: LogStory) -> tuple[LogStory, UUID]:
    """Anna and Ben in one community."""
    story.given(register("anna"), register("ben", "48.8600"))
    return story, community_of(story, "anna")


def test_who_leaves_shares_until_the_next_slot(village: tuple[LogStory, UUID]) -> None:
    story, community = village
    story.when(LeaveCommunity(household_id=BEN)).then(
        CommunityLeft(community_id=community, household_id=BEN, until_slot_start=NEXT)
    )


def test_at_the_instant_a_slot_begins_it_has_not_begun_for_who_leaves(village: tuple[LogStory, UUID]) -> None:
    story, community = village
    story.at(NEXT).when(LeaveCommunity(household_id=BEN)).then(
        CommunityLeft(community_id=community, household_id=BEN, until_slot_start=NEXT)
    )


def test_who_left_comes_back_from_the_next_slot_on(village: tuple[LogStory, UUID]) -> None:
    story, community = village
    story.given(LeaveCommunity(household_id=BEN)).at(NEXT + SLOT / 3)
    story.when(JoinCommunity(household_id=BEN, community_id=community)).then(
        CommunityJoined(community_id=community, household_id=BEN, from_slot_start=NEXT + SLOT)
    )
    assert community_of(story, "ben") == community


def test_joining_where_one_is_changes_nothing(village: tuple[LogStory, UUID]) -> None:
    story, community = village
    story.when(JoinCommunity(household_id=BEN, community_id=community)).then()


def test_the_last_one_comes_back_to_an_empty_community(story: LogStory) -> None:
    story.given(register("anna"))
    community = community_of(story, "anna")
    story.given(LeaveCommunity(household_id=ANNA))
    story.when(JoinCommunity(household_id=ANNA, community_id=community)).then(
        CommunityJoined(community_id=community, household_id=ANNA, from_slot_start=NEXT)
    )


def test_nobody_leaves_twice(village: tuple[LogStory, UUID]) -> None:
    story, _ = village
    story.given(LeaveCommunity(household_id=BEN))
    story.when(LeaveCommunity(household_id=BEN)).refused(NotInCommunity, "in no community")


def test_there_is_no_such_community(village: tuple[LogStory, UUID]) -> None:
    story, _ = village
    story.when(JoinCommunity(household_id=BEN, community_id=id_of("nowhere"))).refused(
        CommunityUnknown, "no such community"
    )


def test_nobody_shares_across_a_transformer(village: tuple[LogStory, UUID]) -> None:
    story, _ = village
    story.given(register("carl", "48.8756"))
    story.when(JoinCommunity(household_id=BEN, community_id=community_of(story, "carl"))).refused(
        CommunityNotJoinable, "another network area"
    )


def test_nobody_comes_back_beyond_the_span_of_who_came_meanwhile(story: LogStory) -> None:
    story.given(register("anna"), register("ben", "48.8726"))
    community = community_of(story, "anna")
    story.given(LeaveCommunity(household_id=BEN), register("carl", "48.8426"))
    assert community_of(story, "carl") == community
    story.when(JoinCommunity(household_id=BEN, community_id=community)).refused(
        CommunityNotJoinable, "full or a member stands too far"
    )


def test_nobody_comes_back_to_a_full_community(story: LogStory) -> None:
    story.given(register("anna"), register("ben"))
    community = community_of(story, "anna")
    story.given(LeaveCommunity(household_id=BEN))
    for _ in range(10):
        story.group(*(register(f"neighbour {story.position} {n}") for n in range(20)))
        story.position += 1
    members = story.rows("select count(*) from log.place where community_id = %s", community)
    assert members == [(RULE.max_households,)] == [(200,)]
    story.when(JoinCommunity(household_id=BEN, community_id=community)).refused(CommunityNotJoinable, "full")


def test_a_newcomer_shares_from_the_slot_that_runs(story: LogStory) -> None:
    joined = story.when(register("anna")).facts[-1]
    assert isinstance(joined, CommunityJoined)
    assert joined.from_slot_start == BEGUN


def megawatts(of: str, *names: str) -> list[AttachDevice]:
    """Generators of a megawatt each, the largest device there is."""
    return [attach(name, of, DeviceKind.GENERATOR, rated_power_w=1_000_000) for name in names]


def test_a_community_takes_newcomers_while_it_produces_less_than_five_megawatts(story: LogStory) -> None:
    story.given(register("anna"), *megawatts("anna", "a", "b", "c", "d"), register("ben"))
    community = community_of(story, "anna")
    assert community_of(story, "ben") == community
    story.given(attach("panels", "ben", DeviceKind.SOLAR, rated_power_w=999_999), register("carl"))
    assert community_of(story, "carl") == community
    story.given(attach("more", "ben", DeviceKind.SOLAR, rated_power_w=1), register("dora"))
    assert community_of(story, "dora") != community


def test_what_is_detached_or_consumes_produces_nothing(story: LogStory) -> None:
    story.given(register("anna"), *megawatts("anna", "a", "b", "c", "d", "e"))
    story.given(DetachDevice(household_id=ANNA, device_id=id_of("e")))
    story.given(attach("oven", "anna", rated_power_w=1_000_000), register("ben"))
    assert community_of(story, "ben") == community_of(story, "anna")


def test_one_group_counts_what_it_attaches_itself(story: LogStory) -> None:
    story.group(register("anna"), *megawatts("anna", "a", "b", "c", "d", "e"), register("ben"))
    assert community_of(story, "ben") != community_of(story, "anna")


def test_nobody_joins_with_more_production_than_there_is_room_for(village: tuple[LogStory, UUID]) -> None:
    story, community = village
    story.given(LeaveCommunity(household_id=BEN), *megawatts("anna", "a", "b", "c", "d"))
    story.given(*megawatts("ben", "e"))
    story.when(JoinCommunity(household_id=BEN, community_id=community)).refused(CommunityNotJoinable, "full")
    story.given(DetachDevice(household_id=BEN, device_id=id_of("e")))
    story.given(JoinCommunity(household_id=BEN, community_id=community))


def test_a_full_community_is_found_again_when_somebody_leaves(story: LogStory) -> None:
    story.group(*(register(f"neighbour {number}") for number in range(RULE.max_households)))
    community = community_of(story, "neighbour 0")
    rooms = "select count(*) from log.community_with_room where community_id = %s"
    assert story.rows(rooms, community) == [(0,)]
    story.given(register("anna"))
    assert community_of(story, "anna") != community
    story.given(LeaveCommunity(household_id=id_of("neighbour 7")))
    assert story.rows(rooms, community) == [(1,)]
    story.given(LeaveCommunity(household_id=ANNA), register("ben"))
    assert community_of(story, "ben") == community
