"""Sealed days: every query, correction and rebuild answers as if their readings were still rows."""

import asyncio
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from projections import sealed_days
from projections.metering_batch import Partitions, StreamMessage, advance
from projections.metering_rebuild import compare, rebuild
from projections.read_devices import last_slot, reported_stock
from projections.read_energy import device_energy, device_ranking, household_energy, household_span
from projections.read_energy_as_of import energy_as_of, ranking_as_of
from projections.read_together import breakdowns, energies, ranked
from projections.schemas import search_path
from projections.sealed_days import assign_groups, seal_next
from projections.sealing import Sealing
from projections.view_rebuild import rebuild as rebuild_view
from projections.views import VIEWS, create_tables
from tests.projections.metered_grid import (
    FIRST,
    START,
    Stream,
    apply,
    clock,
    connect,
    database,
    device,
    founded,
    household,
    id_of,
    reading,
    rows,
    state,
    taken,
)
from tests.projections.metered_story import SLOTS, Story, told
from write_side.events import DeviceDetached, Fact
from write_side.rules.timeslots import slot_start
from write_side.settings import PARTITIONS

AFTER_ALL = (SLOTS.stop // 96 + 1) * 96
_OPEN = """select device, slot, consumption_wh, production_wh, grid_import_wh, grid_export_wh, charge_wh,
  discharge_wh, soc_wh, power_w, revision, sequence, known_at from reading order by device, slot"""


@pytest.fixture
def url(metering_servers: str) -> Iterator[str]:
    with database(metering_servers) as url:
        with connect(url) as connection:
            create_tables(connection, VIEWS["households"], "households")
        yield url


def sealed(url: str, before: int = AFTER_ALL) -> int:
    """Seals everything before a slot; how many rows that were open are no more."""
    found = 0
    with connect(url) as connection:
        held = taken(connection)
        for partition in range(PARTITIONS):
            with connection.transaction():
                assert assign_groups(connection, held.homes, partition, before)
            while True:
                with connection.transaction():
                    count = seal_next(connection, partition, before)
                if count is None:
                    break
                found += count
    return found


def _opened(url: str) -> None:
    with connect(url) as connection, connection.transaction():
        pairs = connection.execute("select grp, day from sealed_day").fetchall()
        sealed_days._open(connection, pairs, lambda one: np.ones(len(one), dtype=np.bool_))


def _played(url: str, story: Story) -> None:
    state(*story.facts, url=url)
    apply(url, *story.messages)
    _view(url)


def _view(url: str) -> None:
    rebuild_view(url, VIEWS["households"])


async def _ask(url: str) -> list[Any]:
    """What every query that rests on readings answers."""
    edges = [list(range(SLOTS.start, SLOTS.stop)), [SLOTS.start, FIRST, FIRST + 4], [SLOTS.start, FIRST + 96]]
    times = [START + timedelta(seconds=seconds) for seconds in (0, 20, 60, 100, 500)]
    options = f"-c search_path={search_path().replace(' ', '')}"
    answers: list[Any] = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, options=options) as db:
        homes = await (await db.execute("select household, household_id from meter_household")).fetchall()
        devices = await (await db.execute("select device from meter_device order by 1")).fetchall()
        for number, household_id in sorted(homes):
            answers.append(await reported_stock(db, household_id))
            for window in edges:
                energy = await household_energy(db, number, window)
                spans = await household_span(db, number)
                assert (await energies(db, [number], window))[number] == (energy, spans)
                answers.append(energy)
                ranking = await device_ranking(db, household_id, window)
                together = (await breakdowns(db, [household_id], window)).get(household_id, [])
                assert ranked(sums for _, sums in together if sums is not None) == ranking
                answers.append(ranking)
                answers += [await energy_as_of(db, number, window, at) for at in times]
                answers += [await ranking_as_of(db, number, window, at) for at in times]
        for (number,) in devices:
            answers.append(await last_slot(db, number))
            answers += [await device_energy(db, number, window) for window in edges]
    return answers


def _answers(url: str) -> list[Any]:
    return asyncio.run(_ask(url))


@pytest.mark.parametrize("seed", range(3))
def test_sealed_days_every_query_answers_the_same(url: str, seed: int) -> None:
    _played(url, told(seed))
    before, lines = _answers(url), rows(url, _OPEN)
    assert sealed(url) == len(lines)
    assert rows(url, "select count(*) from reading") == [(0,)]
    assert rows(url, "select sum(readings) from sealed_day") == [(len(lines),)]
    assert _answers(url) == before
    assert compare(url) == []
    rebuild(url)
    assert _answers(url) == before
    assert compare(url) == []
    _opened(url)
    assert rows(url, _OPEN) == lines
    assert rows(url, "select * from sealed_day") == []


@pytest.mark.parametrize("seed", range(3))
def test_sealed_days_late_and_corrected_readings_come_out_right(metering_servers: str, seed: int) -> None:
    """Sealed at any moment between batches, and again: the same as what was never sealed."""
    story = told(seed)
    found = []
    for dice in (None, random.Random(seed)):
        with database(metering_servers) as url:
            with connect(url) as connection:
                create_tables(connection, VIEWS["households"], "households")
            _deliver(url, story, dice)
            _view(url)
            assert compare(url) == []
            answers = _answers(url)
            _opened(url)
            superseded = rows(url, "select t::text from superseded t order by 1")
            found.append((answers, rows(url, _OPEN), superseded))
    assert found[0] == found[1]


def _deliver(url: str, story: Story, sealing: random.Random | None) -> None:
    """Facts and messages in the same batches each time, with sealing in between or without."""
    dice = random.Random(7)
    facts: list[Fact] = list(story.facts)
    messages: list[StreamMessage] = list(story.messages)
    state(*facts[:10], url=url)
    del facts[:10]
    while facts or messages:
        count = dice.randrange(1, 6)
        if facts:
            state(*facts[:count], url=url)
            del facts[:count]
        count = dice.choice([1, 3, 20])
        apply(url, *messages[:count])
        del messages[:count]
        if sealing is not None and sealing.random() < 0.4:
            sealed(url, sealing.choice([FIRST, AFTER_ALL]))


def test_sealed_days_give_up_what_is_replaced_and_nothing_else(url: str) -> None:
    state(founded(), clock(FIRST + 500), household("h"), device("m", "h", "METER"), url=url)
    sent = Stream()
    slots = [FIRST, FIRST + 1, FIRST + 100, FIRST + 200]
    apply(url, *(sent.sent("h", reading(slot, m={"gridImportWh": 100})) for slot in slots))
    assert sealed(url, FIRST + 288) == 4
    days = [(FIRST // 96 + day,) for day in range(3)]
    held = "select day from sealed_day order by 1"
    apply(url, sent.sent("h", reading(FIRST + 101, m={"gridImportWh": 7})))
    assert rows(url, "select slot, grid_import_wh from reading") == [(FIRST + 101, 7)]
    assert rows(url, held) == days
    apply(url, sent.sent("h", reading(FIRST + 1, m={"gridImportWh": 3})))
    apply(url, sent.sent("h", reading(FIRST + 200, m={"gridImportWh": 5})))
    apply(url, sent.sent("h", reading(FIRST + 100, m={"gridImportWh": 100})))
    assert rows(url, "select slot, grid_import_wh from superseded order by 1") == [
        (FIRST + 1, 100),
        (FIRST + 200, 100),
    ]
    assert rows(url, "select slot, grid_import_wh, sequence from reading order by 1") == [
        (FIRST + 1, 3, 6),
        (FIRST + 100, 100, 3),
        (FIRST + 101, 7, 5),
        (FIRST + 200, 5, 7),
    ]
    assert rows(url, held) == days[:1]
    assert compare(url) == []
    assert sealed(url, FIRST + 288) == 4
    assert rows(url, held) == days
    assert rows(url, "select sum(grid_import_wh) from household_energy") == [(215,)]
    assert compare(url) == []


def test_sealed_days_a_device_that_ends_takes_its_sealed_readings_out(url: str) -> None:
    state(founded(), clock(FIRST + 500), household("h"), url=url)
    state(device("m", "h", "METER"), device("tv", "h", "APPLIANCE"), url=url)
    sent = Stream()
    for slot in (FIRST, FIRST + 100, FIRST + 101):
        body = reading(slot, m={"gridImportWh": 100}, tv={"consumptionWh": 9})
        apply(url, sent.sent("h", body))
    assert sealed(url, FIRST + 192) == 6
    until = slot_start(FIRST + 101)
    state(DeviceDetached(device_id=id_of("tv"), household_id=id_of("h"), until=until), url=url)
    apply(url)
    _view(url)
    assert rows(url, "select slot from kept_aside") == [(FIRST + 101,)]
    number = rows(url, "select device from meter_device where kind = 'APPLIANCE'")[0][0]
    assert sealed(url, FIRST + 192) == 0
    assert compare(url) == []

    async def newest() -> int | None:
        options = f"-c search_path={search_path().replace(' ', '')}"
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, options=options) as db:
            return await last_slot(db, number)

    assert asyncio.run(newest()) == FIRST + 100


def test_sealed_days_a_step_that_fails_or_is_killed_leaves_all_as_it_was(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _played(url, told(1))
    before, lines = _answers(url), rows(url, _OPEN)

    def killed(*_: object) -> None:
        raise psycopg.OperationalError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(sealed_days, "encode", killed)
        with pytest.raises(psycopg.OperationalError):
            sealed(url)
    connection = connect(url)
    partition = int(taken(connection).homes.households["partition"][0])
    connection.execute("begin")
    assert seal_next(connection, partition, AFTER_ALL)
    assert connection.execute("select count(*) from sealed_day").fetchone() == (1,)
    with connect(url) as other:
        other.execute("select pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
    connection.close()
    assert rows(url, _OPEN) == lines
    assert rows(url, "select * from sealed_day") == []
    assert _answers(url) == before
    assert sealed(url) == len(lines)


def test_sealed_days_are_those_that_lie_behind(url: str) -> None:
    """A worker's steps seal whole days of settled slots, `after_days` behind, and what was opened again."""
    state(founded(), clock(FIRST + 500), household("h"), device("m", "h", "METER"), url=url)
    sent = Stream()
    apply(url, *(sent.sent("h", reading(FIRST + slot, m={"gridImportWh": 9})) for slot in range(0, 480, 10)))
    apply(url, *sent.marks(FIRST + 400))

    def stepped(sealing: Sealing) -> list[int]:
        with connect(url) as connection:
            held: Partitions = taken(connection)
            while sealing.step(connection, held):
                pass
            advance(connection, held, ())
        return [day - FIRST // 96 for (day,) in rows(url, "select day from sealed_day order by 1")]

    assert stepped(Sealing(after_days=3)) == [0]
    assert stepped(Sealing(after_days=1)) == [0, 1, 2]
    apply(url, sent.sent("h", reading(FIRST + 120, 1, m={"gridImportWh": 8})))
    assert stepped(Sealing(after_days=2)) == [0, 1, 2]
    assert compare(url) == []


def test_sealed_days_groups_are_given_in_portions_of_whole_households(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_days, "_ASSIGNED_AT_ONCE", 3)
    state(founded(), clock(FIRST + 500), url=url)
    for home in ("h1", "h2", "h3"):
        meters = [device(f"m{number} {home}", home, "METER") for number in range(2)]
        state(household(home), *meters, url=url)
    apply(url)
    with connect(url) as connection:
        held = taken(connection)
        partition = int(held.homes.households["partition"][0])
        came_to_the_last = [assign_groups(connection, held.homes, partition, FIRST + 96) for _ in range(3)]
    assert came_to_the_last == [False, True, True]
    held_by = """select count(distinct grp), count(*) from sealed_device join meter_device using (device)
                 group by household"""
    assert rows(url, held_by) == [(1, 2)] * 3
    assert rows(url, "select count(distinct grp) from sealed_device") == [(2,)]
