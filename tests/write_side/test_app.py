"""The one door of the write side, on the real PostgreSQL: keys, groups, order, and servers that go away."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from deploy.grid import Grid
from tests.write_side.story import id_of, register
from write_side.app import LONGEST_QUEUE, App, NotReady, derived_id
from write_side.command_group import Job, Receipt, decide_group
from write_side.commands import (
    Command,
    HouseholdUnknown,
    KeyReused,
    LeaveCommunity,
    NotInCommunity,
    RenameHousehold,
)
from write_side.communities import RULE
from write_side.events import HouseholdRegistered, HouseholdRenamed, Recorded
from write_side.log import head, read_facts

WALL = datetime(2026, 3, 14, 10, 7, tzinfo=UTC)
PATIENCE_S = 10.0
PROMISED_S = 2.0


@pytest.fixture
def app(new_database: str) -> Iterator[App]:
    """An open door to an empty log."""
    with opened(new_database) as door:
        yield door


@contextmanager
def opened(url: str) -> Iterator[App]:
    door = App(url)
    try:
        yield door
    finally:
        door.close()


def answer(future: "Future[Receipt]") -> Receipt:
    return future.result(PATIENCE_S)


def rename(who: str, name: str) -> RenameHousehold:
    return RenameHousehold(household_id=id_of(who), name=name)


def log_of(url: str, after: int = 0) -> list[Recorded]:
    with psycopg.connect(url) as connection:
        return read_facts(connection, after, 1_000_000)


def by_key(url: str, kind: type) -> Counter[str]:
    """How many facts of a kind each key has caused."""
    return Counter(recorded.key for recorded in log_of(url) if isinstance(recorded.fact, kind))


def test_a_repeated_command_answers_what_it_answered_first(app: App, new_database: str) -> None:
    first = answer(app.send(register("anna"), by="anna", key="k"))
    answer(app.send(rename("anna", "Anna B."), by="anna", key="other"))
    again = answer(app.send(register("anna"), by="anna", key="k"))
    assert not first.repeated
    assert again == replace(first, repeated=True)
    assert by_key(new_database, HouseholdRegistered) == {"k": 1}


def test_a_key_is_kept_over_a_restart(new_database: str) -> None:
    with opened(new_database) as door:
        first = answer(door.send(register("anna"), by="anna", key="k"))
    with opened(new_database) as door:
        assert answer(door.send(register("anna"), by="anna", key="k")) == replace(first, repeated=True)


@pytest.mark.parametrize(
    "other", [register("ben"), rename("anna", "A"), register("anna", subscribed_power_w=1)]
)
def test_a_key_stands_for_one_input(app: App, new_database: str, other: Command) -> None:
    answer(app.send(register("anna"), by="anna", key="k"))
    before = log_of(new_database)
    with pytest.raises(KeyReused):
        answer(app.send(other, by="anna", key="k"))
    assert log_of(new_database) == before


def test_a_key_belongs_to_who_uses_it(app: App) -> None:
    answer(app.send(register("anna"), by="anna", key="k"))
    assert not answer(app.send(register("ben"), by="ben", key="k")).repeated


def test_without_a_key_a_command_stands_each_time(app: App, new_database: str) -> None:
    answer(app.send(register("anna"), by="anna"))
    receipts = [answer(app.send(rename("anna", "A"), by="anna")) for _ in range(2)]
    assert receipts[0].position < receipts[1].position
    assert len(by_key(new_database, HouseholdRenamed)) == 2


def test_a_refusal_is_not_kept(app: App) -> None:
    with pytest.raises(HouseholdUnknown):
        answer(app.send(rename("anna", "A"), by="anna", key="k"))
    answer(app.send(register("anna"), by="anna", key="register"))
    assert not answer(app.send(rename("anna", "A"), by="anna", key="k")).repeated
    answer(app.send(LeaveCommunity(household_id=id_of("anna")), by="anna", key="leave"))
    with pytest.raises(NotInCommunity):
        answer(app.send(LeaveCommunity(household_id=id_of("anna")), by="anna", key="again"))
    assert not answer(app.send(rename("anna", "B"), by="anna", key="again")).repeated


def test_a_command_that_changes_nothing_has_a_key_too(app: App) -> None:
    joined = answer(app.send(register("anna"), by="anna"))
    answer(app.send(rename("anna", "A"), by="anna", key="a"))
    repeated = answer(app.send(rename("anna", "A"), by="anna", key="a"))
    assert (repeated.repeated, repeated.position > joined.position) == (True, True)


def test_the_same_key_twice_in_one_group_stands_once(new_database: str) -> None:
    jobs = [Job(register("anna"), "anna", "k", None, f"{number}") for number in range(3)]
    other = Job(register("ben"), "anna", "k", None, "3")
    with psycopg.connect(new_database, autocommit=True) as connection:
        *same, reused = decide_group(connection, [*jobs, other], WALL, simulated=True)
    assert isinstance(reused, KeyReused)
    receipts = [outcome for outcome in same if isinstance(outcome, Receipt)]
    assert len(receipts) == 3
    assert len({(receipt.position, str(receipt.answer)) for receipt in receipts}) == 1
    assert by_key(new_database, HouseholdRegistered) == {"k": 1}


def test_a_refusal_in_a_group_leaves_its_neighbours_alone(new_database: str) -> None:
    commands: list[Command] = [register("anna"), rename("nobody", "A"), rename("anna", "A"), register("anna")]
    jobs = [Job(command, "test", f"{number}", None, "c") for number, command in enumerate(commands)]
    with psycopg.connect(new_database, autocommit=True) as connection:
        outcomes = decide_group(connection, jobs, WALL, simulated=True)
    told = [type(outcome).__name__ for outcome in outcomes]
    assert told == ["Receipt", "HouseholdUnknown", "Receipt", "HouseholdAlreadyRegistered"]
    assert [recorded.key for recorded in log_of(new_database)] == ["0", "0", "0", "2"]


def test_a_receipt_s_position_is_its_last_fact_s(app: App, new_database: str) -> None:
    receipts = {
        key: app.send(register(key, f"{number + 40}"), by="t", key=key) for number, key in enumerate("abc")
    }
    positions = {key: answer(future).position for key, future in receipts.items()}
    last = {recorded.key: recorded.position for recorded in log_of(new_database)}
    assert positions == last


def test_derived_ids_agree_for_the_same_principal_key_and_purpose() -> None:
    ids = {derived_id(by, key, what) for by in "ab" for key in "ab" for what in "ab"}
    assert len(ids) == 8
    assert derived_id("a", "k", "household") == derived_id("a", "k", "household")


class Tail(threading.Thread):
    """Reads the log behind its position for as long as it is told to, as a view does."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.read, self.until = url, list[Recorded](), threading.Event()

    def run(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            while True:
                ending = self.until.is_set()
                after = self.read[-1].position if self.read else 0
                facts = read_facts(connection, after, 7)
                self.read += facts
                if ending and not facts:
                    return


def test_many_writers_through_two_doors_keep_one_order(new_database: str) -> None:
    """A tail that reads meanwhile never passes a fact that is committed behind it."""
    tail = Tail(new_database)
    with opened(new_database) as one, opened(new_database) as two:
        tail.start()

        def write(writer: int) -> list[int]:
            door, positions = (one, two)[writer % 2], []
            # places of their own, so that each founds its community
            positions.append(answer(door.send(register(f"w{writer}", f"{writer}"), by=f"w{writer}")).position)
            for number in range(40):
                sent = door.send(rename(f"w{writer}", f"{number}"), by=f"w{writer}", key=f"{number}")
                positions.append(answer(sent).position)
            return positions

        with ThreadPoolExecutor(8) as writers:
            acknowledged = list(writers.map(write, range(8)))
        tail.until.set()
        tail.join(PATIENCE_S)
    log = log_of(new_database)
    assert tail.read == log
    assert len(log) == 8 * (3 + 40)
    for positions in acknowledged:
        assert positions == sorted(set(positions))
    last_positions = {position for positions in acknowledged for position in positions}
    assert last_positions <= {recorded.position for recorded in log}
    for stream in {recorded.stream for recorded in log}:
        versions = [recorded.version for recorded in log if recorded.stream == stream]
        assert versions == list(range(1, len(versions) + 1))


def test_newcomers_at_one_place_never_overfill_a_community(new_database: str) -> None:
    with opened(new_database) as one, opened(new_database) as two, ThreadPoolExecutor(8) as writers:

        def sign_up(number: int) -> str:
            future = (one, two)[number % 2].send(register(f"h{number}"), by="t", key=f"{number}")
            return answer(future).answer["communityId"]

        placed = Counter(writers.map(sign_up, range(450)))
    assert sum(placed.values()) == 450
    assert sorted(placed.values()) == [50, RULE.max_households, RULE.max_households]
    with psycopg.connect(new_database) as connection:
        rows = connection.execute("select community_id::text, count(*) from log.place group by 1").fetchall()
    assert dict(rows) == placed


def test_newcomers_that_come_at_once_to_a_new_place_are_all_taken(app: App) -> None:
    receipts = [app.send(register(f"h{number}"), by="t", key=f"{number}") for number in range(40)]
    assert len({answer(future).answer["communityId"] for future in receipts}) == 1


def _cut_connections(url: str, times: int, chance: random.Random) -> int:
    """Ends every other connection to the database, so many times; how many there were."""
    cut = 0
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(times):
            time.sleep(chance.uniform(0.01, 0.12))
            ended = connection.execute(
                """select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()"""
            )
            cut += len(ended.fetchall())
    return cut


def test_cut_connections_lose_nothing_and_double_nothing(new_database: str) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    ended = threading.Event()
    with opened(new_database) as one, opened(new_database) as two:
        answer(one.send(register("anna"), by="t", key="register"))

        def write(writer: int) -> list[str]:
            acknowledged, number = [], 0
            while not ended.is_set():
                key, number = f"{writer}/{number}", number + 1
                if _insist((one, two)[writer % 2], key):
                    acknowledged.append(key)
            return acknowledged

        with ThreadPoolExecutor(4) as writers:
            futures = [writers.submit(write, writer) for writer in range(4)]
            cut = _cut_connections(new_database, 20, random.Random(seed))
            ended.set()
            keys = [key for future in futures for key in future.result(PATIENCE_S)]
    assert cut >= 20
    assert len(keys) > 40
    assert by_key(new_database, HouseholdRenamed) == dict.fromkeys(keys, 1)


def _insist(app: App, key: str) -> bool:
    """Sends until there is an answer: the key stands once, however often it is sent."""
    for _ in range(5):
        with contextlib.suppress(NotReady):
            return answer(app.send(rename("anna", key), by="t", key=key)).position > 0
    return False


def test_while_postgresql_is_down_a_command_is_not_ready_within_two_seconds(
    write_side_grid: Grid, new_database: str
) -> None:
    with opened(new_database) as door:
        answer(door.send(register("anna"), by="t", key="register"))
        write_side_grid.stop_part("postgres")
        try:
            sent_at = time.monotonic()
            futures = [door.send(rename("anna", f"{n}"), by="t", key=f"{n}") for n in range(200)]
            wait_for(futures, PATIENCE_S)
            waited_s = time.monotonic() - sent_at
            late_at = time.monotonic()
            with pytest.raises(NotReady):
                answer(door.send(rename("anna", "late"), by="t", key="late"))
            late_s = time.monotonic() - late_at
        finally:
            write_side_grid.start_part("postgres")
            write_side_grid.wait_for_servers()
        assert {type(future.exception()) for future in futures} == {NotReady}
        assert waited_s < PROMISED_S
        assert late_s < PROMISED_S
        for number in range(200):
            answer(door.send(rename("anna", f"{number}"), by="t", key=f"{number}"))
    expected = {f"{number}": 1 for number in range(200)}
    assert by_key(new_database, HouseholdRenamed) == expected


def test_more_than_can_wait_are_told_at_once(app: App, new_database: str) -> None:
    with psycopg.connect(new_database) as holder:
        holder.execute("select pg_advisory_xact_lock(%s)", (0x5371_1061,))
        futures = [app.send(rename("nobody", "A"), by="t") for _ in range(LONGEST_QUEUE + 200)]
        refused_at_once = [future for future in futures if future.done()]
        done, waiting = wait_for(futures, PATIENCE_S)
        holder.rollback()
    assert refused_at_once
    assert not waiting
    assert {type(future.exception()) for future in done} == {NotReady}


def test_a_held_lock_is_answered_within_two_seconds(app: App, new_database: str) -> None:
    answer(app.send(register("anna"), by="t"))
    with psycopg.connect(new_database) as holder:
        holder.execute("select pg_advisory_xact_lock(%s)", (0x5371_1061,))
        sent_at = time.monotonic()
        with pytest.raises(NotReady):
            answer(app.send(rename("anna", "A"), by="t", key="k"))
        waited_s = time.monotonic() - sent_at
    assert waited_s < PROMISED_S
    answer(app.send(rename("anna", "A"), by="t", key="k"))


def test_who_no_longer_waits_holds_nobody_up(app: App) -> None:
    """A caller whose connection went away takes its question back; the next one is answered all the same."""
    answer(app.send(register("anna"), by="t"))
    for number in range(200):
        app.send(rename("anna", f"{number}"), by="t").cancel()
    assert answer(app.send(rename("anna", "A"), by="t")).position > 0


@pytest.mark.parametrize("name", ["half a pair \ud800", "\udfff"])
def test_what_no_log_can_hold_harms_nobody_else(app: App, name: str) -> None:
    answer(app.send(register("anna"), by="t"))
    odd = app.send(rename("anna", name), by="t")
    good = app.send(rename("anna", "A"), by="t")
    assert answer(good).position > 0
    assert odd.exception(PATIENCE_S) is not None


def test_a_key_no_log_can_hold_harms_nobody_else(app: App) -> None:
    answer(app.send(register("anna"), by="t"))
    odd = app.send(rename("anna", "A"), by="t", key="a\0b")
    good = app.send(rename("anna", "A"), by="t")
    assert answer(good).position > 0
    assert odd.exception(PATIENCE_S) is not None


def test_closing_answers_what_was_asked_before(new_database: str) -> None:
    door = App(new_database)
    answer(door.send(register("anna"), by="t"))
    futures = [door.send(rename("anna", f"{number}"), by="t") for number in range(150)]
    door.close()
    assert all(isinstance(future.result(0), Receipt) for future in futures)


def test_the_head_is_the_newest_position(app: App, new_database: str) -> None:
    with psycopg.connect(new_database) as connection:
        assert head(connection) == 0
        receipt = answer(app.send(register("anna"), by="t"))
        assert head(connection) == receipt.position
