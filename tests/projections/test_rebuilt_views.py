"""Views are functions of the log: each fact counts where it belongs, twice is once, rebuilt equals live."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from projections import view_rebuild
from projections.schemas import connect
from projections.view_rebuild import compare, rebuild
from projections.views import VIEWS, View, advance, create_tables, position_of, take_alone
from tests.projections.live_view import Live, as_stored, live_view, numbered
from tests.projections.metered_grid import database
from tests.projections.view_story import (
    START,
    Invented,
    change,
    changed,
    closed,
    corrected,
    joined,
    registered,
)
from tests.write_side.test_stored_form import WRITTEN
from write_side import events
from write_side.events import AutarkyState, Fact
from write_side.log import StoredRow, append, read_rows

REACHED = AutarkyState.REACHED
TOUCHED = {
    "households": {
        *("HouseholdRegistered", "CommunityFounded", "CommunityJoined", "CommunityLeft", "DeviceAttached"),
        *("DeviceDetached", "DeviceSwitched", "DeviceOrderAnswered", "DeviceOrderExpired", "ConsentGiven"),
        *("ConsentWithdrawn", "AutarkyRuleSet"),
    },
    "slots": {
        *("GridFounded", "ClockAdvanceOrdered", "ClockAdvanced", "ClockAdvanceFinished", "SlotClosed"),
        "SlotsCorrected",
    },
    "autarky": {"AutarkyChanged"},
    "notifications": {
        *("AutarkyChanged", "SlotsCorrected", "DeviceOrderExpired", "NotificationsRead", "CommunityJoined"),
        "CommunityLeft",
    },
}
# What stands before: all that the golden facts speak of, or what makes them a change.
BEFORE = {
    "HouseholdRegistered": (),
    "CommunityFounded": (),
    "DeviceAttached": (),
    "GridFounded": (),
    "CommunityLeft": ("CommunityJoined",),
    "DeviceDetached": ("DeviceAttached",),
    "DeviceOrderAnswered": ("DeviceAttached", "DeviceSwitched"),
    "DeviceOrderExpired": ("DeviceAttached", "DeviceSwitched"),
    "ConsentWithdrawn": (),
    "ClockAdvanceOrdered": ("GridFounded",),
    "ClockAdvanced": ("GridFounded",),
    "ClockAdvanceFinished": ("GridFounded", "ClockAdvanceOrdered"),
    "NotificationsRead": ("SlotsCorrected",),
}


@pytest.fixture(scope="module")
def url(metering_servers: str) -> Iterator[str]:
    """A database for these tests."""
    with database(metering_servers) as own:
        yield own


@pytest.fixture
def live(url: str, request: pytest.FixtureRequest) -> Iterator[Live]:
    """The view that the test names."""
    with live_view(url, request.param) as view:
        yield view


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("live", list(VIEWS), indirect=True)
def test_a_fact_changes_the_views_it_is_for_and_no_other(live: Live, name: str) -> None:
    live.facts = numbered([WRITTEN["HouseholdRenamed"]] * (17 - len(BEFORE.get(name, ()))))
    live.told(*(WRITTEN[earlier] for earlier in BEFORE.get(name, ())))  # so that an order has position 17
    if name == "ConsentWithdrawn":
        live.told(
            events.ConsentGiven(
                household_id=WRITTEN[name].household_id,  # type: ignore[union-attr]
                purpose=events.ConsentPurpose.SALE,
                granularity=events.Granularity.DAILY,
                version=3,
            )
        )
    before = live.everything()
    live.told(WRITTEN[name])
    assert (live.everything() != before) == (name in TOUCHED[live.view.name])
    assert position_of(live.connection, live.view) == len(live.facts)


@pytest.mark.parametrize("live", list(VIEWS), indirect=True)
def test_facts_that_come_twice_count_once(live: Live) -> None:
    live.told(*Invented(seed=1).more(120))
    before = live.everything()
    for again in (live.facts, live.facts[:1], live.facts[-1:], live.facts[40:80]):
        assert advance(live.connection, [live.view], [as_stored(each) for each in again]) == [len(live.facts)]
        assert live.everything() == before


@pytest.mark.parametrize("live", list(VIEWS), indirect=True)
def test_a_batch_that_fails_leaves_the_view_as_it_was(live: Live) -> None:
    live.told(*Invented(seed=2).more(60))
    before = live.everything()
    broken = {
        "households": registered("home 0"),
        "slots": events.GridFounded(first_slot_start=START, simulated=True),
        "autarky": changed(None, change("anna", REACHED), change("anna", REACHED)),
        "notifications": corrected(None, "anna", "anna"),
    }[live.view.name]
    facts = [closed(900), joined("village", "new"), changed("village", change("anna", REACHED)), broken]
    with pytest.raises(psycopg.errors.UniqueViolation):
        advance(
            live.connection, [live.view], [as_stored(each) for each in numbered(facts, len(live.facts) + 1)]
        )
    assert live.everything() == before
    assert position_of(live.connection, live.view) == len(live.facts)


@pytest.fixture
def grown(metering_servers: str) -> Iterator[str]:
    """A database with an empty log and empty live views."""
    with database(metering_servers) as own:
        with connect(own) as connection:
            for view in VIEWS.values():
                create_tables(connection, view, view.name)
        yield own


def into_log(url: str, facts: Sequence[Fact]) -> list[StoredRow]:
    """Appends the facts of a story; all of them, as the log tells them."""
    rows = [as_stored(each)[1:] for each in numbered(facts)]
    with psycopg.connect(url) as connection:
        append(connection, rows)
        return read_rows(connection, 0, 10_000)


@pytest.mark.parametrize("seed", range(4))
def test_rebuilt_from_the_log_equals_what_came_in_any_batches(grown: str, seed: int) -> None:
    invented = Invented(seed)
    log = into_log(grown, invented.more(300))
    for view in VIEWS.values():
        with connect(grown) as connection:
            position = 0
            while position < len(log):
                start = max(0, position - invented.chance.randint(0, 5))
                end = position + invented.chance.randint(1, 40)
                [position] = advance(connection, [view], log[start:end])
            live = Live(connection, view, view.name)
            came = live.everything()
            assert sum(len(rows) for rows in came.values()) > 10
            assert compare(grown, view) == []
            assert rebuild(grown, view) == len(log)
            assert live.everything() == came


@pytest.mark.parametrize("name", VIEWS)
def test_what_comes_while_a_view_is_built_is_in_it(
    grown: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, view = Invented(seed=5).more(300), VIEWS[name]
    into_log(grown, facts[:150])
    build = view_rebuild._build

    def built_for_long(url: str, *args: Any) -> None:
        build(url, *args)
        with psycopg.connect(url) as connection:
            append(connection, [as_stored(each)[1:] for each in numbered(facts[150:], 151)])

    with monkeypatch.context() as patched, connect(grown) as connection:
        patched.setattr(view_rebuild, "_build", built_for_long)
        assert rebuild(grown, view) == len(facts)
        assert Live(connection, view, view.name).everything() == told(grown, view)


def told(url: str, view: View) -> dict[str, list[str]]:
    """All that a live view holds that was told the whole log."""
    with live_view(url, view.name) as live:
        advance(live.connection, [view], read_rows(live.connection, 0, 10_000))
        return live.everything()


@pytest.mark.parametrize("name", VIEWS)
def test_a_rebuild_that_is_killed_leaves_what_is_live_and_the_next_one_makes_every_key(
    grown: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, view = into_log(grown, Invented(seed=6).more(200)), VIEWS[name]
    with connect(grown) as connection:
        advance(connection, [view], log[:100])
        live = Live(connection, view, view.name)
        before, indexes = live.everything(), indexes_of(connection, view)
        with monkeypatch.context() as patched:
            patched.setattr(view_rebuild, "take_alone", killed)
            with pytest.raises(KeyboardInterrupt):
                rebuild(grown, view)
        assert live.everything() == before
        assert rebuild(grown, view) == len(log)
        assert indexes_of(connection, view) == indexes
        assert {*view.later} <= {index for _, index, _ in indexes}


def killed(*args: Any) -> int:
    """Takes the batch in, and is gone."""
    take_alone(*args)
    raise KeyboardInterrupt


def indexes_of(connection: psycopg.Connection[Any], view: View) -> list[tuple[Any, ...]]:
    """Table, name and definition of every key and index."""
    query = "select tablename, indexname, indexdef from pg_indexes where schemaname = %s order by 1, 2"
    return connection.execute(query, (view.name,)).fetchall()


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("households", "update community set members = members + 1"),
        ("households", "delete from device where number = (select min(number) from device)"),
        ("slots", "update closed_slot set position = position + 1"),
        ("autarky", "update autarky_state set remembered = null"),
        ("notifications", "update notification set read = not read"),
    ],
)
def test_a_comparison_finds_what_differs(grown: str, name: str, spoil: str) -> None:
    log = into_log(grown, Invented(seed=3).more(200))
    with connect(grown) as connection:
        advance(connection, [VIEWS[name]], log)
        assert compare(grown, VIEWS[name]) == []
        connection.execute(spoil)
    assert compare(grown, VIEWS[name]) != []


def test_queries_go_on_while_a_view_is_swapped(grown: str) -> None:
    log = into_log(grown, Invented(seed=4).more(100))
    view = VIEWS["households"]
    with connect(grown) as connection, connect(grown) as reading:
        advance(connection, [view], log[:60])
        homes = reading.execute("select count(*) from household").fetchone()
        assert rebuild(grown, view) == len(log)
        now = reading.execute("select count(*) from household").fetchone()
        assert homes is not None
        assert now is not None
        assert now[0] > homes[0] > 0
        assert position_of(reading, view) == len(log)
