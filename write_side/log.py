"""The log: the library's table of facts, appended under one lock, read by position.

Positions are in commit order: every writer takes the same transaction-scoped advisory lock before
it reads what it decides on, so a reader that has seen position n never finds a smaller one later.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from write_side.arrays import byte_strings, ints, texts
from write_side.events import Recorded
from write_side.places import create_places
from write_side.stored_form import UnknownFact, decode

LOG_LOCK = 0x5371_1061  # any number that nobody else locks
CHANNEL = "log_fact"

_BESIDE_THE_LOG = """
create table if not exists log.command_key (
    principal text not null, key text not null, input_hash bytea not null, correlation text not null,
    first_position bigint not null, position bigint not null, answer jsonb not null, at timestamptz not null,
    kept_since timestamptz not null default now(), primary key (principal, key));
create index if not exists command_key_correlation on log.command_key (correlation);
"""


class FactRecorder(PostgresApplicationRecorder):
    """The library's recorder without its table lock, which would wait for autovacuum."""

    def _lock_table(self, curs: Any) -> None:
        curs.execute("select pg_advisory_xact_lock(%s)", (LOG_LOCK,))


def create_log(database_url: str) -> None:
    """Creates the schema `log` where it is missing; safe from several processes at once."""
    parts = conninfo_to_dict(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (LOG_LOCK + 1,))
        connection.execute("create schema if not exists log")
        if connection.execute("select to_regclass('log.fact')").fetchone() == (None,):
            _create_fact_table(parts)
        connection.execute(_BESIDE_THE_LOG)
        create_places(connection)


def _create_fact_table(parts: dict[str, Any]) -> None:
    datastore = PostgresDatastore(
        dbname=str(parts["dbname"]),
        host=str(parts["host"]),
        port=str(parts["port"]),
        user=str(parts["user"]),
        password=str(parts.get("password", "")),
        schema="log",
        originator_id_type="text",
        pool_size=1,
    )
    with datastore:
        FactRecorder(datastore, events_table_name="fact").create_table()


Row = tuple[str, int, str, bytes]  # stream, version, topic, state
StoredRow = tuple[int, str, int, str, bytes]  # position before them


def append(connection: psycopg.Connection[Any], rows: Sequence[Row]) -> list[int]:
    """Appends (stream, version, topic, state) rows, answers their positions in the same order.

    The caller holds the log's lock, so that the positions taken here are one unbroken stretch; a version
    that stands already raises UniqueViolation.
    """
    first = newest_taken(ask_newest_taken(connection)) + 1
    positions = list(range(first, first + len(rows)))
    append_at(connection, positions, rows)
    keep_newest_taken(connection, positions[-1])
    return positions


def ask_newest_taken(connection: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
    """Asks for the newest position anybody has taken; under the log's lock nobody else takes any."""
    return connection.execute("select last_value, is_called from log.fact_notification_id_seq")


def newest_taken(asked: psycopg.Cursor[Any]) -> int:
    """The position that `ask_newest_taken` asked for, 0 for none."""
    row = asked.fetchone()
    assert row is not None
    value, is_taken = row
    return int(value) if is_taken else 0


def keep_newest_taken(connection: psycopg.Connection[Any], position: int) -> None:
    """Has the next writer go on behind a position."""
    connection.execute("select setval('log.fact_notification_id_seq', %s)", (position,))


def append_at(connection: psycopg.Connection[Any], positions: Iterable[int], rows: Sequence[Row]) -> None:
    """As `append`, at positions that were taken."""
    streams, versions, topics, states = zip(*rows, strict=True)
    connection.execute(
        """insert into log.fact (originator_id, originator_version, topic, state, notification_id)
           select * from unnest(%b, %b, %b, %b, %b)""",
        (texts(streams), ints(versions), texts(topics), byte_strings(states), ints(positions)),
    )


def read_streams(
    connection: psycopg.Connection[Any], whole: Mapping[str, str], newest: Sequence[str] = ()
) -> psycopg.Cursor[StoredRow]:
    """The facts of the streams in `whole`, undecoded, oldest first, and the newest of those in `newest`.

    Facts with the topic named beside a stream in `whole` are left out, except one that is the newest.
    """
    return connection.execute(
        """select notification_id, originator_id, originator_version, topic, state
           from unnest(%b, %b) wanted (stream, unread), lateral (
             select *, lead(false, 1, true) over (order by originator_version) is_newest from log.fact
             where originator_id = stream order by originator_version) f
           where topic <> unread or is_newest
           union all
           select f.* from unnest(%b) wanted (stream), lateral (
             select notification_id, originator_id, originator_version, topic, state from log.fact
             where originator_id = stream order by originator_version desc limit 1) f""",
        (texts(whole), texts(whole.values()), texts(newest)),
        binary=True,
    )


def newest_versions(connection: psycopg.Connection[Any], streams: Sequence[str]) -> dict[str, int]:
    """The version of each stream's newest fact; streams without any are left out."""
    rows = connection.execute(
        """select stream, version from unnest(%b) wanted (stream), lateral (
             select originator_version as version from log.fact where originator_id = stream
             order by originator_version desc limit 1) f""",
        (texts(streams),),
    )
    return dict(rows.fetchall())


def read_facts(connection: psycopg.Connection[Any], after: int, limit: int = 1000) -> list[Recorded]:
    """Up to `limit` facts behind position `after`, in order."""
    return _recorded(read_rows(connection, after, limit))


def read_rows(connection: psycopg.Connection[Any], after: int, limit: int) -> list[StoredRow]:
    """As read_facts, undecoded: (position, stream, version, topic, state)."""
    return connection.execute(
        """select notification_id, originator_id, originator_version, topic, state from log.fact
           where notification_id > %s order by notification_id limit %s""",
        (after, limit),
    ).fetchall()


def read_by_topic(
    connection: psycopg.Connection[Any], after: int, until: int, unused: Sequence[str], limit: int
) -> list[tuple[str, list[int], bytes]]:
    """Up to `limit` facts behind `after` and up to `until`, without those of some topics, by topic.

    Of each its positions and, in the same order, its states as lines: handed over as a whole they cost the
    reader a third of what as many rows do. Whether that order ascends is left to the reader, who has less to
    move to sort them than PostgreSQL has.
    """
    found = connection.execute(
        """select topic, array_agg(notification_id), string_agg(state, '\\x0a')
           from (select notification_id, topic, state from log.fact
                 where notification_id > %s and notification_id <= %s and topic <> all(%s)
                 order by notification_id limit %s) following group by topic""",
        (after, until, list(unused), limit),
        binary=True,
    )
    return found.fetchall()


def _recorded(rows: Iterable[StoredRow]) -> list[Recorded]:
    """The rows decoded, up to one whose fact has no name here; UnknownFact where that is the first."""
    recorded: list[Recorded] = []
    for row in rows:
        try:
            recorded.append(decode(*row))
        except UnknownFact:
            if not recorded:
                raise
            break
    return recorded


def forget_old_keys(connection: psycopg.Connection[Any]) -> int:
    """Drops keys kept for 30 days of wall time; those of standing orders are kept for ever."""
    dropped = connection.execute(
        """delete from log.command_key
           where kept_since < now() - interval '30 days' and principal <> 'standing-order'"""
    )
    return dropped.rowcount


def head(connection: psycopg.Connection[Any]) -> int:
    """The newest position, 0 for an empty log."""
    row = connection.execute("select coalesce(max(notification_id), 0) from log.fact").fetchone()
    assert row is not None
    return int(row[0])
