"""Import: households with their devices from a CSV file, by the operator's command, beside a running grid."""

import csv
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from bench.figures import Figure, WrongAnswer
from bench.machine import flush_seconds
from bench.mutations import homes
from deploy.grid import REPOSITORY, Grid
from projections.schemas import connect

HOUSEHOLDS = 40_000
COPIED = 100_000
LONGEST_LAG_S = 150.0
_HEADING = (
    *("household", "name", "latitude", "longitude", "kind", "device", "flexibility", "rated_power_w"),
    *("capacity_wh", "reserve_wh", "efficiency_percent", "tilt_deg", "azimuth_deg"),
)
_DEVICES = (
    ("METER", "meter", "", "", "", "", "", "", ""),
    ("APPLIANCE", "base load", "", 500, "", "", "", "", ""),
    ("APPLIANCE", "water heater", "SHIFTABLE", 2400, "", "", "", "", ""),
    ("SOLAR", "panels", "", 3000, "", "", "", 30, 180),
    ("BATTERY", "battery", "", 3000, 8000, 800, 92.5, "", ""),
)
_POSITIONS = ("households", "slots", "autarky", "notifications", "metering")


def run(scale: float) -> list[Figure]:
    """Facts a second into the log, the time until the views have them, and the same file once more."""
    count = max(int(HOUSEHOLDS * scale), 50)
    with tempfile.TemporaryDirectory() as folder, Grid() as grid:
        file = Path(folder) / "homes.csv"
        _write(file, count)
        grid.wait_healthy()
        flush_us = flush_seconds(grid.home) * 1e6
        before = _facts(grid.database_url)
        seconds = _imported(file, grid.home)
        facts = _facts(grid.database_url) - before
        lag = _until_views_have_it(grid.database_url)
        _check(grid.database_url, count)
        again = _imported(file, grid.home)
        if _facts(grid.database_url) != before + facts:
            raise WrongAnswer("the same file again has added facts")
        bare = _bare_copy(grid.database_url)
    each = f"of {count:,} households with {len(_DEVICES)} devices"
    return [
        Figure(
            name=f"import, facts in the log, {each}",
            figure=facts / seconds,
            unit="1/s",
            at_least=50_000 if scale == 1 else None,
            beside=bare,
            rival="the same facts by bare COPY into such a table",
        ),
        Figure(name="import, from its end until every view has them", figure=lag, unit="s"),
        Figure(
            name="import, the same file again, which adds nothing",
            figure=again,
            unit="s",
            beside=flush_us,
            rival="µs to write and flush 4 kB",
        ),
    ]


def _write(file: Path, count: int) -> None:
    with file.open("w", newline="", encoding="utf-8") as text:
        lines = csv.writer(text)
        lines.writerow(_HEADING)
        for number, home in enumerate(homes(count, random.Random(5))):
            reference = f"H{number}"
            lines.writerow((reference, f"home {number}", home.latitude, home.longitude, *[""] * 9))
            lines.writerows((reference, "", "", "", *device) for device in _DEVICES)


def _imported(file: Path, home: Path) -> float:
    """The seconds that the operator's command takes, from its start to its end."""
    command = (sys.executable, "-m", "deploy", "import", str(file), "--home", str(home))
    begin = time.perf_counter()
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=150)
    if ended.returncode != 0:
        raise WrongAnswer(
            f"the import ended with {ended.returncode}: {ended.stdout[-500:]} {ended.stderr[-500:]}"
        )
    return time.perf_counter() - begin


def _facts(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select count(*) from log.fact").fetchone()
    assert row is not None
    return int(row[0])


def _until_views_have_it(database_url: str) -> float:
    begin = time.perf_counter()
    with connect(database_url) as connection:
        row = connection.execute("select max(notification_id) from fact").fetchone()
        assert row is not None
        oldest = " union all ".join(f"select min(facts) as at from {view}_position" for view in _POSITIONS)
        while connection.execute(f"select min(at) from ({oldest}) p").fetchone() < row:
            if time.perf_counter() - begin > LONGEST_LAG_S:
                raise WrongAnswer(f"the views do not have it after {LONGEST_LAG_S:.0f} s")
            time.sleep(0.02)
    return time.perf_counter() - begin


def _check(database_url: str, count: int) -> None:
    """Log and view against what the file says: how many there are, and their power."""
    panels_w = sum(int(power or 0) for kind, _, _, power, *_ in _DEVICES if kind == "SOLAR")
    all_w = sum(int(power or 0) for _, _, _, power, *_ in _DEVICES)
    devices = len(_DEVICES) * count
    expected = {
        "select count(*) from fact where topic = 'HouseholdRegistered'": count,
        "select count(*) from fact where topic = 'CommunityJoined'": count,
        "select count(distinct originator_id) from fact where topic = 'DeviceAttached'": count,
        """select count(*) from fact where topic = 'DeviceAttached'
           and originator_id like 'household/%'
        """: devices,
        """select sum((convert_from(state, 'UTF8')::json -> 'fact' ->> 'rated_power_w')::int) from fact
           where topic = 'DeviceAttached'""": all_w * count,
        "select sum(production_w) from place": panels_w * count,
        "select count(*) from command_key where key like 'import/%'": count,
        "select count(*) from households.household": count,
        "select count(*) from households.device": devices,
    }
    with connect(database_url) as connection:
        for question, right in expected.items():
            row = connection.execute(question).fetchone()
            if row != (right,):
                raise WrongAnswer(f"{row} where the file says {right}: {question}")


def _bare_copy(database_url: str) -> float:
    """Rows a second of the log's own rows into a table like the log's."""
    with connect(database_url) as connection:
        rows = connection.execute(f"select * from fact limit {COPIED}", binary=True).fetchall()
        connection.execute("create table public.bare (like log.fact including indexes)")
        begin = time.perf_counter()
        with connection.cursor().copy("copy public.bare from stdin (format binary)") as copy:
            copy.set_types(["text", "int8", "text", "bytea", "int8"])
            for row in rows:
                copy.write_row(row)
        return len(rows) / (time.perf_counter() - begin)
