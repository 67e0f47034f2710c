"""A household's own stream: its name, and its consent, which nothing gives but the household."""

from decimal import Decimal

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from tests.write_side.story import BEGUN, NEXT, LogStory, attach, given, id_of, register
from write_side.commands import (
    DetachDevice,
    HouseholdUnknown,
    InvalidInput,
    JoinCommunity,
    LeaveCommunity,
    RenameHousehold,
    SetConsent,
    SwitchDevice,
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
    Flexibility,
    Granularity,
    HouseholdRegistered,
    HouseholdRenamed,
)
from write_side.households import HOUSEHOLD, Device, Household, decide_consent, stream_of
from write_side.log import read_streams

ANNA, COMMUNITY = id_of("anna"), id_of("community")
RESEARCH, SALE = ConsentPurpose.RESEARCH, ConsentPurpose.SALE
DAILY, HOURLY = Granularity.DAILY, Granularity.HOURLY


def allowed(purpose: ConsentPurpose, granularity: Granularity, version: int) -> ConsentGiven:
    return ConsentGiven(household_id=ANNA, purpose=purpose, granularity=granularity, version=version)


def withdrawn(purpose: ConsentPurpose, version: int) -> ConsentWithdrawn:
    return ConsentWithdrawn(household_id=ANNA, purpose=purpose, version=version)


def consent(purpose: ConsentPurpose, granularity: Granularity | None) -> SetConsent:
    return SetConsent(household_id=ANNA, purpose=purpose, granularity=granularity)


def device(kind: DeviceKind = DeviceKind.SOLAR) -> DeviceAttached:
    return DeviceAttached(
        device_id=id_of("d"),
        household_id=ANNA,
        kind=kind,
        name="d",
        since=BEGUN,
        flexibility=Flexibility.ESSENTIAL,
        rated_power_w=1,
    )


JOINED = CommunityJoined(community_id=COMMUNITY, household_id=ANNA, from_slot_start=BEGUN)
REGISTERED = HouseholdRegistered(
    household_id=ANNA,
    area_id=id_of("area"),
    subscribed_power_w=6000,
    latitude_deg=Decimal(1),
    longitude_deg=Decimal(1),
)


@pytest.mark.parametrize(
    ("facts", "household"),
    [
        ((REGISTERED,), Household(registered=True, area_id=id_of("area"))),
        ((JOINED,), Household(community_id=COMMUNITY)),
        (
            (JOINED, CommunityLeft(community_id=COMMUNITY, household_id=ANNA, until_slot_start=NEXT)),
            Household(),
        ),
        ((device(),), Household(devices={id_of("d"): Device(DeviceKind.SOLAR, BEGUN, rated_power_w=1)})),
        (
            (device(), DeviceDetached(device_id=id_of("d"), household_id=ANNA, until=NEXT)),
            Household(devices={id_of("d"): Device(DeviceKind.SOLAR, BEGUN, NEXT, 1)}),
        ),
        ((allowed(SALE, DAILY, 1),), Household(consents={SALE: DAILY}, consent_version=1)),
        (
            (allowed(SALE, DAILY, 1), withdrawn(SALE, 2)),
            Household(consents={SALE: None}, consent_version=2),
        ),
        ((HouseholdRenamed(household_id=ANNA),), Household()),
    ],
)
def test_every_fact_of_the_stream_tells(facts: tuple[Fact, ...], household: Household) -> None:
    assert given(HOUSEHOLD, *facts).state == household


def test_nothing_is_consented_by_default() -> None:
    given(HOUSEHOLD).when(decide_consent, consent(RESEARCH, None)).then()
    assert given(HOUSEHOLD, REGISTERED).state.consents == {}


def test_consent_is_given_changed_and_withdrawn_with_one_count_of_versions() -> None:
    first = allowed(RESEARCH, DAILY, 1)
    given(HOUSEHOLD).when(decide_consent, consent(RESEARCH, DAILY)).then(first)
    given(HOUSEHOLD, first).when(decide_consent, consent(RESEARCH, HOURLY)).then(allowed(RESEARCH, HOURLY, 2))
    given(HOUSEHOLD, first).when(decide_consent, consent(SALE, DAILY)).then(allowed(SALE, DAILY, 2))
    given(HOUSEHOLD, first).when(decide_consent, consent(RESEARCH, None)).then(withdrawn(RESEARCH, 2))


def test_consent_that_stands_already_is_no_fact() -> None:
    first = allowed(RESEARCH, DAILY, 1)
    given(HOUSEHOLD, first).when(decide_consent, consent(RESEARCH, DAILY)).then()
    given(HOUSEHOLD, first, withdrawn(RESEARCH, 2)).when(decide_consent, consent(RESEARCH, None)).then()


@drawn(
    st.lists(
        st.tuples(st.sampled_from(ConsentPurpose), st.none() | st.sampled_from(Granularity)), max_size=20
    )
)
def test_after_any_row_of_wishes_the_last_one_for_each_purpose_stands(
    wishes: list[tuple[ConsentPurpose, Granularity | None]],
) -> None:
    state, stated = Household(), 0
    for purpose, granularity in wishes:
        for fact in decide_consent(state, consent(purpose, granularity)):
            state, stated = HOUSEHOLD.evolve(state, fact), stated + 1
    last = dict(wishes)
    assert {purpose: state.consents.get(purpose) for purpose in last} == last
    assert state.consent_version == stated


def test_a_household_is_renamed(story: LogStory) -> None:
    story.given(register("anna"))
    story.when(RenameHousehold(household_id=ANNA, name="  Anna B. ")).then(
        HouseholdRenamed(household_id=ANNA)
    )
    assert story.rows("select name from log.place") == [("Anna B.",)]


def test_however_often_a_household_was_renamed_no_more_is_read_of_it(story: LogStory) -> None:
    """Of the names' facts only one that is the newest, which tells the stream's version."""
    renaming = RenameHousehold(household_id=ANNA, name="Anna B.")

    def read() -> list[tuple[int, str]]:
        asked = read_streams(story.connection, {stream_of(ANNA): HOUSEHOLD.ignored})
        return [(version, topic) for _, _, version, topic, _ in asked]

    story.given(register("anna"), renaming)
    story.group(*[renaming] * 20)
    registered = [(1, "HouseholdRegistered"), (2, "CommunityJoined")]
    assert read() == [*registered, (23, "HouseholdRenamed")]
    story.given(consent(RESEARCH, DAILY))
    assert read() == [*registered, (24, "ConsentGiven")]
    story.when(renaming).then(HouseholdRenamed(household_id=ANNA))
    assert read() == [*registered, (24, "ConsentGiven"), (25, "HouseholdRenamed")]


@pytest.mark.parametrize("name", ["", " ", "a" * 201, "a\0b"])
def test_a_name_that_is_none(story: LogStory, name: str) -> None:
    story.given(register("anna"))
    story.when(RenameHousehold(household_id=ANNA, name=name)).refused(InvalidInput, "name: 1 to 200")


def test_consent_lies_in_the_household_s_stream(story: LogStory) -> None:
    story.given(register("anna"))
    story.when(consent(SALE, HOURLY)).then(allowed(SALE, HOURLY, 1))
    stream = story.rows("select originator_id from log.fact order by notification_id desc limit 1")
    assert stream == [(f"household/{ANNA}",)]


def test_nobody_acts_for_a_household_that_is_none(story: LogStory) -> None:
    for command in (
        RenameHousehold(household_id=ANNA, name="Anna"),
        consent(SALE, DAILY),
        JoinCommunity(household_id=ANNA, community_id=COMMUNITY),
        LeaveCommunity(household_id=ANNA),
        attach("d", "anna"),
        DetachDevice(household_id=ANNA, device_id=id_of("d")),
        SwitchDevice(household_id=ANNA, device_id=id_of("d"), on=True),
    ):
        story.when(command).refused(HouseholdUnknown, "no such household")
