"""Rows for PostgreSQL as text: lines for COPY, and columns as array literals for `unnest`."""

from collections.abc import Iterable, Sequence
from typing import LiteralString

from projections.cursor import Cursor

NULL = "\\N"
_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_lines(db: Cursor, table: LiteralString, lines: Sequence[str]) -> None:
    """Appends lines of tab-separated fields to a table, given with its columns."""
    if lines:
        with db.copy("copy " + table + " from stdin") as copy:
            copy.write("\n".join(lines) + "\n")


def escaped(text: str) -> str:
    """A text of people's as a field of a line."""
    return text.translate(_SPECIAL)


def nullable(value: object) -> object:
    """A field of a line that may be null."""
    return NULL if value is None else value


def array(values: Iterable[object]) -> str:
    """A column of ids, numbers or times as an array literal; no other text needs no quotes."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
