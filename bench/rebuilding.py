"""Bench `rebuild`: each projection built afresh from the log, beside bare reading of the same facts."""

import importlib.util
import time
from collections.abc import Callable
from contextlib import closing

import psycopg

from bench.fact_log import DEVICES, MEMBERS, Plan, id_of, write
from bench.figures import Figure, WrongAnswer
from deploy.servers import servers
from projections.log_ahead import batches
from projections.schemas import connect
from projections.view_rebuild import rebuild
from projections.views import VIEWS, View, create_tables, take
from write_side.log import create_log

WANTED_PER_S = 150_000
READ_AT_ONCE = 20_000
_FACTS = """select notification_id, topic, state from log.fact
    where notification_id > %s and topic = any(%s) order by notification_id limit %s"""
_READINGS = "bench.rebuilding_readings"


def run(scale: float) -> list[Figure]:
    """Facts and then readings; WrongAnswer where a rebuilt table differs from the sum of what was stated."""
    figures = _facts(scale)
    if importlib.util.find_spec(_READINGS) is not None:
        figures += importlib.import_module(_READINGS).run(scale)
    return figures


def plan_of(scale: float) -> Plan:
    """In full a year of slots, and some hundred thousand facts for each view."""
    return Plan(
        households=round(50_000 * scale),
        slots=round(35_040 * scale),
        changes=round(150_000 * scale),
        corrections=round(50_000 * scale),
    )


def _facts(scale: float) -> list[Figure]:
    plan = plan_of(scale)
    with servers() as grid:
        url = grid.database_url
        create_log(url)
        write(url, plan)
        with connect(url) as connection:
            for view in VIEWS.values():
                create_tables(connection, view, view.name)
            connection.execute("vacuum analyze log.fact")
        figures = [_live(url, VIEWS["households"])]
        figures += [_rebuilt(url, view) for view in VIEWS.values()]
        _check(url, plan)
    return figures


def _live(url: str, view: View) -> Figure:
    """As the worker takes the facts in, into live tables."""
    read, bare_per_s = _bare(url, view)

    def take_in() -> None:
        with connect(url) as connection, closing(batches(url, view.unused, 0, None)) as found:
            for facts in found:
                take(connection, [view], facts)

    return _figure(f"rebuild: {view.name} taken in live", read, take_in, bare_per_s)


def _rebuilt(url: str, view: View) -> Figure:
    read, bare_per_s = _bare(url, view)
    return _figure(
        f"rebuild: {view.name} afresh and swapped in", read, lambda: rebuild(url, view), bare_per_s
    )


def _figure(name: str, facts: int, work: Callable[[], object], bare_per_s: float) -> Figure:
    begin = time.perf_counter()
    work()
    per_s = facts / (time.perf_counter() - begin)
    rival = "bare reading of these facts, undecoded"
    return Figure(
        name=name, figure=per_s, unit="facts/s", beside=bare_per_s, rival=rival, at_least=WANTED_PER_S
    )


def _bare(url: str, view: View) -> tuple[int, float]:
    """How many facts of the log the view uses, and how fast they are merely read, facts/s."""
    found, after = 0, 0
    with connect(url) as connection:
        begin = time.perf_counter()
        while rows := connection.execute(
            _FACTS, (after, list(view.wanted), READ_AT_ONCE), binary=True
        ).fetchall():
            found, after = found + len(rows), rows[-1][0]
        return found, found / (time.perf_counter() - begin)


def _check(url: str, plan: Plan) -> None:
    """Counts and sums of every rebuilt table against what the plan says."""
    households, turns = plan.households, -(-plan.changes // plan.households)
    even = sum(1 for number in range(plan.changes) if number // households % 2 == 0)
    last_full = plan.changes - (turns - 1) * households
    reached = last_full if turns % 2 == 1 else households - last_full
    communities = -(-households // MEMBERS)
    expected: dict[str, tuple[object, ...]] = {
        "select count(*), count(distinct area_id) from household": (households, communities),
        "select count(*), sum(members)::bigint from community": (communities, households),
        "select count(*) from membership where until_slot is null": (households,),
        "select count(*), sum(rated_power_w)::bigint from device": (
            households * DEVICES,
            households * sum(1000 + device for device in range(DEVICES)),
        ),
        f"select count(*) from household where household_id = '{id_of(1, households - 1)}' and community_id"
        f" = '{id_of(0, (households - 1) // MEMBERS)}'": (1,),
        "select count(*) from closed_slot": (plan.slots,),
        "select extract(epoch from now)::bigint from clock": (1_767_571_200 + 900 * plan.slots,),
        "select count(*), sum(consumption_wh_change)::bigint from correction": (
            plan.corrections,
            plan.corrections * (plan.corrections - 1) // 2,
        ),
        "select count(*), count(*) filter (where to_state = 'REACHED') from autarky_change": (
            plan.changes,
            even,
        ),
        "select count(*), count(*) filter (where state = 'REACHED') from autarky_state": (
            households,
            reached,
        ),
        "select count(*), count(*) filter (where kind = 'AUTARKY_REACHED') from notification": (
            plan.changes + plan.corrections,
            even,
        ),
        "select count(*) from told_member": (households,),
    }
    with connect(url) as connection:
        for question, answer in expected.items():
            found = _row(connection, question)
            if found != answer:
                raise WrongAnswer(f"{question}: {found} instead of {answer}")


def _row(connection: psycopg.Connection[tuple[object, ...]], question: str) -> tuple[object, ...] | None:
    return connection.execute(question.encode()).fetchone()
