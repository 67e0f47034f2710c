"""Rows for PostgreSQL as text: lines for COPY, and columns as array literals for `unnest`."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import LiteralString

from projections.database_cursor import Cursor

NULL = "\\N"
_SENT_AT_ONCE = 500
_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_lines(db: Cursor, table: LiteralString, lines: Iterable[str]) -> None:
    """Appends lines of tab-separated fields to a table, given with its columns.

    They are sent while they are made, so PostgreSQL takes the first ones in meanwhile.
    """
    source = iter(lines)
    part = list(islice(source, _SENT_AT_ONCE))
    if not part:
        return
    with db.copy("copy " + table + " from stdin") as copy:
        while part:
            part.append("")
            copy.write("\n".join(part))
            part = list(islice(source, _SENT_AT_ONCE))


@lru_cache(maxsize=10_000)
def escaped(text: str) -> str:
    """A text of people's as a field of a line."""
    return text.translate(_SPECIAL)


def nullable(value: object) -> object:
    """A field of a line that may be null."""
    return NULL if value is None else value


def array(values: Iterable[object]) -> str:
    """A column of ids, numbers or times as an array literal; no other text needs no quotes."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
