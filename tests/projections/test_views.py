"""The views built from facts: what each fact changes in them."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.projections.live_view import AT, RECORDED_AT, Live, live_view
from tests.projections.metered_grid import database
from tests.projections.view_story import (
    START,
    answered,
    at,
    change,
    changed,
    closed,
    corrected,
    detached,
    device,
    expired,
    founded,
    id_of,
    joined,
    left,
    registered,
    switched,
)
from write_side import events
from write_side.events import AutarkyState, Fact
from write_side.rules.timeslots import slot_of

REACHED, NOT_REACHED, UNKNOWN = AutarkyState.REACHED, AutarkyState.NOT_REACHED, AutarkyState.UNKNOWN
FIRST = slot_of(START)
ANNA, BEN, VILLAGE, OVEN = id_of("anna"), id_of("ben"), id_of("village"), id_of("oven")
HOME = (founded("village"), registered("anna"), joined("village", "anna"), device("oven", "anna"))  # 1 to 4
SPANS = "select from_slot - %s, until_slot - %s from membership order by 1"


@pytest.fixture(scope="module")
def url(metering_servers: str) -> Iterator[str]:
    """A database for these tests."""
    with database(metering_servers) as own:
        yield own


@pytest.fixture
def live(url: str, request: pytest.FixtureRequest) -> Iterator[Live]:
    """The view that the test names."""
    with live_view(url, request.param) as view:
        yield view


def of(name: str) -> pytest.MarkDecorator:
    """The view a test is about."""
    return pytest.mark.parametrize("live", [name], indirect=True)


# households


@of("households")
def test_a_household_that_registered(live: Live) -> None:
    live.told(founded("village"), registered("anna"))
    assert live.rows("select * from household") == [
        (ANNA, 2, id_of("area"), None, 6000, Decimal("48.9"), Decimal("2.4"), AT + timedelta(seconds=2))
    ]


@of("households")
def test_a_community_that_was_founded_has_nobody_yet(live: Live) -> None:
    live.told(founded("village"))
    assert live.rows("select * from community") == [(VILLAGE, id_of("area"), AT + timedelta(seconds=1), 0)]


@of("households")
def test_who_joined_is_a_member(live: Live) -> None:
    live.told(*HOME)
    assert live.rows("select * from membership") == [(ANNA, VILLAGE, FIRST, None)]
    assert live.rows("select community_id from household") == [(VILLAGE,)]
    assert live.rows("select members from community") == [(1,)]


@of("households")
def test_who_left_was_a_member_until_then(live: Live) -> None:
    live.told(*HOME, left("village", "anna", 4))
    assert live.rows("select * from membership") == [(ANNA, VILLAGE, FIRST, FIRST + 4)]
    assert live.rows("select community_id from household") == [(None,)]
    assert live.rows("select members from community") == [(0,)]


@of("households")
def test_who_came_back_is_a_member_twice_over_time(live: Live) -> None:
    live.told(*HOME, left("village", "anna", 4), joined("village", "anna", 6))
    assert live.rows(SPANS, FIRST, FIRST) == [
        (0, 4),
        (6, None),
    ]
    assert live.rows("select members from community") == [(1,)]


@of("households")
def test_who_came_back_in_the_same_slot_is_a_member_without_a_gap(live: Live) -> None:
    live.told(*HOME, left("village", "anna", 4), joined("village", "anna", 4))
    live.told(left("village", "anna", 4), joined("village", "anna", 4))
    assert live.rows(SPANS, FIRST, FIRST) == [
        (0, 4),
        (4, None),
    ]
    assert live.rows("select members from community") == [(1,)]


@of("households")
def test_a_device_that_was_attached(live: Live) -> None:
    live.told(*HOME)
    assert live.rows("select * from device") == [
        (
            *(OVEN, 4, ANNA, "BATTERY", "oven", START, None, "SHIFTABLE"),
            *(1600, 1000, 100, 900, 30, 180, None),
        )
    ]


@of("households")
def test_a_device_that_was_detached(live: Live) -> None:
    live.told(*HOME, detached("oven", "anna", 3))
    assert live.rows("select until from device") == [(at(3),)]


@of("households")
def test_an_order_waits_for_its_answer(live: Live) -> None:
    live.told(*HOME, switched("oven", "anna", on=False))
    assert live.rows("select * from device_order") == [
        (5, OVEN, ANNA, False, FIRST + 1, at(9), AT + timedelta(seconds=5), "PENDING", None)
    ]
    assert live.rows("select switched_on from device") == [(None,)]


@of("households")
@pytest.mark.parametrize(
    ("on", "accepted", "status", "stands"),
    [(True, True, "ACCEPTED", True), (False, True, "ACCEPTED", False), (True, False, "REFUSED", None)],
)
def test_an_order_that_was_answered(
    live: Live, on: bool, accepted: bool, status: str, stands: bool | None
) -> None:
    live.told(*HOME, switched("oven", "anna", on), answered(5, "oven", "anna", accepted, "why"))
    assert live.rows("select status, reason from device_order") == [(status, "why")]
    assert live.rows("select switched_on from device") == [(stands,)]


@of("households")
def test_an_order_that_nobody_answered(live: Live) -> None:
    live.told(*HOME, switched("oven", "anna", True), expired(5, "oven", "anna"))
    assert live.rows("select status, reason from device_order") == [("EXPIRED", None)]
    assert live.rows("select switched_on from device") == [(None,)]


def consent(granularity: events.Granularity, version: int) -> Fact:
    return events.ConsentGiven(
        household_id=ANNA, purpose=events.ConsentPurpose.SALE, granularity=granularity, version=version
    )


@of("households")
def test_consent_stands_as_last_given_until_withdrawn(live: Live) -> None:
    live.told(consent(events.Granularity.DAILY, 1), consent(events.Granularity.DETAIL, 2))
    assert live.rows("select * from consent") == [(ANNA, "SALE", "DETAIL", 2, AT + timedelta(seconds=2))]
    withdrawn = events.ConsentWithdrawn
    live.told(withdrawn(household_id=ANNA, purpose=events.ConsentPurpose.RESEARCH, version=3))
    assert len(live.rows("select * from consent")) == 1
    live.told(withdrawn(household_id=ANNA, purpose=events.ConsentPurpose.SALE, version=3))
    assert live.rows("select * from consent") == []


@of("households")
def test_a_rule_stands_as_last_set(live: Live) -> None:
    for window in (96, 1):
        live.told(
            events.AutarkyRuleSet(
                subject_id=VILLAGE,
                window_slots=window,
                threshold_percent=Decimal(100 - window),
                hysteresis_points=Decimal("1.5") * window,
                dwell_slots=window + 1,
                minimum_coverage_percent=Decimal(window),
            )
        )
    assert live.rows("select * from autarky_rule") == [
        (VILLAGE, 1, Decimal(99), Decimal("1.5"), 2, Decimal(1))
    ]


# slots


@of("slots")
def test_the_clock_follows_its_facts(live: Live) -> None:
    live.told(events.GridFounded(first_slot_start=START, simulated=True))
    assert live.rows("select * from clock") == [(True, START, True, FIRST, None, None)]
    live.told(events.ClockAdvanceOrdered(now=START, to=at(2), stride=events.Stride.HOUR))
    assert live.rows("select now, target, stride from clock") == [(START, at(2), "HOUR")]
    live.told(events.ClockAdvanced(since=START, to=at(1), target=at(2), stride=events.Stride.HOUR))
    assert live.rows("select now, target, stride from clock") == [(at(1), at(2), "HOUR")]
    live.told(events.ClockAdvanceFinished(at=at(1), stride=events.Stride.HOUR))
    assert live.rows("select now, target, stride from clock") == [(at(1), None, None)]


@of("slots")
def test_a_slot_that_closed(live: Live) -> None:
    live.told(closed(0), closed(1))
    assert live.rows("select * from closed_slot order by slot") == [
        (FIRST, 1, RECORDED_AT, [3], ["meter"]),
        (FIRST + 1, 2, RECORDED_AT, [3], ["meter"]),
    ]


@of("slots")
def test_a_correction(live: Live) -> None:
    live.told(corrected("village", "anna", "ben"), corrected(None, "ben", first=4))
    assert live.rows("select * from correction order by position") == [
        (1, VILLAGE, [ANNA, BEN], FIRST, FIRST + 3, 2, -120, 40, 7),
        (2, None, [BEN], FIRST + 4, FIRST + 7, 2, -120, 40, 7),
    ]


# autarky


@of("autarky")
def test_a_change_is_kept_and_the_state_with_it(live: Live) -> None:
    live.told(changed("village", change("anna", REACHED, 1), itself=change("village", NOT_REACHED, 2, False)))
    assert live.rows("select * from autarky_state order by state") == [
        (VILLAGE, "NOT_REACHED", FIRST + 2, "NOT_REACHED", FIRST + 2, 1),
        (ANNA, "REACHED", FIRST + 1, "REACHED", FIRST + 2, 1),
    ]
    percents = (Decimal("99.50"), Decimal("98.96"))
    times = (AT + timedelta(seconds=1), RECORDED_AT)
    assert live.rows("select * from autarky_change order by is_community") == [
        (1, ANNA, VILLAGE, False, FIRST + 2, "UNKNOWN", "REACHED", FIRST + 1, *percents, True, *times),
        (1, VILLAGE, VILLAGE, True, FIRST + 2, "UNKNOWN", "NOT_REACHED", FIRST + 2, *percents, False, *times),
    ]


@of("autarky")
def test_the_unknown_remembers_what_was_known(live: Live) -> None:
    live.told(changed(None, change("anna", UNKNOWN, percent=None)))
    assert live.rows("select state, remembered from autarky_state") == [("UNKNOWN", None)]
    live.told(changed(None, change("anna", REACHED)), changed(None, change("anna", UNKNOWN), slot=5))
    assert live.rows("select state, remembered, changed_slot, position from autarky_state") == [
        ("UNKNOWN", "REACHED", FIRST + 5, 3)
    ]
    assert live.rows("select community_id, self_sufficiency_percent from autarky_change") == [
        (None, None),
        (None, Decimal("99.50")),
        (None, Decimal("99.50")),
    ]


# notifications

TOLD = "select household_id, kind, slot, subject_id, read from notification order by position, household_id"


@of("notifications")
@pytest.mark.parametrize(("to", "kind"), [(REACHED, "AUTARKY_REACHED"), (NOT_REACHED, "AUTARKY_LOST")])
def test_a_household_is_told_of_its_autarky(live: Live, to: AutarkyState, kind: str) -> None:
    live.told(changed(None, change("anna", to, 1)))
    assert live.rows(TOLD) == [(ANNA, kind, FIRST + 2, ANNA, False)]
    assert live.rows("select body, at, recorded_at from notification") == [
        (
            {"selfSufficiencyPercent": "99.50", "sinceSlotStart": at(1).isoformat()},
            AT + timedelta(seconds=1),
            RECORDED_AT,
        )
    ]


@of("notifications")
def test_nobody_is_told_what_is_not_to_be_told(live: Live) -> None:
    live.told(*HOME, changed("village", change("anna", REACHED, notify=False)))
    live.told(changed("village", itself=change("village", REACHED, notify=False)))
    assert live.rows(TOLD) == []


@of("notifications")
@pytest.mark.parametrize(
    ("to", "kind"), [(REACHED, "COMMUNITY_AUTARKY_REACHED"), (NOT_REACHED, "COMMUNITY_AUTARKY_LOST")]
)
def test_a_community_s_members_are_told_and_no_one_else(live: Live, to: AutarkyState, kind: str) -> None:
    live.told(*(joined("village", name) for name in ("anna", "ben", "carl")), joined("town", "dora"))
    live.told(left("village", "carl", 1), left("village", "ben", 1), joined("village", "ben", 1))
    live.told(changed("village", itself=change("village", to, percent=None)))
    told = sorted(live.rows(TOLD))
    assert told == sorted((home, kind, FIRST + 2, VILLAGE, False) for home in (ANNA, BEN))
    assert live.rows("select body ->> 'selfSufficiencyPercent' from notification") == [(None,), (None,)]


@of("notifications")
def test_one_closing_may_tell_a_household_of_itself_and_of_its_community(live: Live) -> None:
    live.told(*HOME, changed("village", change("anna", REACHED), itself=change("village", REACHED)))
    assert sorted(row[1] for row in live.rows(TOLD)) == ["AUTARKY_REACHED", "COMMUNITY_AUTARKY_REACHED"]


@of("notifications")
def test_a_household_is_told_of_an_order_that_nobody_answered(live: Live) -> None:
    live.told(*HOME, switched("oven", "anna", True), expired(5, "oven", "anna"))
    assert live.rows(TOLD) == [(ANNA, "ORDER_EXPIRED", None, OVEN, False)]


@of("notifications")
def test_households_are_told_of_corrected_slots(live: Live) -> None:
    live.told(corrected("village", "anna", "ben", first=4))
    expected = [(home, "SLOTS_CORRECTED", FIRST + 4, VILLAGE, False) for home in (ANNA, BEN)]
    assert sorted(live.rows(TOLD)) == sorted(expected)
    assert live.rows("select body from notification limit 1") == [
        ({"slots": 2, "lastSlotStart": at(7).isoformat()},)
    ]


@of("notifications")
def test_what_a_household_has_read_is_read(live: Live) -> None:
    live.told(*(corrected("village", "anna", "ben", first=number) for number in range(3)))
    live.told(events.NotificationsRead(household_id=ANNA, up_to_position=2))
    live.told(corrected("village", "anna", first=9))
    query = "select position, read from notification where household_id = %s order by 1"
    assert live.rows(query, ANNA) == [(1, True), (2, True), (3, False), (5, False)]
    assert live.rows(query, BEN) == [(1, False), (2, False), (3, False)]
