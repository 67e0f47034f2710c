"""Measured homes through the whole grid, compared by the replay and again with the worked figures."""

import asyncio
import re
from pathlib import Path

import pytest

from deploy.grid import Grid
from simulator import operations, replay
from simulator.client import GridClient

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"the measured data are not at {DATA}")


def _replayed(grid: Grid, file: Path, household: str | None = None) -> int:
    return replay.main(str(file), grid.url, grid.tokens, grid.mqtt_url, household)


@needs_data
@pytest.mark.slow
def test_a_month_of_minutes(whole: Grid, capsys: pytest.CaptureFixture[str]) -> None:
    assert _replayed(whole, DATA / "refit_house2_2014-03.csv.gz") == 0, capsys.readouterr().out
    told = capsys.readouterr().out
    assert "local days compared: 32, by Dishwasher, Kettle" in told
    assert "appliances + untracked" in told


@needs_data
@pytest.mark.slow
def test_a_year_with_panels(whole: Grid, capsys: pytest.CaptureFixture[str]) -> None:
    assert _replayed(whole, DATA / "home_fr_2024_load_pv_30min.csv.gz") == 0, capsys.readouterr().out
    told = capsys.readouterr().out
    months = re.findall(r"(20\d\d-\d\d) +([\d.]+) % +([\d.]+) % covered", told)
    figures = {month: (float(percent), float(coverage)) for month, percent, coverage in months}
    # The sun's formula differs by library, hence 0.2 points.
    assert figures["2024-05"] == pytest.approx((48.30, 99.60), abs=0.2)
    assert figures["2024-12"] == pytest.approx((12.88, 98.32), abs=0.2)
    assert "base load 672, panels 17562" in told


@needs_data
@pytest.mark.slow
def test_into_a_household_that_is_there(whole: Grid, capsys: pytest.CaptureFixture[str]) -> None:
    async def sign_up() -> str:
        async with GridClient(whole.url, whole.tokens["operator"]) as client:
            registered = await operations.register_household(client, "Named", "", (50.0, 3.0), 6000)
            return registered.id

    household = asyncio.run(sign_up())
    for _ in range(2):
        assert _replayed(whole, DATA / "refit_house2_2014-04.csv.gz", household) == 0, capsys.readouterr().out
    assert _replayed(whole, DATA / "refit_house2_2014-03.csv.gz", household) == 1
    assert "is measured from 2014-04-01" in capsys.readouterr().err


def test_a_file_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(str(tmp_path / "none.csv.gz"), "http://127.0.0.1:9", {"operator": ""}, "", None) == 2
    assert "none.csv.gz" in capsys.readouterr().err
