"""Judging from running sums says what the rule says, whatever happens to flows, rules and memberships."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from deploy.grid import Grid
from gateway.standing_orders.autarky import Judge
from gateway.standing_orders.desk import Statement
from projections import window_sums
from projections.schemas import connect
from projections.views import VIEWS, create_tables
from tests.gateway import plain_judging
from tests.projections.metered_grid import database
from write_side.commands import ChangeAutarky
from write_side.events import AutarkyChange, AutarkyState
from write_side.log import append
from write_side.rules.timeslots import slot_of, slot_start

FIRST = slot_of(datetime(2026, 1, 5, tzinfo=UTC))
SLOTS, HISTORY = 24, 97
HOUSEHOLDS, COMMUNITIES = 24, 3


class Paper:
    """A desk that only writes down what is stated, and lets the view have it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.stated: list[ChangeAutarky] = []

    async def reached(self, view: str, position: int) -> None:
        assert view
        assert position

    async def state_all(self, statements: Sequence[Statement]) -> tuple[int | None, bool]:
        assert len({statement.key for statement in statements}) == len(statements)
        self.stated = [statement.command for statement in statements]  # type: ignore[misc]
        return None, True

    def note_progress(self, order: str, reached: int) -> None:
        assert order
        assert reached

    def changes(self) -> list[AutarkyChange]:
        """What was stated, by subject."""
        found = [change for command in self.stated for change in command.households]
        found += [command.community for command in self.stated if command.community is not None]
        return sorted(found, key=lambda change: change.subject_id)

    def keep(self) -> None:
        """The states as the view would have them now."""
        for change in self.changes():
            remembered = None if change.to_state is AutarkyState.UNKNOWN else change.to_state
            self.connection.execute(
                """insert into autarky_state as held values (%s, %s, %s, %s, 0, 0)
                   on conflict (subject_id) do update set state = excluded.state,
                     since_slot = excluded.since_slot,
                     remembered = coalesce(excluded.remembered, held.remembered)""",
                (change.subject_id, change.to_state, slot_of(change.since_slot_start), remembered),
            )


class World:
    """Tables as the projections would leave them, changed at random."""

    def __init__(self, connection: psycopg.Connection[Any], seed: int) -> None:
        self.connection = connection
        self.chance = random.Random(seed)
        self.households = 0
        for number in range(1, COMMUNITIES + 1):
            row = (self.id_of(10**6 + number), number)
            self.run("insert into community values (%s, %s, now(), 0)", row[0], row[0])
            self.run("insert into meter_community values (%s, %s, 0)", row[1], row[0])
        for _ in range(HOUSEHOLDS):
            self.register(FIRST)
        for slot in range(FIRST - HISTORY, FIRST):
            self.measure(slot)
        self.run("insert into mark select p, %s from generate_series(0, 15) p", FIRST - 1)

    def run(self, statement: str, *parameters: object) -> None:
        self.connection.execute(statement.encode(), parameters)

    def id_of(self, number: int) -> UUID:
        return UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)

    def tell(self) -> None:
        """A fact that changes who is judged or how."""
        row = self.connection.execute("select count(*) + 1 from fact").fetchone()
        assert row is not None
        append(self.connection, [("story", row[0], "CommunityJoined", b"{}")])
        self.run("update households_position set facts = (select max(notification_id) from fact)")

    def register(self, slot: int) -> None:
        self.households += 1
        household_id = self.id_of(self.households)
        self.run(
            """insert into household (household_id, number, area_id, subscribed_power_w, latitude_deg,
                 longitude_deg, registered_at) values (%s, %s, %s, 1, 1, 1, %s)""",
            household_id, self.households, household_id, slot_start(slot),
        )  # fmt: skip
        self.move(household_id, slot)

    def move(self, household_id: UUID, slot: int) -> None:
        self.run(
            "update membership set until_slot = %s where household_id = %s and until_slot is null",
            slot, household_id,
        )  # fmt: skip
        community = self.chance.randint(0, COMMUNITIES)
        if community:
            self.run(
                """insert into membership values (%s, %s, %s) on conflict (household_id, from_slot)
                   do update set community_id = excluded.community_id, until_slot = null""",
                household_id, self.id_of(10**6 + community), slot,
            )  # fmt: skip
        self.tell()

    def rule(self) -> None:
        subject = self.chance.choice([self.chance.randint(1, self.households), 10**6 + 1, 10**6 + 2])
        self.run(
            """insert into autarky_rule values (%s, %s, %s, 5, %s, %s) on conflict (subject_id) do update set
                 window_slots = excluded.window_slots, threshold_percent = excluded.threshold_percent,
                 dwell_slots = excluded.dwell_slots,
                 minimum_coverage_percent = excluded.minimum_coverage_percent""",
            self.id_of(subject), self.chance.choice([1, 1, 2, 3, 96]), self.chance.choice(["60", "72.5"]),
            self.chance.choice([1, 2, 2, 4]), self.chance.choice([0, 50, 100]),
        )  # fmt: skip
        self.tell()

    def measure(self, slot: int) -> None:
        for number in range(1, self.households + 1):
            if self.chance.random() < 0.93:
                self.flow(number, slot)
        for number in range(1, COMMUNITIES + 1):
            self.community_flow(number, slot)

    def flow(self, number: int, slot: int) -> None:
        consumption = self.chance.choice([0, 100, 100, 250])
        own = self.chance.choice([0, consumption * 7 // 10, consumption])
        columns = self.columns("household_flow")
        values = dict.fromkeys(columns, 0) | {
            "household": number, "slot": slot, "consumption_wh": consumption,
            "pv_to_load_wh": own // 2, "own_battery_to_load_wh": own - own // 2,
        }  # fmt: skip
        self.run("delete from household_flow where household = %s and slot = %s", number, slot)
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        self.run(f"insert into household_flow ({names}) values ({places})", *values.values())

    def columns(self, table: str) -> list[str]:
        rows = self.connection.execute("select * from " + table + " limit 0").description  # type: ignore[operator]
        return [column.name for column in rows or () if column.name != "community"]

    def community_flow(self, number: int, slot: int) -> None:
        consumption = self.chance.choice([0, 900, 1000])
        own = self.chance.choice([0, consumption * 7 // 10, consumption])
        community_id = self.id_of(10**6 + number)
        self.run("delete from community_flow where community_id = %s and slot = %s", community_id, slot)
        self.run(
            """insert into community_flow (community_id, slot, households, self_supplied_wh, consumption_wh,
                 production_wh) values (%s, %s, %s, %s, %s, 0)""",
            community_id, slot, self.chance.randint(0, 9), own, consumption,
        )  # fmt: skip

    def correct(self, slot: int) -> None:
        """Late readings: flows of slots before change, and it is noted whose."""
        for _ in range(self.chance.randint(1, 5)):
            number, community = self.chance.randint(1, self.households), self.chance.randint(1, COMMUNITIES)
            late = slot - self.chance.choice([0, 1, 2, 3, 40, 95, 96])
            if self.chance.random() < 0.2:
                self.run("delete from household_flow where household = %s and slot = %s", number, late)
            else:
                self.flow(number, late)
            self.community_flow(community, late)
            self.run("insert into flow_change values (%s, %s)", number, community)

    def happen(self, slot: int) -> None:
        """Whatever comes between two closings."""
        for chance, what in (
            (0.3, self.rule),
            (0.4, lambda: self.correct(slot)),
            (0.2, lambda: self.register(slot)),
            (0.3, lambda: self.move(self.id_of(self.chance.randint(1, self.households)), slot)),
        ):
            if self.chance.random() < chance:
                what()


@pytest.fixture
def url(grid: Grid) -> Iterator[str]:
    """A database with empty views and flows."""
    with database(grid.database_url) as own:
        with connect(own) as connection:
            for view in VIEWS.values():
                create_tables(connection, view, view.name)
        yield own


@pytest.mark.parametrize("seed", range(4))
def test_it_judges_as_the_rule_does(url: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_sums, "_FEW", 3)  # so that few households are read as many are
    with connect(url) as connection:
        with connection.transaction():
            world = World(connection, seed)
            for _ in range(12):
                world.rule()
        paper, told = Paper(connection), 0
        judge = Judge(paper, url)  # type: ignore[arg-type]
        for slot in range(FIRST, FIRST + SLOTS):
            missing = world.chance.random() < 0.2
            with connection.transaction():
                if not missing:
                    world.measure(slot)
                    world.run("update mark set slot = %s", slot)
                world.happen(slot)
            if world.chance.random() < 0.1:
                judge.close()
                judge = Judge(paper, url)  # type: ignore[arg-type]
            asyncio.run(judge.judge(slot, 1))
            assert paper.changes() == plain_judging.changes(connection, slot)
            paper.keep()
            told += len(paper.changes())
            if missing:  # the mark comes after all, and with it the flows, of which nobody is told
                with connection.transaction():
                    world.measure(slot)
                    world.run("update mark set slot = %s", slot)
        judge.close()
        assert told > HOUSEHOLDS
