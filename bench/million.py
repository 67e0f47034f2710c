"""Bench `million`: import, then four slots with every household and community through closing, energy, flows
and autarky; for 1,000 up to 1,000,000 households, each on a grid of its own.
"""

import asyncio
import json
import time
from collections import deque
from contextlib import closing
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import nats
import numpy as np
import psycopg
from nats.aio.msg import Msg

from bench import million_load as load
from bench.figures import Figure, WrongAnswer
from bench.grid_memory import GridMemory
from deploy.grid import CLOCK_START, Grid
from projections.schemas import connect
from write_side.app import App
from write_side.command_group import Receipt
from write_side.commands import AdvanceClock
from write_side.events import Stride
from write_side.importing import import_newcomers

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SLOTS = 4
SLOT_S = 900.0
TIMES_REAL_TIME = 20
LARGEST_GB = 8.0
_OUTSTANDING = 32
_PATIENCE_S = 400.0
_VIEWS = ("households", "slots", "autarky", "notifications", "metering")


def run(scale: float) -> list[Figure]:
    """All sizes; WrongAnswer where energy, states or changes are not what the client works out itself."""
    figures: list[Figure] = []
    cost_us: float | None = None
    for size in dict.fromkeys(max(round(size * scale / 100) * 100, 200) for size in SIZES):
        found, cost_us = _Run(size).figures(cost_us)
        figures += found
    return figures


class _Run:
    """One grid with so many households."""

    def __init__(self, households: int) -> None:
        self.households = households
        self.communities = households // load.MEMBERS
        self.areas: list[str] = []
        self.community_ids: list[str] = []
        self.slots: list[load.Slot] = []
        self.client_s = 0.0

    def figures(self, before_us: float | None) -> tuple[list[Figure], float]:
        """What it took; `before_us` is the cost per household and slot on the grid before this one."""
        with TemporaryDirectory() as folder, Grid() as grid:
            grid.wait_healthy()
            with closing(GridMemory(grid.pids())) as memory:
                import_s, lag_s = self._import(grid)
                self._set_rules(grid)
                self._write_templates(Path(folder) / "templates")
                seconds = [asyncio.run(self._slot(grid, Path(folder) / "templates", n)) for n in range(SLOTS)]
            self._check(grid.database_url)
        slowest, cost_us = max(seconds), sum(seconds) / SLOTS / self.households * 1e6
        name = f"million: {self.households:,} households"
        times = SLOT_S / slowest
        figures = [
            Figure(name=f"{name}, import", figure=self._facts / import_s, unit="facts/s"),
            Figure(name=f"{name}, until every view has them", figure=lag_s, unit="s"),
            Figure(
                name=f"{name}, the slowest of {SLOTS} slots", figure=slowest, unit="s",
                beside=self.client_s / SLOTS, rival="s of it the client's own CPU",
            ),
            Figure(
                name=f"{name}, faster than real time", figure=times, unit="times",
                at_least=TIMES_REAL_TIME,
            ),
            Figure(
                name=f"{name}, a household and slot", figure=cost_us, unit="µs",
                beside=before_us, rival="on the grid a tenth as large", at_most=before_us,
            ),
            Figure(
                name=f"{name}, all processes, shared memory once", figure=memory.peak_gb, unit="GB",
                at_most=LARGEST_GB, beside=memory.largest[1], rival=f"of it {memory.largest[0]}",
            ),
        ]  # fmt: skip
        return figures, cost_us

    @property
    def _facts(self) -> int:
        return self.households * (2 + load.DEVICES) + self.communities

    def _import(self, grid: Grid) -> tuple[float, float]:
        """Seconds until the log has everybody, and then until every view has."""
        begin = time.perf_counter()
        newcomers = (load.newcomer(household) for household in range(self.households))
        count = 0
        for group in import_newcomers(grid.database_url, newcomers, by="bench"):
            for _, outcome in group:
                if not isinstance(outcome, Receipt):
                    raise outcome
                if count % load.MEMBERS == 0:
                    self.areas.append(outcome.answer["areaId"])
                    self.community_ids.append(outcome.answer["communityId"])
                elif outcome.answer["communityId"] != self.community_ids[-1]:
                    raise WrongAnswer(f"household {count} was not placed with its neighbours")
                count += 1
        imported = time.perf_counter()
        _until_views_have_it(grid.database_url)
        return imported - begin, time.perf_counter() - imported

    def _set_rules(self, grid: Grid) -> None:
        with closing(App(grid.database_url)) as app:
            waiting: deque[object] = deque()
            for rule in load.rules(self.households, self.community_ids):
                waiting.append(app.send(rule, by="bench"))
                while len(waiting) > 1000:
                    waiting.popleft().result(10)  # type: ignore[attr-defined]
            for future in waiting:
                future.result(10)  # type: ignore[attr-defined]
        _until_views_have_it(grid.database_url)

    def _write_templates(self, file: Path) -> None:
        """Messages are made from templates on disk: in memory they would be as large as the grid."""
        with file.open("wb") as lines:
            for community in range(self.communities):
                lines.write(load.template(community) + b"\n")

    async def _slot(self, grid: Grid, templates: Path, number: int) -> float:
        """Sends a slot's readings, closes it, and waits until every view has all that follows; seconds."""
        start = CLOCK_START + number * load.SLOT
        self.slots.append(slot := load.Slot.drawn(self.households, number))
        cpu, begin = time.process_time(), time.perf_counter()
        await self._send(grid, templates, slot, start)
        self.client_s += time.process_time() - cpu
        with closing(App(grid.database_url)) as app:
            order = AdvanceClock(to=start + load.SLOT, stride=Stride.SLOT)
            app.send(order, by="bench").result(10)
        await asyncio.to_thread(_until_closed, grid.database_url, start + load.SLOT)
        return time.perf_counter() - begin

    async def _send(self, grid: Grid, templates: Path, slot: load.Slot, start: datetime) -> None:
        room, refused = asyncio.Semaphore(_OUTSTANDING), list[str]()

        async def hear(message: Msg) -> None:
            answer = json.loads(message.data)
            if "error" in answer:
                refused.append(str(answer["error"]))
            room.release()

        client = await nats.connect(grid.nats_url)
        try:
            inbox = client.new_inbox()
            await client.subscribe(inbox, cb=hear)
            with templates.open("rb") as lines:
                for community, line in enumerate(lines):
                    await room.acquire()
                    data = slot.message(line.rstrip(), community, start)
                    await client.publish(f"intake.{self.areas[community]}.all", data, reply=inbox)
            for _ in range(_OUTSTANDING):
                await asyncio.wait_for(room.acquire(), 30)
        finally:
            await client.close()
        if refused:
            raise WrongAnswer(f"the stream refused {len(refused)} messages: {refused[0]}")

    def _check(self, database_url: str) -> None:
        with connect(database_url) as connection:
            self._check_energy(connection)
            self._check_states(connection)

    def _check_energy(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        rows = connection.execute(
            """select sum(consumption_wh)::bigint, sum(production_wh)::bigint, sum(grid_import_wh)::bigint,
                 sum(grid_export_wh)::bigint, sum(charge_wh)::bigint, sum(reporting)::bigint
               from grid_energy group by slot order by slot"""
        ).fetchall()
        _same("energy by slot", rows, [(*slot.totals_wh, self.households) for slot in self.slots])
        rows = connection.execute(
            """select count(*), sum(pv_to_load_wh)::bigint from household_flow group by slot order by slot"""
        ).fetchall()
        _same("flows by slot", rows, [(self.households, int(slot.own_wh.sum())) for slot in self.slots])
        row = connection.execute("select count(*), sum(cardinality(missing_partitions)) from closed_slot")
        _same("closings", row.fetchall(), [(SLOTS, 0)])
        row = connection.execute(
            """select reached - (select min(slot) from closed_slot) from standing_orders.standing_order
               where name = 'autarky'"""
        )
        _same("slots judged", row.fetchall(), [(SLOTS - 1,)])

    def _check_states(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        """Of everybody judged on single slots the last state, and all changes there ever were."""
        ruled = np.flatnonzero(np.arange(self.households) % load.MEMBERS < load.RULED)
        reached = np.array([slot.household_reaches[ruled] for slot in self.slots])
        of_communities = np.array([slot.community_reaches for slot in self.slots])
        expected = {
            str(load.id_of(0, household)): state
            for household, state in zip(ruled.tolist(), reached[-1].tolist(), strict=True)
        } | dict(zip(self.community_ids, of_communities[-1].tolist(), strict=True))
        rows = connection.execute("select subject_id::text, state = 'REACHED' from autarky_state").fetchall()
        found = {row[0]: row[1] for row in rows}
        if found != expected:
            raise WrongAnswer(f"autarky: {len(expected)} states were expected, {len(found)} others are there")
        changes = sum(
            len(every[0]) + int((every[1:] != every[:-1]).sum()) for every in (reached, of_communities)
        )
        row = connection.execute("select count(*) from autarky_change").fetchall()
        _same("changes of autarky", row, [(changes,)])


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise WrongAnswer(f"{what}: {found} instead of {expected}")


def _until_views_have_it(database_url: str) -> None:
    oldest = " union all ".join(f"select min(facts) as at from {view}_position" for view in _VIEWS)
    _until(database_url, f"select min(at) >= (select max(notification_id) from fact) from ({oldest}) p")


def _until_closed(database_url: str, now: datetime) -> None:
    """Until the clock stands there with nothing under way, and every view has what came of it."""
    _until(database_url, f"select now = '{now.isoformat()}' and target is null from clock")
    _until_views_have_it(database_url)


def _until(database_url: str, holds: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    with connect(database_url) as connection:
        while connection.execute(holds.encode()).fetchone() != (True,):
            if time.monotonic() > deadline:
                raise TimeoutError(f"it does not come true: {holds}")
            time.sleep(0.01)
