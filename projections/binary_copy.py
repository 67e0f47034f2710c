"""Whole columns between numpy and PostgreSQL in its binary formats: no Python object per value.

Every column is an int64 array here, booleans are 0 and 1, times microseconds since 2000 (PostgreSQL's own),
UUIDs a `V16` array. A number that is never negative carries -1 (MISSING) where the table holds null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

MISSING = -1
Array = NDArray[Any]
Ints = NDArray[np.int64]
Connection = psycopg.Connection[Any]

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_TYPES = {
    "smallint": ">i2",
    "integer": ">i4",
    "bigint": ">i8",
    "timestamptz": ">i8",
    "boolean": "i1",
    "uuid": "V16",
}
_OIDS = {"smallint": 21, "integer": 23, "bigint": 20, "timestamptz": 1184, "boolean": 16, "uuid": 2950}
_SEND_BYTES = 1 << 20

Types = Mapping[str, str]  # column name to SQL type; "integer?" may be null


def copy_in(connection: Connection, table: str, types: Types, columns: Mapping[str, Array]) -> None:
    """Appends rows to a table; `columns` has an array of one length for every name in `types`."""
    copy_packed(connection, table, types, packed(types, columns))


def copy_packed(connection: Connection, table: str, types: Types, rows: bytes) -> None:
    """Appends rows that are in the binary format already."""
    with (
        connection.cursor() as cursor,
        cursor.copy(f"copy {table} ({', '.join(types)}) from stdin (format binary)") as copy,
    ):
        for start in range(0, len(rows), _SEND_BYTES):
            copy.write(rows[start : start + _SEND_BYTES])


def stage(connection: Connection, name: str, types: Types, columns: Mapping[str, Array]) -> str:
    """Rows in a temporary table of this session, emptied first and at the transaction's end; its name."""
    table = f"staged_{name}"
    fields = ", ".join(f"{column} {kind.rstrip('?')}" for column, kind in types.items())
    with connection.cursor() as cursor:
        cursor.execute(f"create temp table if not exists {table} ({fields}) on commit delete rows")
        cursor.execute(f"delete from {table}")
    copy_in(connection, table, types, columns)
    return table


@dataclass(frozen=True, slots=True)
class BinaryArray:
    """A column as the parameter of a statement, in PostgreSQL's binary form of an array."""

    raw: bytes


class _BinaryArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> bytes:
        return obj.raw


psycopg.adapters.register_dumper(BinaryArray, _BinaryArrayDumper)


def given(types: Types, columns: Mapping[str, Array]) -> tuple[str, list[BinaryArray]]:
    """Rows without nulls as a query within a statement, and its parameters.

    One way to the server and back, where a temporary table takes five: for what is done in every batch.
    """
    arrays = ", ".join(f"%s::{kind}[]" for kind in types.values())
    query = f"(select * from unnest({arrays}) as given ({', '.join(types)}))"
    return query, [_array(kind, np.asarray(columns[name])) for name, kind in types.items()]


def _array(kind: str, values: Array) -> BinaryArray:
    header = np.array([min(len(values), 1), 0, _OIDS[kind], len(values), 1], dtype=">i4")
    block = np.empty(len(values), [("l", ">i4"), ("v", _TYPES[kind])])
    block["l"] = block.dtype["v"].itemsize
    block["v"] = values
    return BinaryArray(header[: 5 if len(values) else 3].tobytes() + block.tobytes())


def read_columns(
    connection: Connection, query: str, types: Types, params: Sequence[Any] = ()
) -> dict[str, Ints]:
    """The columns named in `types` of a query's rows, in any order; nulls come as MISSING.

    They come as one array each: COPY to the client would cost a call for every row.
    """
    chosen = ", ".join(
        f"array_agg(coalesce({name}, {MISSING}))" if kind.endswith("?") else f"array_agg({name})"
        for name, kind in types.items()
    )
    result = connection.execute(f"select {chosen} from ({query}) q", params, binary=True).pgresult
    assert result is not None
    return {
        name: _unpacked(result.get_value(0, place), _TYPES[kind.rstrip("?")])
        for place, (name, kind) in enumerate(types.items())
    }


def _unpacked(raw: bytes | None, kind: str) -> Ints:
    """The numbers of PostgreSQL's binary array: a header of five words, then length and value of each."""
    if raw is None:
        return np.empty(0, dtype=kind if kind == _TYPES["uuid"] else np.int64)
    values = np.frombuffer(raw, [("l", ">i4"), ("v", kind)], offset=20)["v"]
    numbers: Ints = values.copy() if kind == _TYPES["uuid"] else values.astype(np.int64)
    return numbers


def packed(types: Types, columns: Mapping[str, Array]) -> bytes:
    """The rows as PostgreSQL's binary COPY format, those with the same nulls together."""
    arrays = [np.asarray(columns[name]) for name in types]
    kinds = list(types.values())
    pattern = np.zeros(len(arrays[0]), dtype=np.int64)
    for place, (kind, values) in enumerate(zip(kinds, arrays, strict=True)):
        if kind.endswith("?"):
            pattern |= (values == MISSING).astype(np.int64) << place
    parts = [
        _packed_alike(kinds, arrays, np.flatnonzero(pattern == nulls), int(nulls))
        for nulls in np.unique(pattern)
    ]
    return b"".join([_HEADER, *parts, _TRAILER])


def _packed_alike(kinds: list[str], arrays: list[Array], rows: Array, nulls: int) -> bytes:
    is_null = [bool(nulls >> place & 1) for place in range(len(kinds))]
    dtype = _row_type(
        [None if empty else kind.rstrip("?") for kind, empty in zip(kinds, is_null, strict=True)]
    )
    block = np.empty(len(rows), dtype)
    block["n"] = len(kinds)
    for place, (values, empty) in enumerate(zip(arrays, is_null, strict=True)):
        block[f"l{place}"] = -1 if empty else dtype[f"v{place}"].itemsize
        if not empty:
            block[f"v{place}"] = values[rows]
    return block.tobytes()


def _row_type(kinds: Sequence[str | None]) -> np.dtype[np.void]:
    """A row of the binary format: a count of fields, then length and value of each; no value for a null."""
    fields: list[tuple[str, str]] = [("n", ">i2")]
    for place, kind in enumerate(kinds):
        fields.append((f"l{place}", ">i4"))
        if kind is not None:
            fields.append((f"v{place}", _TYPES[kind]))
    return np.dtype(fields)
