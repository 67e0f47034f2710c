"""The read models built from facts alone, and how one of them takes facts in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, LiteralString, Protocol

import psycopg

from projections import autarky, households, notifications, slots
from projections.database_cursor import Cursor
from projections.schemas import create_schema, hold_in_place
from projections.told_facts import Facts
from write_side.log import StoredRow
from write_side.stored_form import FACT_TYPES

Apply = Callable[[Cursor, Facts], None]


class Afresh(Protocol):
    """How a view takes a whole log into empty tables, without the keys and indexes that are made later."""

    def take(self, db: Cursor, facts: Facts) -> None:
        """Takes the next batch in."""

    def finish(self, db: Cursor) -> None:
        """Brings about what the batches left to the end."""


@dataclass(frozen=True)
class View:
    """A projection: its schema's name, its tables, the facts it uses, and what a batch of them does.

    While it is built afresh, nothing is looked up by the keys and indexes named in `later`; where there is no
    other way, batches are applied as to the live tables.
    """

    name: str
    tables: LiteralString
    wanted: frozenset[str]
    apply: Apply
    later: tuple[str, ...]
    afresh: Callable[[], Afresh] | None

    @cached_property
    def unused(self) -> list[str]:
        """The kinds of facts that change nothing here."""
        return [kind for kind in FACT_TYPES if kind not in self.wanted]

    @property
    def position_table(self) -> str:
        """The one-row table that is committed with the rows."""
        return f"{self.name}_position"


def _view(module: ModuleType) -> View:
    wanted = frozenset(fact.__name__ for fact in module.FACTS)
    afresh = getattr(module, "Afresh", None)
    return View(module.NAME, module.TABLES, wanted, module.apply, module.LATER, afresh)


VIEWS = {module.NAME: _view(module) for module in (households, slots, autarky, notifications)}


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


def advance(
    connection: psycopg.Connection[Any], views: Sequence[View], rows: Sequence[StoredRow]
) -> list[int]:
    """As take, of rows of the log that follow each view's position."""
    return take(connection, views, Facts.of_rows(rows, frozenset().union(*(view.wanted for view in views))))


def take(connection: psycopg.Connection[Any], views: Sequence[View], facts: Facts) -> list[int]:
    """Commits a batch to all these views at once, together with their new positions, which it answers.

    Facts a view has already are passed over; any error leaves every view as it was.
    """
    with connection.transaction():
        return [_take_held(connection, view, facts) for view in views]


def unused_by_all(views: Sequence[View]) -> list[str]:
    """The kinds of facts that change nothing in any of these views."""
    return sorted(set(FACT_TYPES).intersection(*(view.unused for view in views)))


def take_alone(
    connection: psycopg.Connection[Any], view: View, facts: Facts, apply: Apply | None = None
) -> int:
    """As take, on tables that nobody else writes or swaps; `apply` may be another than the view's."""
    with connection.transaction():
        return _take(connection, view, facts, apply or view.apply)


def _take_held(connection: psycopg.Connection[Any], view: View, facts: Facts) -> int:
    hold_in_place(connection, view.name)
    return _take(connection, view, facts, view.apply)


def _take(connection: psycopg.Connection[Any], view: View, facts: Facts, apply: Apply) -> int:
    position = position_of(connection, view)
    if facts.position <= position:
        return position
    facts.drop_until(position)
    with connection.cursor() as cursor:
        apply(cursor, facts)
        cursor.execute(f"update {view.position_table} set facts = %s, error = null", (facts.position,))
    return facts.position


def note_error(connection: psycopg.Connection[Any], view: View, error: Exception) -> None:
    """Says at the position why the view goes no further."""
    statement = f"update {view.position_table} set error = %s"
    connection.execute(statement, (f"{type(error).__name__}: {error}"[:500],))
