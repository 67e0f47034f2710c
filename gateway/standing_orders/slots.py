"""Closing slots: a mark into every partition, the closing when all are committed, then what follows of it."""

import asyncio
import json
import logging
import time
from datetime import UTC, datetime, timedelta

from gateway.standing_orders.autarky import ORDER, Judge
from gateway.standing_orders.corrections import correct
from gateway.standing_orders.desk import Desk
from projections.intake_stream import flush_mqtt
from projections.partition_ownership import owned_partitions
from write_side.commands import CloseSlots, FoundGrid
from write_side.rules.timeslots import day_slots, local_day, slot_of, slot_start
from write_side.settings import PARTITIONS, Settings

__all__ = ["close", "correct", "first_open", "found_grid", "judge_closed", "mark", "run_wall"]

log = logging.getLogger(__name__)

GRACE = timedelta(seconds=60)
LONGEST_MARK_S = 10.0
LONGEST_SETTLING_S = 300.0
POLL_S = 0.01


async def found_grid(desk: Desk, settings: Settings) -> None:
    """Founds the grid where it is new: its first slot is the clock's start, or the one that runs."""
    if desk.rows("select 1 from clock"):
        return
    start = settings.clock_start if settings.simulated else datetime.now(UTC)
    founding = FoundGrid(first_slot_start=slot_start(slot_of(start)), simulated=settings.simulated)
    receipt = await desk.try_send(founding, key="found", cause=None, correlation="found")
    if receipt is not None:
        await desk.reached("slots", receipt)


def first_open(desk: Desk) -> int:
    """The first slot that has not closed."""
    last = desk.value("select max(slot) from closed_slot")
    return int(last) + 1 if last is not None else int(desk.value("select first_slot from clock"))


async def mark(desk: Desk, slot: int, patience_s: float, at_work_s: float) -> tuple[int, ...]:
    """Puts a mark behind the readings of `slot` into every partition and waits until they are committed.

    Answers the partitions whose mark did not come in time: `patience_s` where nobody owns one, `at_work_s`
    where a worker does, who may have much to settle before it. What MQTT acknowledged before lies before the
    mark: else a reading sent in time would count as late.
    """
    if not await flush_mqtt(desk.messages, patience_s):
        log.warning("MQTT readings are not through after %.0f s: the mark goes before them", patience_s)
    stream = desk.messages.jetstream(timeout=2)
    body = json.dumps({"slot": slot}).encode()
    for partition in range(PARTITIONS):
        await stream.publish(f"meter.{partition}.mark", body)
    deadline = time.monotonic() + patience_s
    while True:
        done = {row[0] for row in desk.rows("select partition from mark where slot >= %s", (slot,))}
        missing = tuple(sorted(set(range(PARTITIONS)) - done))
        late_s = time.monotonic() - deadline
        if not missing or late_s > at_work_s - patience_s:
            return missing
        if late_s > 0 and not owned_partitions(desk.connection).issuperset(missing):
            return missing
        await asyncio.sleep(POLL_S)


async def close(
    desk: Desk, judge: Judge, first: int, end: int, missing: tuple[int, ...], silent: tuple[str, ...] = ()
) -> None:
    """Closes the slots [first, end) in order, a local day at a time, and lets follow what follows."""
    while first < end:
        upto = min(day_slots(local_day(first)).stop, end)
        command = CloseSlots(
            first_slot_start=slot_start(first),
            end=slot_start(upto),
            missing_partitions=missing,
            silent_sources=silent,
        )
        name = f"close/{slot_start(first):%Y-%m-%dT%H:%MZ}"
        receipt = await desk.send(command, key=name, correlation=name)
        await desk.reached("slots", receipt.position)
        await judge_closed(desk, judge)
        first = upto


async def judge_closed(desk: Desk, judge: Judge) -> None:
    """Judges autarky for every closed slot that has not been judged yet, in order."""
    for slot, position in desk.rows(
        "select slot, position from closed_slot where slot > %s order by slot",
        (desk.progress(ORDER) or 0,),
    ):
        await judge.judge(slot, position)


async def run_wall(desk: Desk, judge: Judge) -> None:
    """Closes each slot of the wall clock when its grace has passed."""
    await judge_closed(desk, judge)
    while True:
        end = slot_of(datetime.now(UTC) - GRACE)
        first = first_open(desk)
        if first < end:
            patience_s = GRACE.total_seconds()
            missing = await mark(desk, end - 1, patience_s, patience_s)
            await close(desk, judge, first, end, missing)
        await correct(desk)
        await asyncio.sleep(0.25)
