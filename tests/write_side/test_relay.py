"""The relay and the views behind it, each a process on the real servers: what NATS loses the log tells."""

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import nats
import psycopg
import pytest
from nats.aio.msg import Msg

from deploy.grid import REPOSITORY, Grid
from projections.schemas import connect
from projections.view_rebuild import compare
from projections.views import VIEWS
from tests.write_side.story import attach, id_of, register
from write_side.app import App
from write_side.commands import RenameHousehold, SetConsent, SwitchDevice
from write_side.events import ConsentPurpose, Granularity
from write_side.fact_batches import SUBJECT, Batch, pack, unpack
from write_side.log import LOG_LOCK, head, read_rows

PATIENCE_S = 20.0


@contextmanager
def role(name: str, grid: Grid, url: str, index: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """One role as a process of its own, on this database; ended at the end."""
    told = {
        "DATABASE_URL": url,
        "NATS_URL": grid.nats_url,
        "SMARTRIX_HOME": str(grid.home),
        "SMARTRIX_SIGNING_KEY": "none",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.role", name, "--index", f"{index}", "--supervised"],
        env=os.environ | told,
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=10)


def until(holds: Callable[[], bool], what: str) -> float:
    """Waits for it; how long it took, seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE_S, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def positions(url: str) -> set[int]:
    """Where the views stand; empty before they are made."""
    with connect(url) as connection:
        try:
            rows = [connection.execute(f"select facts from {name}_position").fetchone() for name in VIEWS]
        except psycopg.errors.UndefinedTable:
            return set()
    return {int(row[0]) for row in rows if row is not None}


def newest(url: str) -> int:
    with psycopg.connect(url) as connection:
        return head(connection)


def written(app: App, who: str) -> int:
    """A household with a device and a handful of facts; the position of the last."""
    household_id = id_of(who)
    app.send(register(who, f"{sum(who.encode()) % 90}"), by="t").result(10)
    app.send(attach(f"{who} oven", who), by="t").result(10)
    futures = [
        app.send(SwitchDevice(household_id=household_id, device_id=id_of(f"{who} oven"), on=False), by="t"),
        app.send(
            SetConsent(household_id=household_id, purpose=ConsentPurpose.SALE, granularity=Granularity.DAILY),
            by="t",
        ),
    ]
    futures += [app.send(RenameHousehold(household_id=household_id, name=f"{n}"), by="t") for n in range(5)]
    return max(future.result(10).position for future in futures)


def assert_views_equal_the_log(url: str, households: int) -> None:
    """All views at the log's head, equal to rebuilt ones, and not empty."""
    until(lambda: positions(url) == {newest(url)}, "the views at the head")
    assert [row for view in VIEWS.values() for row in compare(url, view)] == []
    with connect(url) as connection:
        counted = connection.execute("select count(*) from household").fetchone()
    assert counted == (households,)


@pytest.fixture
def app(new_database: str) -> Iterator[App]:
    """An open door to an empty log."""
    door = App(new_database)
    yield door
    door.close()


class Listener(threading.Thread):
    """Keeps every batch that goes over NATS."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.batches = url, list[Batch]()
        self.listening, self.until = threading.Event(), threading.Event()

    def run(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        messages = await nats.connect(self.url)
        await messages.subscribe(SUBJECT, cb=self._keep)
        await messages.flush()
        self.listening.set()
        while not self.until.is_set():
            await asyncio.sleep(0.02)
        await messages.close()

    async def _keep(self, message: Msg) -> None:
        self.batches.append(unpack(message.data))

    @property
    def rows(self) -> list[Any]:
        return [row for batch in self.batches for row in batch.rows]


def test_a_relay_publishes_every_fact_behind_its_start_in_a_chain(
    write_side_grid: Grid, new_database: str, app: App
) -> None:
    before = written(app, "anna")
    listener = Listener(write_side_grid.nats_url)
    listener.start()
    assert listener.listening.wait(10)
    try:
        with role("relay", write_side_grid, new_database):
            until(lambda: _is_listening(new_database), "the relay")
            for name in ("ben", "carl"):
                last = written(app, name)
            until(lambda: bool(listener.rows) and listener.rows[-1][0] == last, "the last fact")
    finally:
        listener.until.set()
        listener.join(10)
    with psycopg.connect(new_database) as connection:
        stored = read_rows(connection, before, 1000)
    assert [tuple(row) for row in listener.rows] == [tuple(row) for row in stored]
    assert listener.batches[0].previous == before
    for batch, following in zip(listener.batches, listener.batches[1:], strict=False):
        assert following.previous == batch.rows[-1][0]


def _is_listening(url: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and query ~ 'log.fact'"
            " and query ~ 'notification_id > ' and pid <> pg_backend_pid()"
        ).fetchone()
    return row is not None and int(row[0]) > 0


def test_a_flood_of_facts_is_announced_rather_than_sent(
    write_side_grid: Grid, new_database: str, app: App
) -> None:
    written(app, "anna")
    listener = Listener(write_side_grid.nats_url)
    listener.start()
    assert listener.listening.wait(10)
    try:
        with (
            role("relay", write_side_grid, new_database),
            role("views", write_side_grid, new_database),
        ):
            until(lambda: positions(new_database) == {newest(new_database)}, "the views")
            until(lambda: _is_listening(new_database), "the relay")
            before = newest(new_database)
            _flood(new_database, 40_000)
            last = written(app, "ben")
            until(lambda: positions(new_database) == {last}, "the views behind the flood")
            until(lambda: any(not batch.rows for batch in listener.batches), "an announcement")
            assert len(listener.rows) < last - before
            until(lambda: _is_sent(app, listener), "a fact sent again, once the flood is over")
            assert_views_equal_the_log(new_database, 2)
    finally:
        listener.until.set()
        listener.join(10)


def _is_sent(app: App, listener: Listener) -> bool:
    """Whether one more fact comes over NATS soon."""
    renamed = app.send(RenameHousehold(household_id=id_of("ben"), name="Ben"), by="t").result(10)
    time.sleep(0.2)
    return bool(listener.rows) and bool(listener.rows[-1][0] == renamed.position)


def _flood(url: str, count: int) -> None:
    """So many facts at once, as an import of thousands of homes brings them."""
    with psycopg.connect(url) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (LOG_LOCK,))
        connection.execute(
            """insert into log.fact (originator_id, originator_version, topic, state)
               select originator_id, originator_version + n, topic, state
               from (select * from log.fact where topic = 'HouseholdRenamed'
                     order by notification_id desc limit 1) f, generate_series(1, %s) n""",
            (count,),
        )
        connection.execute("notify log_fact")


def test_two_relays_tell_everything_twice_and_it_counts_once(
    write_side_grid: Grid, new_database: str, app: App
) -> None:
    with ExitStack() as roles:
        for index in range(2):
            roles.enter_context(role("relay", write_side_grid, new_database, index))
        roles.enter_context(role("views", write_side_grid, new_database))
        for number in range(8):
            written(app, f"house {number}")
        assert_views_equal_the_log(new_database, 8)


def test_without_any_relay_the_views_read_the_log(write_side_grid: Grid, new_database: str, app: App) -> None:
    with role("views", write_side_grid, new_database):
        for number in range(4):
            written(app, f"house {number}")
        assert_views_equal_the_log(new_database, 4)


def test_two_workers_hold_each_view_once_and_the_second_takes_over(
    write_side_grid: Grid, new_database: str, app: App
) -> None:
    with ExitStack() as roles:
        roles.enter_context(role("relay", write_side_grid, new_database))
        first = roles.enter_context(role("views", write_side_grid, new_database))
        written(app, "anna")
        until(lambda: positions(new_database) == {newest(new_database)}, "the first worker")
        roles.enter_context(role("views", write_side_grid, new_database, 1))
        written(app, "ben")
        first.kill()
        written(app, "carl")
        assert_views_equal_the_log(new_database, 3)


def test_batches_lost_repeated_and_out_of_order_cost_time_and_no_fact(
    write_side_grid: Grid, new_database: str, app: App
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with role("views", write_side_grid, new_database):
        for number in range(6):
            before = newest(new_database)
            written(app, f"house {number}")
            asyncio.run(_publish(write_side_grid.nats_url, _shaken(new_database, before, chance)))
        assert_views_equal_the_log(new_database, 6)


def _shaken(url: str, before: int, chance: random.Random) -> list[bytes]:
    """The newest facts in small batches: some lost, some twice, none in order; and what is no batch."""
    with psycopg.connect(url) as connection:
        rows = read_rows(connection, before, 1000)
    previous = [before, *(row[0] for row in rows)]
    batches = [
        message
        for start in range(0, len(rows), 3)
        for message in pack(previous[start], rows[start : start + 3])
        for _ in range(chance.randrange(3))
    ]
    batches.append(b"no batch at all")
    chance.shuffle(batches)
    return batches


async def _publish(url: str, batches: list[bytes]) -> None:
    messages = await nats.connect(url)
    for batch in batches:
        await messages.publish(SUBJECT, batch)
    await messages.flush()
    await messages.close()


def test_a_dead_nats_stops_neither_commands_nor_views(
    write_side_grid: Grid, new_database: str, app: App
) -> None:
    with (
        role("relay", write_side_grid, new_database) as relay,
        role("views", write_side_grid, new_database) as worker,
    ):
        written(app, "before")
        until(lambda: positions(new_database) == {newest(new_database)}, "the views before")
        write_side_grid.stop_part("nats")
        try:
            for number in range(3):
                written(app, f"house {number}")
            assert_views_equal_the_log(new_database, 4)
        finally:
            write_side_grid.start_part("nats")
            write_side_grid.wait_for_servers()
        written(app, "after")
        assert_views_equal_the_log(new_database, 5)
        assert (relay.poll(), worker.poll()) == (None, None)


def test_nats_killed_while_facts_come(write_side_grid: Grid, new_database: str, app: App) -> None:
    with (
        role("relay", write_side_grid, new_database) as relay,
        role("views", write_side_grid, new_database) as worker,
    ):
        until(lambda: positions(new_database) == {0}, "the views")
        for number in range(9):
            if number % 3 == 1:
                write_side_grid.kill("nats")
            written(app, f"house {number}")
        assert_views_equal_the_log(new_database, 9)
        write_side_grid.wait_for_servers()
        assert (relay.poll(), worker.poll()) == (None, None)


def test_views_stop_before_a_fact_they_do_not_know_and_say_so(
    write_side_grid: Grid, new_database: str, app: App
) -> None:
    last = written(app, "anna")
    with (
        role("relay", write_side_grid, new_database),
        role("views", write_side_grid, new_database) as worker,
    ):
        until(lambda: positions(new_database) == {last}, "the views")
        with psycopg.connect(new_database) as connection:
            connection.execute("select pg_advisory_xact_lock(%s)", (LOG_LOCK,))
            connection.execute(
                """insert into log.fact (originator_id, originator_version, topic, state)
                   select 'race', 1, 'RaceWon', state from log.fact limit 1"""
            )
            connection.execute("notify log_fact")
        written(app, "ben")
        until(lambda: len(_errors(new_database)) == len(VIEWS), "the views' word")
        assert all("'RaceWon'" in error for error in _errors(new_database))
        assert positions(new_database) == {last}
        assert worker.poll() is None


def _errors(url: str) -> list[str]:
    with connect(url) as connection:
        rows = [connection.execute(f"select error from {name}_position").fetchone() for name in VIEWS]
    return [row[0] for row in rows if row is not None and row[0] is not None]
