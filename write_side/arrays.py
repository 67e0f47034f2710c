"""Whole columns as parameters: PostgreSQL's binary arrays, written at once.

psycopg writes a list element by element in Python, which takes longer than the insert itself.
"""

from collections.abc import Iterable
from struct import Struct
from typing import ClassVar
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER = Struct(">iiIii").pack  # dimensions, whether there are nulls, type, length, first index
_LENGTH = Struct(">i").pack
_INT8, _FLOAT8 = Struct(">iq").pack, Struct(">id").pack
_NULL = _LENGTH(-1)


class Array:
    """An array of one type, as PostgreSQL takes it."""

    oid: ClassVar[int]
    element_oid: ClassVar[int]

    def __init__(self, elements: list[bytes]) -> None:
        self.data = _HEADER(1, 1, self.element_oid, len(elements), 1) + b"".join(elements)


class _Texts(Array):
    oid, element_oid = 1009, 25


class _ByteStrings(Array):
    oid, element_oid = 1001, 17


class _Uuids(Array):
    oid, element_oid = 2951, 2950


class _Ints(Array):
    oid, element_oid = 1016, 20


class _Floats(Array):
    oid, element_oid = 1022, 701


def texts(values: Iterable[str]) -> Array:
    """text[]; UnicodeEncodeError for half a surrogate pair."""
    return _Texts([_LENGTH(len(value)) + value for value in map(str.encode, values)])


def byte_strings(values: Iterable[bytes]) -> Array:
    """bytea[]."""
    return _ByteStrings([_LENGTH(len(value)) + value for value in values])


def uuids(values: Iterable[UUID | None]) -> Array:
    """uuid[]."""
    return _Uuids([_NULL if value is None else _LENGTH(16) + value.bytes for value in values])


def ints(values: Iterable[int]) -> Array:
    """bigint[]."""
    return _Ints([_INT8(8, value) for value in values])


def floats(values: Iterable[float]) -> Array:
    """double precision[]."""
    return _Floats([_FLOAT8(8, value) for value in values])


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> bytes:
        return obj.data


for _kind in (_Texts, _ByteStrings, _Uuids, _Ints, _Floats):
    _dumper = type(f"{_kind.__name__}Dumper", (_ArrayDumper,), {"oid": _kind.oid})
    psycopg.adapters.register_dumper(_kind, _dumper)
