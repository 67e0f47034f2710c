"""The embedded PostgreSQL: its settings, its door, and its data after a kill and after a new start."""

import threading
import time
from pathlib import Path

import psycopg
import pytest

from deploy.grid import Grid
from deploy.servers import servers


def test_it_is_version_18_in_unicode_and_flushes(running: Grid) -> None:
    wanted = ("server_encoding", "fsync", "synchronous_commit", "listen_addresses", "TimeZone")
    with psycopg.connect(running.database_url) as db:
        assert db.info.server_version // 10_000 == 18
        found = [db.execute(f"SHOW {name}").fetchone() for name in wanted]
        locale = db.execute("SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'smartrix'")
        assert [row[0] for row in found if row] == ["UTF8", "on", "on", "127.0.0.1", "UTC"]
        assert locale.fetchone() == ("b", "C.UTF-8")


def test_nobody_enters_without_the_password(running: Grid) -> None:
    user, _, address = running.database_url.partition("@")
    guess = f"{user.rpartition(':')[0]}:guess@{address}"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(guess)


def test_a_busy_backend_of_a_killed_server_does_not_delay_the_next(running: Grid) -> None:
    endless = "SELECT sum(sqrt(n)) FROM generate_series(1, 1000000000) n"

    def compute() -> None:
        options = "-c max_parallel_workers_per_gather=0"
        with (
            psycopg.connect(running.database_url, options=options) as db,
            pytest.raises(psycopg.OperationalError),
        ):
            db.execute(endless)

    busy = threading.Thread(target=compute)
    busy.start()
    time.sleep(0.5)
    began = time.monotonic()
    running.kill("postgres")
    running.wait_for_servers()
    assert time.monotonic() - began < 5
    busy.join(5)
    assert not busy.is_alive()


def test_what_was_committed_is_there_after_a_kill_and_after_a_new_start(home: Path) -> None:
    with servers(home) as grid:
        with psycopg.connect(grid.database_url) as db:
            db.execute("CREATE TABLE kept (value int)")
            db.execute("INSERT INTO kept VALUES (1)")
        before = grid.pids()["postgres"]
        grid.kill("postgres")
        grid.wait_for_servers()
        assert grid.pids()["postgres"] != before
        with psycopg.connect(grid.database_url) as db:
            db.execute("INSERT INTO kept VALUES (2)")
        grid.kill("postgres")
    with servers(home) as grid, psycopg.connect(grid.database_url) as db:
        assert db.execute("SELECT value FROM kept ORDER BY value").fetchall() == [(1,), (2,)]
    assert (home / "postgres-password").stat().st_mode & 0o777 == 0o600
