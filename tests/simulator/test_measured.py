"""The measured files, read by the simulator and again by plain numpy."""

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from simulator.measured import Measured, read_measured
from simulator.slots import local_days, slot_number

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"the measured data are not at {DATA}")


def _columns(name: str) -> np.ndarray:
    with gzip.open(DATA / name, "rt") as lines:
        rows = list(csv.reader(lines))[1:]
    return np.array([[float(cell or "nan") for cell in row[1:]] for row in rows])


def _daily_differences(measured: Measured, power_w: np.ndarray, per_day_hours: float) -> list[float]:
    """Whole Wh against power x time, by local day; rows of the file are steps of `per_day_hours`."""
    step = int(per_day_hours * 3600)
    differences = []
    for begin, end in local_days(measured.begin, measured.end):
        rows = slice(*(int((edge - measured.begin).total_seconds()) // step for edge in (begin, end)))
        for series, watts in zip(measured.series, power_w[rows].T, strict=False):
            sent = series.between(slot_number(begin), slot_number(end))
            differences.append(abs(sum(wh or 0 for wh in sent) - np.nansum(watts) * per_day_hours))
    return differences


@needs_data
def test_refit_days_are_exact_to_1_wh() -> None:
    measured = read_measured(DATA / "refit_house2_2014-03.csv.gz")
    power_w = _columns("refit_house2_2014-03.csv.gz")
    assert [series.name for series in measured.series][:2] == ["main meter", "Kettle"]
    differences = _daily_differences(measured, power_w, 1 / 60)
    assert len(differences) == 32 * 5  # the month begins and ends inside a local day
    assert max(differences) <= 1
    assert set(measured.gap_slots.values()) == {0}


@needs_data
def test_half_hours_are_exact_and_gaps_stay_gaps() -> None:
    measured = read_measured(DATA / "home_fr_2024_load_pv_30min.csv.gz")
    power_w = _columns("home_fr_2024_load_pv_30min.csv.gz")
    assert max(_daily_differences(measured, power_w, 0.5)) <= 1
    missing = np.isnan(power_w).sum(axis=0)[:2]
    assert list(measured.gap_slots.values()) == [2 * int(each) for each in missing] == [672, 17_562]
    load = measured.series[0]
    gap = slot_number(datetime(2024, 3, 12, 8, tzinfo=UTC))
    assert load.between(gap, gap + 4) == [None] * 4


def _written(path: Path, text: str) -> Path:
    with gzip.open(path, "wt") as file:
        file.write(text)
    return path


def test_a_slot_that_lacks_a_minute_is_a_gap(tmp_path: Path) -> None:
    minutes = [f"2014-03-01 00:{minute:02}:00,60,{minute % 2 * 30}" for minute in range(45)]
    del minutes[20]
    measured = read_measured(_written(tmp_path / "f.csv.gz", "\n".join(["Time,Aggregate,Kettle", *minutes])))
    meter, kettle = measured.series
    first = slot_number(measured.begin)
    assert meter.between(first, first + 3) == [15, None, 15]
    assert kettle.between(first, first + 3) == [4, None, 3]  # 3.5 Wh each, rounded on the running index


def test_anything_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither"):
        read_measured(_written(tmp_path / "f.csv.gz", "a,b\n1,2\n"))
