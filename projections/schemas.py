"""Where read models lie: one PostgreSQL schema per projection, found by search path, swapped by renaming.

SQL never names a schema, so the same statements build a projection beside the live one.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql

LIVE = ("households", "slots", "autarky", "notifications", "metering", "intake", "log")
_SWAP_LOCK = 0x5371_2000


def search_path(*first: str) -> str:
    """The schemas to look in, those given before the live ones."""
    return ", ".join([*first, *(name for name in LIVE if name not in first), "public"])


def connect(database_url: str, *first: str, autocommit: bool = True) -> psycopg.Connection[Any]:
    """A connection that sees the live read models, behind the schemas given; waits at most 3 s."""
    return psycopg.connect(
        database_url,
        autocommit=autocommit,
        connect_timeout=3,
        options=f"-c search_path={search_path(*first).replace(' ', '')}",
    )


def swap_lock_key(projection: str) -> int:
    """The advisory lock that a worker shares in each transaction and a swap takes alone."""
    return _SWAP_LOCK + zlib.crc32(projection.encode()) % 0x1000


def hold_in_place(connection: psycopg.Connection[Any], projection: str) -> None:
    """Keeps a projection's tables from being swapped until the transaction ends."""
    connection.execute("select pg_advisory_xact_lock_shared(%s)", (swap_lock_key(projection),))


def create_schema(connection: psycopg.Connection[Any], schema: str, tables: LiteralString) -> None:
    """Creates a schema and its tables where they are missing; safe from several processes at once.

    The connection is in autocommit: the lock is taken before the transaction begins, because one that
    has begun may not see the schema that whoever held the lock has just made.
    """
    connection.execute("select pg_advisory_lock(%s)", (_SWAP_LOCK - 1,))
    try:
        with connection.transaction():
            connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
            connection.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(schema)))
            connection.execute(tables)
    finally:
        connection.execute("select pg_advisory_unlock(%s)", (_SWAP_LOCK - 1,))


@contextmanager
def keys_later(connection: psycopg.Connection[Any], schema: str) -> Iterator[None]:
    """Takes the primary keys of two columns off a schema's empty tables until they are filled."""
    keys = connection.execute(
        """select conname from pg_constraint
           where connamespace = %s::regnamespace and contype = 'p' and cardinality(conkey) > 1""",
        (schema,),
    ).fetchall()
    with made_later(connection, schema, [name for (name,) in keys]):
        yield


@contextmanager
def made_later(connection: psycopg.Connection[Any], schema: str, names: Sequence[str]) -> Iterator[None]:
    """Takes these primary keys and indexes off a schema's empty tables until they are filled.

    One made of what is there costs half of one that is kept up row by row.
    """
    found = connection.execute(
        """select i.oid::regclass::text, x.indrelid::regclass::text, c.conname,
                  coalesce(pg_get_constraintdef(c.oid), pg_get_indexdef(i.oid))
           from pg_class i join pg_index x on x.indexrelid = i.oid
             left join pg_constraint c on c.conindid = i.oid and c.contype = 'p'
           where i.relnamespace = %s::regnamespace and i.relname = any(%s)""",
        (schema, list(names)),
    ).fetchall()
    for index, table, key, _ in found:
        connection.execute(f"alter table {table} drop constraint {key}" if key else f"drop index {index}")
    yield
    for _, table, key, definition in found:
        connection.execute(f"alter table {table} add constraint {key} {definition}" if key else definition)


def drop_schema(connection: psycopg.Connection[Any], schema: str) -> None:
    """Drops a schema with all that is in it."""
    connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))


def swap(connection: psycopg.Connection[Any], projection: str) -> None:
    """Puts `<projection>_next` in the place of the live tables, which become `<projection>_old`.

    Inside a transaction that holds the swap lock alone; what reads meanwhile sees one or the other.
    """
    for source, target in ((projection, f"{projection}_old"), (f"{projection}_next", projection)):
        connection.execute(
            sql.SQL("alter schema {} rename to {}").format(sql.Identifier(source), sql.Identifier(target))
        )
