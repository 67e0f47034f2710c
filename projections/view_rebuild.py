"""A view of facts built afresh from the log: swapped in while queries go on, or compared row by row."""

from contextlib import closing
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from projections.log_ahead import batches
from projections.schemas import connect, drop_schema, made_later, swap, swap_lock_key
from projections.views import Apply, View, create_tables, position_of, take_alone
from write_side.log import head

MOST_DIFFERENCES = 50
_TABLES: LiteralString = "select tablename from pg_tables where schemaname = %s order by tablename"


def rebuild(database_url: str, view: View) -> int:
    """Builds the view beside the live one and swaps it in; answers its position.

    The live worker goes on until the last moment; then it waits for the swap, and finds the new tables
    at the position it left, or a later one.
    """
    schema = f"{view.name}_next"
    with connect(database_url, schema) as building, connect(database_url) as swapping:
        _build(database_url, building, view, schema, None)
        drop_schema(swapping, f"{view.name}_old")
        with swapping.transaction():
            swapping.execute("select pg_advisory_xact_lock(%s)", (swap_lock_key(view.name),))
            position = _read_up(database_url, building, view, None)
            swap(swapping, view.name)
        drop_schema(swapping, f"{view.name}_old")
        return position


def compare(database_url: str, view: View) -> list[str]:
    """Every row that the live view has and a rebuilt one has not, and the other way round; [] when equal."""
    schema = f"{view.name}_compared"
    with connect(database_url, schema) as building, connect(database_url) as looking:
        try:
            with looking.transaction():
                looking.execute("select pg_advisory_xact_lock(%s)", (swap_lock_key(view.name),))
                _build(database_url, building, view, schema, position_of(looking, view))
                return _differences(looking, view, schema)
        finally:
            drop_schema(building, schema)


def _build(
    database_url: str, building: psycopg.Connection[Any], view: View, schema: str, until: int | None
) -> None:
    """Fills the view's tables in a schema made anew, and then makes the keys that filling does without."""
    drop_schema(building, schema)
    create_tables(building, view, schema)
    # Nothing of it lasts before it is swapped in, and that commit takes all that were before it to disk.
    building.execute("set synchronous_commit = off")
    with made_later(building, schema, view.later):
        if view.afresh is None:
            _read_up(database_url, building, view, until)
            return
        afresh = view.afresh()
        _read_up(database_url, building, view, until, afresh.take)
        with building.transaction(), building.cursor() as cursor:
            afresh.finish(cursor)


def _read_up(
    database_url: str,
    building: psycopg.Connection[Any],
    view: View,
    until: int | None,
    apply: Apply | None = None,
) -> int:
    position = position_of(building, view)
    until = head(building) if until is None else until
    if position >= until:
        return position
    with closing(batches(database_url, view.unused, position, until)) as found:
        for facts in found:
            if facts.is_used or facts.position >= until:
                position = take_alone(building, view, facts, apply)
    return position


def _differences(connection: psycopg.Connection[Any], view: View, schema: str) -> list[str]:
    tables = [row[0] for row in connection.execute(_TABLES, (schema,))]
    found = []
    for table in tables:
        for here, there, which in ((view.name, schema, "live only"), (schema, view.name, "rebuilt only")):
            rows = connection.execute(
                sql.SQL("select * from {} except all select * from {} limit {}").format(
                    sql.Identifier(here, table), sql.Identifier(there, table), sql.Literal(MOST_DIFFERENCES)
                )
            )
            found += [f"{view.name}.{table}: {which}: {row}" for row in rows]
    return found
