"""Ten minutes at half load: what every process holds, minute by minute.

Commands and reads are offered at half the rate that the benches of each ask for, shared between them as they
share the gateway; every home measures, slots close, subscribers come and go.
"""

import asyncio
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

import httpx
import numpy as np
import psutil
import psycopg

from bench.door_homes import Home, await_readings, await_views, found, homes, measure
from bench.fan_out import advance
from bench.figures import Figure, WrongAnswer
from bench.listeners import Audience, Listeners
from bench.open_loop import Load, Offered, asking, offer
from bench.reads import DAY
from deploy.grid import CLOCK_START, Grid
from write_side.rules.timeslots import slot_of, slot_start

SECONDS, RATE, HOMES, LISTENERS = 600.0, 250.0, 1_000, 300
_SMALLEST_S, _STRETCH_S, _LOOK_EVERY_S, _SLOT_EVERY_S = 4.0, 15.0, 5.0, 5.0
_FLAT_MIB_A_MINUTE = 1.0
_CONSUMED_WH = 1_000
_HOMES_A_PERSON = 3  # so many measure for each that sends commands: no stream gets long
_NOTIFICATIONS = "subscription { notifications { position kind title } }"
_REGISTER = """mutation { registerHousehold(input: {name: "home", latitude: "45.8", longitude: "4.8"}) {
    ... on RegisterHouseholdPayload { householdId token } } }"""
_RENAME = """mutation($input: RenameHouseholdInput!) { renameHousehold(input: $input) { __typename } }"""


class _Soak:
    """The load, each kind in a thread of its own, until it is over."""

    def __init__(self, grid: Grid, made: Sequence[Home], seconds: float) -> None:
        self._grid, self._made = grid, made
        self._until = time.monotonic() + seconds
        self.answers: dict[str, list[Offered]] = defaultdict(list)
        self.held: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.errors: list[BaseException] = []
        self.slots = self.listened = 0

    def run(self) -> None:
        """Begins all of it and waits for its end; raises what went wrong first."""
        kinds = (self._read, self._command, self._live, self._listen, self._look)
        threads = [threading.Thread(target=self._kept, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    @property
    def _is_over(self) -> bool:
        return time.monotonic() >= self._until or bool(self.errors)

    def _kept(self, kind: Callable[[], None]) -> None:
        try:
            kind()
        except BaseException as error:
            self.errors.append(error)

    def _read(self) -> None:
        key = self._grid.signing_key
        self._offer("reads", [asking(self._grid.url, home.token(key), DAY, {}) for home in self._made])

    def _command(self) -> None:
        people = [self._signed_up() for _ in range(len(self._made) // _HOMES_A_PERSON)]
        renamings = [
            asking(self._grid.url, person["token"], _RENAME, {"input": {"householdId": home, "name": name}})
            for name in ("summer", "winter")
            for person in people
            for home in [person["householdId"]]
        ]
        self._offer("commands", renamings)

    def _signed_up(self) -> dict[str, str]:
        operator = {"Authorization": f"Bearer {self._grid.tokens['operator']}"}
        asked = {"query": _REGISTER}
        answer = httpx.post(f"{self._grid.url}/graphql", json=asked, headers=operator, timeout=20).json()
        person: dict[str, str] = answer["data"]["registerHousehold"]
        return person

    def _offer(self, kind: str, requests: Sequence[bytes]) -> None:
        while not (self._is_over and self.answers[kind]):  # a busy machine may sign up until it is over
            seconds = min(_STRETCH_S, max(1.0, self._until - time.monotonic()))
            load = Load(
                url=self._grid.url,
                requests=requests,
                count=int(RATE * seconds),
                per_second=RATE,
                connections=32,
            )
            self.answers[kind].append(offer(load))

    def _live(self) -> None:
        """Every few seconds a slot: its readings, and the clock moved over it."""
        while not self._is_over:
            due = time.monotonic() + _SLOT_EVERY_S
            first = slot_of(CLOCK_START) + self.slots
            measured = [[_CONSUMED_WH]], [2 * _CONSUMED_WH * (self.slots // 8 % 2)]
            asyncio.run(measure(self._grid.nats_url, self._made, first, 1, lambda _home, m=measured: m))  # type: ignore[misc]
            advance(self._grid, slot_start(first + 1))
            self.slots += 1
            time.sleep(max(0.0, min(due, self._until) - time.monotonic()))

    def _listen(self) -> None:
        """Subscribers that come, stay for a few slots and go."""
        for begin in itertools.count(step=LISTENERS):
            if self._is_over:
                return
            some = [self._made[(begin + number) % len(self._made)] for number in range(LISTENERS)]
            tokens = [home.token(self._grid.signing_key) for home in some]
            with Listeners(Audience(url=self._grid.url, tokens=tokens, query=_NOTIFICATIONS)) as listeners:
                time.sleep(max(0.0, min(20.0, self._until - time.monotonic())))
                self.listened += sum(map(len, listeners.heard().told))

    def _look(self) -> None:
        begin = time.monotonic()
        while not self._is_over:
            for name, pid in self._grid.pids().items():
                self.held[name].append(((time.monotonic() - begin) / 60, _held_mib(pid)))
            time.sleep(_LOOK_EVERY_S if self._until - begin > 60 else 0.3)


def run(scale: float) -> list[Figure]:
    """The slope of each process's memory over the second half, and what was answered meanwhile."""
    seconds = max(_SMALLEST_S, SECONDS * scale)
    made = homes(max(40, int(HOMES * min(1.0, 10 * scale))), 1, 100)
    with Grid() as grid:
        grid.wait_healthy()
        await_views(grid.database_url, found(grid.database_url, made, CLOCK_START))
        soak = _Soak(grid, made, seconds)
        soak.run()
        _check(grid, soak, made)
    slopes = {name: _slope(held) for name, held in soak.held.items()}
    figures = [
        Figure(
            name=f"soak: {name}, memory over the second half",
            figure=round(slope, 4),
            unit="MiB/min",
            at_most=_FLAT_MIB_A_MINUTE if seconds >= SECONDS else None,
            beside=soak.held[name][-1][1],
            rival="MiB at the end",
        )
        for name, slope in slopes.items()
    ]
    for kind, offered in soak.answers.items():
        latencies = np.concatenate([one.latencies_s for one in offered])
        figures.append(
            Figure(
                name=f"soak: {kind}, p99",
                figure=float(np.percentile(latencies, 99)) * 1000,
                unit="ms",
                beside=sum(len(one.statuses) for one in offered) / seconds,
                rival="answered a second",
            )
        )
    return figures


def _slope(held: Sequence[tuple[float, float]]) -> float:
    half = np.array(held[len(held) // 2 :])
    return float(np.polyfit(half[:, 0], half[:, 1], 1)[0]) if len(half) > 2 else 0.0


def _held_mib(pid: int) -> float:
    """What a process and its children hold for themselves."""
    held = 0
    with suppress(psutil.Error):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with suppress(psutil.Error):
                memory = process.memory_info()
                held += memory.rss - memory.shared
    return held / 2**20


def _check(grid: Grid, soak: _Soak, made: Sequence[Home]) -> None:
    """All was answered, and the grid's total is what the homes measured."""
    for kind, offered in soak.answers.items():
        failed = [status for one in offered for status in one.statuses if status != 200]
        if failed:
            raise WrongAnswer(f"{len(failed)} {kind} were not answered, the first with {failed[0]}")
    await_readings(grid.database_url, soak.slots * len(made))
    with psycopg.connect(grid.database_url) as connection:
        row = connection.execute("select sum(consumption_wh)::bigint from metering.grid_energy").fetchone()
    if row != (soak.slots * len(made) * _CONSUMED_WH,):
        raise WrongAnswer(f"{soak.slots} slots of {len(made)} homes were sent, {row} Wh are there")
