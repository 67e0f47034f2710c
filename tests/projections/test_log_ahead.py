"""The log in batches: each wanted fact once and in order, whatever the stretches; up to what has no name."""

from collections.abc import Iterator

import psycopg
import pytest

from projections import log_ahead
from projections.log_ahead import batches
from projections.schemas import connect
from tests.projections.live_view import as_stored, numbered
from tests.projections.metered_grid import database
from tests.projections.view_story import Invented
from write_side.events import CommunityJoined, SlotClosed
from write_side.log import append
from write_side.stored_form import FACT_TYPES, UnknownFact

WANTED = (SlotClosed, CommunityJoined)
UNUSED = [kind for kind in FACT_TYPES if kind not in {fact.__name__ for fact in WANTED}]
FACTS = Invented(seed=7).more(120)


@pytest.fixture
def url(metering_servers: str) -> Iterator[str]:
    """A database with a story in its log."""
    with database(metering_servers) as own:
        with psycopg.connect(own) as connection:
            append(connection, [as_stored(each)[1:] for each in numbered(FACTS)])
        yield own


def expected(after: int, until: int) -> list[int]:
    """The positions of the facts wanted."""
    return [at for at, fact in enumerate(FACTS, 1) if after < at <= until and isinstance(fact, WANTED)]


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
@pytest.mark.parametrize(("after", "until"), [(0, None), (13, 77), (50, 51), (60, 60)])
def test_each_fact_comes_once_and_in_order(
    url: str, at_once: int, after: int, until: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_ahead, "READ_AT_ONCE", at_once)
    found: list[int] = []
    last = after
    for facts in batches(url, UNUSED, after, until):
        told = facts.of(*WANTED)
        assert all(last < position <= facts.position for position, _, _ in told)
        found += [position for position, _, _ in told]
        last = facts.position
    end = len(FACTS) if until is None else until
    assert found == expected(after, end)
    assert last == end


@pytest.mark.parametrize("at_once", [5, 10_000])
def test_a_fact_without_a_name_ends_it_when_all_before_it_has_come(
    url: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_ahead, "READ_AT_ONCE", at_once)
    unknown = 63
    with connect(url) as connection:
        connection.execute("update log.fact set topic = 'Later' where notification_id = %s", (unknown,))
    found: list[int] = []

    def read() -> None:
        for facts in batches(url, UNUSED, 0, None):
            found.extend(position for position, _, _ in facts.of(*WANTED))
            assert facts.position < unknown

    with pytest.raises(UnknownFact, match="63"):
        read()
    assert found == expected(0, unknown - 1)
