"""The read models built from facts alone, and how one of them takes facts in."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, LiteralString

import psycopg

from projections import autarky, households, notifications, slots
from projections.database_cursor import Cursor
from projections.schemas import create_schema, hold_in_place
from projections.told_facts import Facts
from write_side.log import StoredRow, head
from write_side.stored_form import FACT_TYPES

READ_AT_ONCE = 20_000


@dataclass(frozen=True)
class View:
    """A projection: its schema's name, its tables, the facts it uses, and what a batch of them does."""

    name: str
    tables: LiteralString
    wanted: frozenset[str]
    apply: Callable[[Cursor, Facts], None]

    @cached_property
    def unused(self) -> list[str]:
        """The kinds of facts that change nothing here."""
        return [kind for kind in FACT_TYPES if kind not in self.wanted]

    @property
    def position_table(self) -> str:
        """The one-row table that is committed with the rows."""
        return f"{self.name}_position"


VIEWS = {
    module.NAME: View(
        module.NAME, module.TABLES, frozenset(fact.__name__ for fact in module.FACTS), module.apply
    )
    for module in (households, slots, autarky, notifications)
}


def create_tables(connection: psycopg.Connection[Any], view: View, schema: str) -> None:
    """The view's tables and its position, at 0, where they are missing."""
    position: LiteralString = view.position_table
    create_schema(
        connection,
        schema,
        view.tables
        + "; create table if not exists "
        + position
        + " (partition smallint primary key, facts bigint not null, stream bigint not null default 0,"
        + " stream_created timestamptz, error text);"
        + " insert into "
        + position
        + " (partition, facts) values (-1, 0) on conflict do nothing",
    )


def position_of(connection: psycopg.Connection[Any], view: View) -> int:
    """The position up to which the view has every fact."""
    row = connection.execute(f"select facts from {view.position_table}").fetchone()
    assert row is not None
    return int(row[0])


def batches(reading: psycopg.Connection[Any], view: View, after: int, until: int | None) -> Iterator[Facts]:
    """What the log holds for the view behind a position, up to another or to its end, in batches.

    UnknownFact at a fact this code has no name for; all before it has been given by then.
    """
    last = head(reading) if until is None else until
    while after < last:
        facts = Facts.read(reading, after, last, view.unused, READ_AT_ONCE)
        yield facts
        after = facts.position


def ahead(found: Iterator[Facts]) -> Generator[Facts, None, None]:
    """The same batches, the next one read and decoded in a thread while PostgreSQL takes one in."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, found, None)
        while (facts := following.result()) is not None:
            following = reader.submit(next, found, None)
            yield facts


def advance(connection: psycopg.Connection[Any], view: View, rows: Sequence[StoredRow]) -> int:
    """Applies rows of the log that follow the view's position and commits them with the new position.

    Facts it has already are passed over. Answers the position; any error leaves the view as it was.
    """
    return take(connection, view, Facts.of_rows(rows, view.wanted))


def take(connection: psycopg.Connection[Any], view: View, facts: Facts) -> int:
    """Commits a batch together with the new position; what the view has already is passed over."""
    with connection.transaction():
        hold_in_place(connection, view.name)
        return take_alone(connection, view, facts)


def take_alone(connection: psycopg.Connection[Any], view: View, facts: Facts) -> int:
    """As take, on tables that nobody else writes or swaps."""
    with connection.transaction(), connection.cursor() as cursor:
        position = position_of(connection, view)
        if facts.position <= position:
            return position
        facts.drop_until(position)
        view.apply(cursor, facts)
        cursor.execute(f"update {view.position_table} set facts = %s, error = null", (facts.position,))
    return facts.position


def note_error(connection: psycopg.Connection[Any], view: View, error: Exception) -> None:
    """Says at the position why the view goes no further."""
    statement = f"update {view.position_table} set error = %s"
    connection.execute(statement, (f"{type(error).__name__}: {error}"[:500],))
