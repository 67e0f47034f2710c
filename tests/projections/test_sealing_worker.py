"""Metering workers seal by themselves, and one that is killed under way loses and doubles nothing."""

import pytest

from deploy.grid import Grid
from projections.metering_rebuild import compare
from tests.projections.metered_grid import (
    FIRST,
    Stream,
    apply,
    clock,
    database,
    device,
    founded,
    household,
    reading,
    rows,
    state,
)
from tests.projections.test_metering_worker import Workers, _until

AREAS, DAYS, EVERY = 6, 8, 12


def test_sealing_goes_on_in_the_background_and_survives_a_kill(
    metering_grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTRIX_SEAL_AFTER_DAYS", "2")
    with database(metering_grid.database_url) as url:
        names = [(f"home {number}", f"area {number}") for number in range(AREAS)]
        state(founded(), clock(FIRST + 96 * DAYS), url=url)
        for name, area in names:
            state(household(name, area), device(f"m {name}", name, "METER"), url=url)
        sent = Stream()
        told = [
            sent.sent(name, reading(slot, **{f"m {name}": {"gridImportWh": slot - FIRST}}), area)
            for slot in range(FIRST, FIRST + 96 * DAYS, EVERY)
            for name, area in names
        ]
        apply(url, *told, *sent.marks(FIRST + 96 * DAYS - 1))
        everything = "select (select count(*) from reading) + (select sum(readings) from sealed_day)::bigint"
        workers = Workers(metering_grid, url)
        try:
            workers.start(0)
            _until(lambda: rows(url, "select count(*) > 2 from sealed_day") == [(True,)])
            workers.kill(0)
            assert rows(url, everything) == [(len(told),)]
            assert compare(url) == []
            workers.start(1)
            left = AREAS * 2 * 96 // EVERY
            _until(lambda: rows(url, "select count(*) from reading") == [(left,)])
        finally:
            workers.close()
        assert rows(url, everything) == [(len(told),)]
        assert rows(url, "select count(distinct day) from sealed_day") == [(DAYS - 2,)]
        assert compare(url) == []
