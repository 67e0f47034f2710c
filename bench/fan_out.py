"""Ten thousand subscribers of one gateway, each of another household with a connection of its own, and one
autarky change each in the same slot: when the last of them knows.

In the first slot every second home feeds itself. In the one that is measured all turn over, each to a rate of
its own, so that what each subscriber must be told is known without the grid.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import httpx
import numpy as np
import psutil
import psycopg

from bench.door_homes import Home, await_readings, await_views, found, homes, measure, wait_for
from bench.figures import Figure, WrongAnswer
from bench.listeners import Audience, Heard, Listeners
from deploy.grid import CLOCK_START, Grid
from write_side.rules.timeslots import slot_of

SUBSCRIBERS = 10_000
_A_COMMUNITY = 100
_CONSUMED_WH = 10_000
_SILENCE_S = 1.5
_QUERY = """subscription { autarkyChanged {
    position slotStart from to selfSufficiencyPercent closedAt notify } }"""
_ADVANCE = """mutation($to: DateTime!) { advanceClock(input: {to: $to}) {
    __typename ... on AdvanceClockPayload { closedSlots } ... on Refusal { message } } }"""
_RULE = {
    "window_slots": 1,
    "threshold_percent": Decimal(50),
    "hysteresis_points": Decimal(0),
    "dwell_slots": 1,
    "minimum_coverage_percent": Decimal(90),
}


def run(scale: float) -> list[Figure]:
    """From the closing, and from the statement of the last change, to the last subscriber's receipt."""
    made = homes(max(40, int(SUBSCRIBERS * scale)), 1, _A_COMMUNITY)
    with Grid() as grid:
        grid.wait_healthy()
        await_views(grid.database_url, found(grid.database_url, made, CLOCK_START, _RULE))
        _live(grid, made, 0, [_CONSUMED_WH * (number % 2) for number in range(len(made))])
        before = _gateway_bytes(grid)
        audience = Audience(
            url=grid.url, tokens=[home.token(grid.signing_key) for home in made], query=_QUERY
        )
        with Listeners(audience) as listeners:
            _await_subscriptions(grid, len(made))
            memory = (_gateway_bytes(grid) - before) / len(made)
            used = _gateway_cpu(grid)
            _live(grid, made, 1, produced(len(made)))
            time.sleep(_SILENCE_S)
            heard = listeners.heard()
            used = _gateway_cpu(grid) - used
        closed_at, stated_at = _times(grid, slot_of(CLOCK_START) + 1)
        check(heard, len(made))
    last = np.array([told[0][0] for told in heard.told])
    share = f"{len(made):,} connections"
    return [
        Figure(
            name="fan-out: closing to the last subscriber",
            figure=float(last.max() - closed_at),
            unit="s",
            at_most=1.0,
            beside=float(np.median(last) - closed_at),
            rival=f"median of {share}",
        ),
        Figure(
            name="fan-out: last change stated to the last subscriber",
            figure=float(last.max() - stated_at),
            unit="s",
            beside=stated_at - closed_at,
            rival="closing to last change stated",
        ),
        Figure(
            name="fan-out: first to last subscriber told",
            figure=float(last.max() - last.min()),
            unit="s",
            beside=used / len(made) * 1e6,
            rival="µs of the gateway's CPU a subscriber",
        ),
        Figure(
            name="fan-out: memory a subscriber",
            figure=memory / 1024,
            unit="KiB",
            beside=heard.cpu_seconds,
            rival="client's CPU in all, s",
        ),
    ]


def produced(count: int) -> list[int]:
    """Of each home in the slot that is measured: a rate of its own, on the other side of the threshold."""
    step = _CONSUMED_WH // 2 // -(-count // 2)
    rates = [step * (number // 2) for number in range(count)]
    return [wh if number % 2 else _CONSUMED_WH - wh for number, wh in enumerate(rates)]


def _live(grid: Grid, made: Sequence[Home], slot: int, production: Sequence[int]) -> None:
    """The readings of one slot, and the clock moved over it."""
    first = slot_of(CLOCK_START) + slot
    measured = [([[_CONSUMED_WH]], [wh]) for wh in production]
    asyncio.run(measure(grid.nats_url, made, first, 1, lambda number: measured[number]))
    await_readings(grid.database_url, len(made) * (slot + 1))
    advance(grid, CLOCK_START + timedelta(minutes=15 * (slot + 1)))


def advance(grid: Grid, to: datetime) -> None:
    """Moves the clock; RuntimeError where it is refused."""
    answer = httpx.post(
        f"{grid.url}/graphql",
        json={"query": _ADVANCE, "variables": {"to": to.isoformat()}},
        headers={"Authorization": f"Bearer {grid.tokens['operator']}"},
        timeout=120,
    ).json()
    if "closedSlots" not in (answer.get("data") or {}).get("advanceClock", {}):
        raise RuntimeError(f"the clock does not move: {answer}")


def _await_subscriptions(grid: Grid, count: int) -> None:
    def are_open(_connection: object) -> bool:
        lines = httpx.get(f"{grid.url}/metrics", timeout=20).text.splitlines()
        return f"smartrix_subscriptions {count}" in lines

    wait_for(grid.database_url, are_open, f"there are not {count} subscriptions")
    time.sleep(1)  # those that count are about to take their seats


def _times(grid: Grid, slot: int) -> tuple[float, float]:
    """The wall time of the closing, and of the newest statement of a change."""
    with psycopg.connect(grid.database_url, options="-csearch_path=slots,autarky") as connection:
        closed = connection.execute("select closed_at from closed_slot where slot = %s", (slot,)).fetchone()
        stated = connection.execute(
            "select max(recorded_at) from autarky_change where slot = %s", (slot,)
        ).fetchone()
    assert closed is not None
    assert stated is not None
    return closed[0].timestamp(), stated[0].timestamp()


def check(heard: Heard, count: int) -> None:
    """Each was told its own change once, and nothing else."""
    if heard.closed or len(heard.told) != count:
        raise WrongAnswer(
            f"{heard.closed} of {len(heard.told)} connections were closed, {count} are to be open"
        )
    for number, (told, wh) in enumerate(zip(heard.told, produced(count), strict=True)):
        changes = [message["payload"]["data"]["autarkyChanged"] for _, message in told]
        rate = Decimal(100 * wh) / _CONSUMED_WH
        expected = "NOT_REACHED" if number % 2 else "REACHED"
        right = [
            (change["to"], Decimal(change["selfSufficiencyPercent"]), change["notify"]) for change in changes
        ]
        if right != [(expected, rate, True)]:
            raise WrongAnswer(f"subscriber {number} was to be told {rate} %, and was told {changes}")


def _gateway_bytes(grid: Grid) -> int:
    return int(psutil.Process(grid.pids()["gateway"]).memory_info().rss)


def _gateway_cpu(grid: Grid) -> float:
    times = psutil.Process(grid.pids()["gateway"]).cpu_times()
    return float(times.user + times.system)
