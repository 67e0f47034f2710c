"""One view built from facts, in a schema of its own, and all that it holds."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from projections.schemas import connect, drop_schema
from projections.views import VIEWS, View, advance, create_tables
from write_side.events import Fact, Recorded
from write_side.log import StoredRow
from write_side.stored_form import encode

AT, RECORDED_AT = datetime(2026, 1, 5, 8, tzinfo=UTC), datetime(2026, 3, 14, 10, tzinfo=UTC)
Row = tuple[Any, ...]


def recorded(position: int, fact: Fact) -> Recorded:
    """A fact as the log would tell it."""
    return Recorded(
        position=position,
        stream="story",
        version=position,
        at=AT + timedelta(seconds=position),
        recorded_at=RECORDED_AT,
        by="test",
        key=f"{position}",
        cause=None,
        correlation="story",
        fact=fact,
    )


def as_stored(told: Recorded) -> StoredRow:
    """The same as a row of the log."""
    topic, state = encode(
        told.fact,
        at=told.at,
        recorded_at=told.recorded_at,
        by=told.by,
        key=told.key,
        cause=told.cause,
        correlation=told.correlation,
    )
    return told.position, told.stream, told.version, topic, state


def numbered(facts: Sequence[Fact], first: int = 1) -> list[Recorded]:
    return [recorded(position, fact) for position, fact in enumerate(facts, first)]


@dataclass
class Live:
    """One view in a schema of its own; facts get the positions 1, 2, 3..."""

    connection: psycopg.Connection[Any]
    view: View
    schema: str
    facts: list[Recorded] = field(default_factory=list)

    def told(self, *facts: Fact) -> "Live":
        """These facts have come, one by one."""
        for each in numbered(facts, len(self.facts) + 1):
            self.facts.append(each)
            assert advance(self.connection, [self.view], [as_stored(each)]) == [each.position]
        return self

    def rows(self, query: str, *params: object) -> list[Row]:
        return self.connection.execute(query, params).fetchall()

    def everything(self) -> dict[str, list[str]]:
        """Every row of every table, the position apart."""
        query = "select tablename from pg_tables where schemaname = %s order by 1"
        tables = [row[0] for row in self.connection.execute(query, (self.schema,))]
        return {
            table: [row[0] for row in self.rows(f"select t::text from {self.schema}.{table} t order by 1")]
            for table in tables
            if table != self.view.position_table
        }


@contextmanager
def live_view(url: str, name: str) -> Iterator[Live]:
    """An empty view that has seen no fact yet."""
    view, schema = VIEWS[name], f"story_{secrets.token_hex(4)}"
    with connect(url, schema) as connection:
        create_tables(connection, view, schema)
        yield Live(connection, view, schema)
        drop_schema(connection, schema)
