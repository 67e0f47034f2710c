"""Commands of one group see what the ones before them decided, though the log has none of it yet."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg

from tests.write_side.story import attach, register
from write_side.command_group import Job, Outcome, Receipt, decide_group
from write_side.commands import DeviceAlreadyAttached, JoinCommunity, LeaveCommunity, RegisterHousehold
from write_side.events import DeviceKind
from write_side.log import create_log, read_facts

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def registration(household_id: UUID) -> RegisterHousehold:
    return RegisterHousehold(
        household_id=household_id,
        name="a home",
        address="",
        latitude_deg=Decimal("45.1"),
        longitude_deg=Decimal("4.2"),
        subscribed_power_w=6000,
    )


def decided(database_url: str, *commands: object) -> list[Outcome]:
    jobs = [Job(command, "test", str(uuid4()), None, "test") for command in commands]  # type: ignore[arg-type]
    with psycopg.connect(database_url, autocommit=True) as connection:
        return decide_group(connection, jobs, NOW, simulated=False)


def test_neighbours_who_sign_up_in_one_group_share_a_community_and_may_leave_and_return(
    database_url: str,
) -> None:
    create_log(database_url)
    first, second = uuid4(), uuid4()
    founded, joined = decided(database_url, registration(first), registration(second))
    assert isinstance(founded, Receipt)
    assert isinstance(joined, Receipt)
    assert founded.answer == joined.answer
    community_id = UUID(founded.answer["communityId"])
    outcomes = decided(
        database_url,
        LeaveCommunity(household_id=second),
        JoinCommunity(household_id=second, community_id=community_id),
        registration(third := uuid4()),
        LeaveCommunity(household_id=third),
        JoinCommunity(household_id=third, community_id=community_id),
    )
    assert all(isinstance(outcome, Receipt) for outcome in outcomes), outcomes


def test_commands_that_stand_or_fall_together(new_database: str) -> None:
    """The refused one leaves no fact, no place and no key, and its neighbour founds the community."""
    devices = [attach("meter", "anna", DeviceKind.METER), attach("panels", "anna", DeviceKind.SOLAR)]
    faulty = (*devices, attach("second meter", "anna", DeviceKind.METER))
    jobs = [
        Job(register("anna"), "t", "anna", None, "c", faulty),
        Job(register("ben"), "t", "ben", None, "c", (attach("oven", "ben"),)),
        Job(register("anna"), "t", "anna", None, "c", tuple(devices)),
    ]
    with psycopg.connect(new_database, autocommit=True) as connection:
        refused, ben, anna = decide_group(connection, jobs, NOW, simulated=False)
        again = decide_group(connection, [jobs[2]], NOW, simulated=False)[0]
        facts = [type(recorded.fact).__name__ for recorded in read_facts(connection, 0)]
        places = connection.execute("select name, production_w from log.place order by 1").fetchall()
    assert isinstance(refused, DeviceAlreadyAttached)
    assert refused.command_number == 3
    assert isinstance(ben, Receipt)
    assert isinstance(anna, Receipt)
    assert again == replace(anna, repeated=True)
    assert facts == [
        *("HouseholdRegistered", "CommunityFounded", "CommunityJoined", "DeviceAttached"),
        *("HouseholdRegistered", "CommunityJoined", "DeviceAttached", "DeviceAttached"),
    ]
    assert places == [("anna", 1000), ("ben", 0)]
