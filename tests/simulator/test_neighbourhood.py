"""The small neighbourhood beside a served grid: it lives, ends when told to, and goes on after a restart."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from gql import gql

from deploy.grid import Grid
from simulator import operations
from simulator.client import Answer, GridClient

HOMES = gql(
    """{ households(first: 20) { totalCount nodes { name community { memberCount }
      energy(last: 2) { nodes { consumptionWh coveragePercent } }
      history: energy(last: 96) { total { consumptionWh } } } } }"""
)


@contextmanager
def _living(grid: Grid, home: Path) -> Iterator[subprocess.Popen[str]]:
    where = ("--url", grid.url, "--mqtt-url", grid.mqtt_url, "--nats-url", grid.nats_url)
    itself = ("--token", grid.tokens["operator"], "--home", str(home), "--pace", "0.2")
    command = (sys.executable, "-m", "simulator.neighbourhood", *where, *itself)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            told = process.communicate(timeout=20)[0]
        assert process.returncode == 0, told


def _asked(grid: Grid) -> tuple[datetime, Answer]:
    async def ask() -> tuple[datetime, Answer]:
        async with GridClient(grid.url, grid.tokens["operator"]) as client:
            return (await operations.clock(client)).now, (await client.ask(HOMES))["households"]

    return asyncio.run(ask())


def _moved(grid: Grid, before: datetime, slots: int) -> Answer:
    deadline = time.monotonic() + 60
    while True:
        now, homes = _asked(grid)
        if (now - before).total_seconds() >= slots * 900 and homes["totalCount"] == 6:
            return homes
        assert time.monotonic() < deadline, f"the clock stands at {now}"
        time.sleep(0.2)


@pytest.mark.slow
def test_it_lives_and_goes_on(tmp_path: Path) -> None:
    with Grid() as grid:
        grid.wait_healthy()
        before, _ = _asked(grid)
        for _ in range(2):
            with _living(grid, tmp_path / "a neighbourhood"):
                homes = _moved(grid, before, 3)
            assert [home["community"]["memberCount"] for home in homes["nodes"]] == [6] * 6
            assert {float(home["energy"]["nodes"][0]["coveragePercent"]) for home in homes["nodes"]} == {100}
            assert all(home["history"]["total"]["consumptionWh"] > 1000 for home in homes["nodes"])
            before, _ = _asked(grid)
