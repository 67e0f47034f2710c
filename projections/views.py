"""The read models built from facts alone, and how one of them takes facts in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from projections import autarky, households, notifications, slots
from projections.schemas import create_schema, hold_in_place
from write_side.events import Recorded

Cursor = psycopg.Cursor[Any]


@dataclass(frozen=True)
class View:
    """A projection: its schema's name, its tables, and what one fact does to them."""

    name: str
    tables: LiteralString
    apply: Callable[[Cursor, Recorded], None]

    @property
    def position_table(self) -> str:
        """The one-row table that is committed with the rows."""
        return f"{self.name}_position"


VIEWS = {
    module.NAME: View(module.NAME, module.TABLES, module.apply)
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


def advance(connection: psycopg.Connection[Any], view: View, facts: Sequence[Recorded]) -> int:
    """Applies facts that follow the view's position and commits them with the new position.

    Facts it has already are passed over. Answers the position; any error leaves the view as it was.
    """
    with connection.transaction():
        hold_in_place(connection, view.name)
        return advance_alone(connection, view, facts)


def advance_alone(connection: psycopg.Connection[Any], view: View, facts: Sequence[Recorded]) -> int:
    """As advance, on tables that nobody else writes or swaps."""
    with connection.transaction(), connection.cursor() as cursor:
        position = position_of(connection, view)
        fresh = [recorded for recorded in facts if recorded.position > position]
        for recorded in fresh:
            view.apply(cursor, recorded)
        if fresh:
            position = fresh[-1].position
            statement = f"update {view.position_table} set facts = %s, error = null"
            cursor.execute(statement, (position,))
        return position


def note_error(connection: psycopg.Connection[Any], view: View, error: Exception) -> None:
    """Says at the position why the view goes no further."""
    statement = f"update {view.position_table} set error = %s"
    connection.execute(statement, (f"{type(error).__name__}: {error}"[:500],))
