"""Bare COPY, the rival of the intake: rows of `reading` as they are stored, into a table indexed like it."""

import time

import psycopg

from projections.binary_copy import copy_packed, packed, read_columns
from projections.metering_tables import VALUES
from projections.readings import KEY_TYPES, NAMED_TYPES, value_types

_MESSAGES_AT_ONCE = 200
_TYPES = KEY_TYPES | value_types(VALUES) | NAMED_TYPES


def copied_per_second(database_url: str, seconds: float) -> float:
    """Rows a second of COPY and commit alone, in the order in which they were measured.

    Reading and packing the rows is not counted. Ends after `seconds` of copying or with the last row.
    """
    rows, spent = 0, 0.0
    with psycopg.connect(database_url, options="-csearch_path=rival,metering,intake") as connection:
        connection.execute("create schema if not exists rival")
        connection.execute("create table rival.reading_copy (like intake.reading including all)")
        connection.commit()
        found = connection.execute("select min(sequence), max(sequence) from reading").fetchone()
        assert found is not None
        sequence, last = found
        while sequence <= last and spent < seconds:
            query = f"select {', '.join(_TYPES)} from reading where sequence >= %s and sequence < %s"
            span = sequence, sequence + _MESSAGES_AT_ONCE
            columns = read_columns(connection, f"{query} order by sequence, slot, device", _TYPES, span)
            data = packed(_TYPES, columns)
            connection.commit()
            sequence = span[1]
            begin = time.monotonic()
            copy_packed(connection, "reading_copy", _TYPES, data)
            connection.commit()
            spent += time.monotonic() - begin
            rows += len(columns["device"])
    return rows / spent
