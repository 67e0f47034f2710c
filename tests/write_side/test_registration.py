"""Signing up: the facts of a newcomer, the place in a community, and what is no household."""

from decimal import Decimal
from typing import Any

import pytest

from tests.write_side.story import BEGUN, LogStory, id_of, register
from write_side.commands import HouseholdAlreadyRegistered, InvalidInput, LeaveCommunity
from write_side.events import CommunityFounded, CommunityJoined, HouseholdRegistered


def registered(
    name: str, area: object, latitude: str = "48.9", longitude: str = "2.4"
) -> HouseholdRegistered:
    return HouseholdRegistered(
        household_id=id_of(name),
        area_id=area,  # type: ignore[arg-type]
        subscribed_power_w=6000,
        latitude_deg=Decimal(latitude),
        longitude_deg=Decimal(longitude),
    )


def test_the_first_one_founds_a_community_and_its_area(story: LogStory) -> None:
    told = story.when(register("anna"))
    founded = next(fact for fact in told.facts if isinstance(fact, CommunityFounded))
    told.then(
        registered("anna", founded.area_id),
        founded,
        CommunityJoined(community_id=founded.community_id, household_id=id_of("anna"), from_slot_start=BEGUN),
    )
    assert told.answer == {"communityId": str(founded.community_id), "areaId": str(founded.area_id)}


def test_a_neighbour_joins_without_founding(story: LogStory) -> None:
    first = story.when(register("anna"))
    told = story.when(register("ben", "48.8600"))
    assert told.answer == first.answer
    told.then(
        registered("ben", story.rows("select area_id from log.place limit 1")[0][0]),
        CommunityJoined(
            community_id=story.rows("select community_id from log.place limit 1")[0][0],
            household_id=id_of("ben"),
            from_slot_start=BEGUN,
        ),
    )


def test_neighbours_of_one_group_of_commands_share_a_community(story: LogStory) -> None:
    outcomes = story.group(register("anna"), register("ben"))
    answers = [outcome.answer for outcome in outcomes if not isinstance(outcome, Exception)]
    assert len(answers) == 2
    assert answers[0] == answers[1]


def test_who_stands_more_than_two_kilometres_off_founds_another(story: LogStory) -> None:
    near = story.when(register("anna"))
    far = story.when(register("carl", "48.8756"))  # 2.1 km to the north
    assert far.answer["communityId"] != near.answer["communityId"]
    assert far.answer["areaId"] != near.answer["areaId"]


def test_every_member_must_stand_near(story: LogStory) -> None:
    first = story.when(register("anna"))
    story.given(register("ben", "48.8726"))  # 1.8 km north of anna
    told = story.when(register("carl", "48.8426"))  # 1.6 km south of anna, 3.3 km from ben
    assert told.answer["communityId"] != first.answer["communityId"]


def test_who_has_left_is_no_neighbour(story: LogStory) -> None:
    first = story.when(register("anna"))
    story.given(LeaveCommunity(household_id=id_of("anna")))
    assert story.when(register("ben")).answer["communityId"] != first.answer["communityId"]


def test_name_and_place_lie_in_the_erasable_table_alone(story: LogStory) -> None:
    story.given(register("Zoé Quenouille", "48.85661", "2.35222"))
    states = story.rows("select convert_from(state, 'UTF8') from log.fact")
    assert not any("Quenouille" in state or "48.8566" in state for (state,) in states)
    assert story.rows("select name, address, latitude, longitude from log.place") == [
        ("Zoé Quenouille", "1, rue Zoé Quenouille", 48.85661, 2.35222)
    ]


def test_places_are_rounded_to_the_even_tenth(story: LogStory) -> None:
    told = story.when(register("anna", "48.85", "2.25"))
    fact = told.facts[0]
    assert isinstance(fact, HouseholdRegistered)
    assert (fact.latitude_deg, fact.longitude_deg) == (Decimal("48.8"), Decimal("2.2"))


def test_nobody_registers_twice(story: LogStory) -> None:
    story.given(register("anna"))
    story.when(register("anna")).refused(HouseholdAlreadyRegistered, "registered already")


@pytest.mark.parametrize(
    ("other", "saying"),
    [
        ({"name": ""}, "name: 1 to 200"),
        ({"name": "  \t"}, "name: 1 to 200"),
        ({"name": "a" * 201}, "name: 1 to 200"),
        ({"name": "a\0b"}, "name: 1 to 200"),
        ({"address": "a" * 401}, "address: at most 400"),
        ({"address": "a\0b"}, "address: at most 400"),
        ({"latitude_deg": Decimal("90.1")}, "latitude, longitude"),
        ({"latitude_deg": Decimal("-90.1")}, "latitude, longitude"),
        ({"longitude_deg": Decimal("180.1")}, "latitude, longitude"),
        ({"longitude_deg": Decimal("-180.1")}, "latitude, longitude"),
        ({"subscribed_power_w": 0}, "subscribedPowerW"),
        ({"subscribed_power_w": -1}, "subscribedPowerW"),
        ({"subscribed_power_w": 36_001}, "subscribedPowerW"),
    ],
)
def test_what_cannot_be_a_household(story: LogStory, other: dict[str, Any], saying: str) -> None:
    story.when(register("anna", **other)).refused(InvalidInput, saying)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "a" * 200},
        {"address": "a" * 400},
        {"address": ""},
        {"latitude_deg": Decimal(90), "longitude_deg": Decimal(180)},
        {"latitude_deg": Decimal(-90), "longitude_deg": Decimal(-180)},
        {"subscribed_power_w": 1},
        {"subscribed_power_w": 36_000},
    ],
)
def test_what_just_can(story: LogStory, other: dict[str, Any]) -> None:
    story.given(register("anna", **other))
