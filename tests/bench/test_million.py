"""The bench `million` on two small grids: its figures, and that it notices what differs."""

from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from bench import million, million_load
from bench.figures import WrongAnswer
from deploy.grid import Grid


def test_it_follows_every_household_and_finds_all_of_it_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(million, "SIZES", (20_000, 30_000))
    figures = million.run(0.01)
    assert len(figures) == 2 * 6
    small, large = figures[:6], figures[6:]
    assert all(figure.name.startswith("million: 200 households") for figure in small)
    assert all(figure.name.startswith("million: 300 households") for figure in large)
    assert all(figure.figure > 0 for figure in figures)
    assert small[4].beside is None
    assert large[4].beside == small[4].figure
    assert [(figure.unit, figure.goal) for figure in large if figure.unit in ("times", "GB")] == [
        ("times", 20),
        ("GB", 8),
    ]


def test_a_reading_that_says_something_else_is_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(million, "SIZES", (20_000,))
    send = million._Run._send

    async def with_one_more(
        run: million._Run, grid: Grid, templates: Path, slot: million_load.Slot, start: datetime
    ) -> None:
        values = slot.values.copy()
        values[7, 2] += 1
        await send(run, grid, templates, million_load.Slot(values), start)

    monkeypatch.setattr(million._Run, "_send", with_one_more)
    with pytest.raises(WrongAnswer, match="energy by slot"):
        million.run(0.01)


def test_states_are_compared_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(million, "SIZES", (20_000,))
    check = million._Run._check_states

    def spoiled(run: million._Run, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        connection.execute(
            """update autarky_state
               set state = case state when 'REACHED' then 'NOT_REACHED' else 'REACHED' end
               where subject_id = (select min(subject_id::text)::uuid from autarky_state)"""
        )
        check(run, connection)

    monkeypatch.setattr(million._Run, "_check_states", spoiled)
    with pytest.raises(WrongAnswer, match="autarky"):
        million.run(0.01)
