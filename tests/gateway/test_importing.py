"""The operator's door for many households at once: a file, the commands it becomes, and what is told."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from deploy.servers import servers
from gateway.importing import HouseholdFile, NotAnImport, main
from write_side.app import App
from write_side.commands import RegisterHousehold
from write_side.events import CommunityFounded, DeviceAttached, HouseholdRegistered, Recorded
from write_side.log import create_log, read_facts

HEADING = "household,name,latitude,longitude,kind,device,rated_power_w,capacity_wh,efficiency_percent,since\n"
ANNA = """\
A,Anna,48.8566,2.3522,,,,,,
A,,,,METER,meter,,,,
A,,,,BATTERY,battery,3000,8000,92.5,2026-01-04T10:07:00+01:00
"""
BEN = """\
B,"Ben, next door",48.8570,2.3530,,,,,,
B,,,,SOLAR,panels,3000,,,
"""


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """PostgreSQL for this module."""
    with servers() as grid:
        yield grid.database_url


@pytest.fixture
def url(server_url: str, request: pytest.FixtureRequest) -> str:
    """A database with an empty log."""
    name = f"import_{abs(hash(request.node.name))}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    own = f"{server_url.rpartition('/')[0]}/{name}"
    create_log(own)
    return own


def imported(url: str, folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status and what was told."""
    (folder / "homes.csv").write_text(text)
    status = main(folder / "homes.csv", url)
    told = capsys.readouterr()
    return status, told.out + (told.err if status == 2 else "")


def log_of(url: str) -> list[Recorded]:
    with psycopg.connect(url) as connection:
        return read_facts(connection, 0, 10_000)


def names(url: str) -> list[str]:
    return [type(recorded.fact).__name__ for recorded in log_of(url)]


def test_households_are_placed_with_their_devices(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(url, tmp_path, HEADING + ANNA + BEN, capsys) == (
        0,
        "2 households with 3 devices imported\n",
    )
    assert names(url) == [
        *("HouseholdRegistered", "CommunityFounded", "CommunityJoined", "DeviceAttached", "DeviceAttached"),
        *("HouseholdRegistered", "CommunityJoined", "DeviceAttached"),
    ]
    facts = [recorded.fact for recorded in log_of(url)]
    battery, panels = facts[4], facts[7]
    assert isinstance(battery, DeviceAttached)
    assert isinstance(panels, DeviceAttached)
    assert (battery.name, battery.capacity_wh, battery.efficiency_permille) == ("battery", 8000, 925)
    assert battery.since == datetime(2026, 1, 4, 9, 0, tzinfo=UTC)
    assert panels.rated_power_w == 3000
    founded, second = facts[1], facts[5]
    assert isinstance(founded, CommunityFounded)
    assert isinstance(second, HouseholdRegistered)
    assert second.area_id == founded.area_id
    with psycopg.connect(url) as connection:
        rows = connection.execute("select name, production_w from log.place order by name").fetchall()
    assert rows == [("Anna", 0), ("Ben, next door", 3000)]


def test_the_same_file_again_adds_nothing(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(url, tmp_path, HEADING + ANNA + BEN, capsys)
    before = log_of(url)
    status, told = imported(url, tmp_path, HEADING + ANNA + BEN, capsys)
    assert (status, told) == (0, "0 households with 0 devices imported; 2 stood already\n")
    assert log_of(url) == before


def test_each_refused_line_is_told_and_the_rest_is_imported(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines 2 and 3: a second meter; 5 and 6: nowhere; 7: a stray; 8 and 9: no kind; then a good one."""
    bad = """\
C,Carl,48.8566,2.3522,,,,,,
C,,,,METER,meter,,,,
C,,,,METER,second meter,,,,
D,Dora,95,2.3522,,,,,,
D,,,,METER,meter,,,,
X,,,,METER,meter,,,,
E,Emil,48.8566,2.3522,,,,,,
E,,,,TOASTER,toaster,,,,
"""
    status, told = imported(url, tmp_path, HEADING + bad + ANNA, capsys)
    assert status == 1
    assert told.splitlines() == [
        "line 4: household C: DeviceAlreadyAttached: the household has a main meter: detach it first",
        "line 5: household D: InvalidInput: latitude, longitude: degrees, -90 to 90 and -180 to 180",
        "line 7: household X: InvalidInput: its household's own line does not stand before it",
        "line 9: household E: InvalidInput: kind: 'TOASTER' cannot be read",
        "1 households with 2 devices imported",
        "4 lines refused; the household of a refused line is not imported",
    ]
    assert names(url).count("HouseholdRegistered") == 1
    with psycopg.connect(url) as connection:
        assert connection.execute("select name from log.place").fetchall() == [("Anna",)]
        assert connection.execute("select count(*) from log.command_key").fetchone() == (1,)


def test_who_was_refused_comes_with_the_next_file_and_other_lines_under_a_used_name_do_not(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = ANNA.replace("8000", "0")
    assert imported(url, tmp_path, HEADING + faulty + BEN, capsys)[0] == 1
    status, told = imported(url, tmp_path, HEADING + ANNA + BEN.replace("3000", "4000"), capsys)
    assert status == 1
    assert told.splitlines()[:2] == [
        "line 5: household B: KeyReused: this idempotency key was used with other input",
        "1 households with 2 devices imported",
    ]


@pytest.mark.parametrize("text", ["", "name,latitude\n", HEADING.replace("since", "sinc"), "\x00\xff"])
def test_what_is_no_import_changes_nothing(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    status, told = imported(url, tmp_path, text + ANNA, capsys)
    assert status == 2
    assert "homes.csv" in told
    assert names(url) == []


def test_lines_that_are_no_text_are_refused(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "homes.csv").write_bytes(
        (HEADING + ANNA).encode() + b"F,\xff\xfe,48,2,,,,,,\n" + BEN.encode().replace(b"panels", b"\xff")
    )
    assert main(tmp_path / "homes.csv", url) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in told[:2]] == ["line 5", "line 7"]
    assert told[2] == "2 households with 2 devices imported"


def test_behind_what_is_no_csv_nothing_is_imported(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = imported(url, tmp_path, HEADING + ANNA + BEN + 'B,"a"b,1,2,,,,,,\n' + ANNA, capsys)
    assert status == 1
    assert "line 7" in told
    assert "no CSV" in told
    assert names(url).count("HouseholdRegistered") == 1


def test_a_short_line_is_refused() -> None:
    file = HouseholdFile(io.StringIO(HEADING + "A,Anna,48\n" + BEN))
    assert [newcomer.key for newcomer, _ in file.newcomers()] == ["import/B"]
    assert [(refused.line, refused.code) for refused in file.refused] == [(2, "InvalidInput")]


def test_a_column_may_stand_once() -> None:
    with pytest.raises(NotAnImport):
        HouseholdFile(io.StringIO("household,name,name,latitude,longitude\n"))


def test_who_imports_does_not_disturb_who_signs_up(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both share the communities that stand."""
    imported(url, tmp_path, HEADING + ANNA, capsys)
    file = HouseholdFile(io.StringIO(HEADING + BEN))
    (newcomer, _), *_rest = file.newcomers()
    command: RegisterHousehold = newcomer.household
    app = App(url)
    try:
        receipt = app.send(command, by="operator:nikola").result(5)
    finally:
        app.close()
    with psycopg.connect(url) as connection:
        communities = connection.execute("select distinct community_id::text from log.place").fetchall()
    assert communities == [(receipt.answer["communityId"],)]
