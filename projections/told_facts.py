"""A batch of the log as the views take it in: grouped by kind, with ids, times and decimals left as text.

PostgreSQL reads that text itself, so nothing is turned into an object only to be written out again: a
fact costs a sixth of what decoding it whole does.
"""

from collections.abc import Sequence
from dataclasses import is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import repeat
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
import psycopg

from write_side.log import StoredRow, read_by_topic
from write_side.rules.timeslots import slot_of
from write_side.stored_form import FACT_TYPES, UnknownFact

_TEXT = (UUID, datetime, Decimal, Enum)
# A fact with its envelope: the position, the kind, and what was stored (`at`, `recorded_at`, `fact`).
Told = tuple[int, str, Any]


def _plain(of: Any) -> Any:
    """A field's type with everything PostgreSQL reads from text left as text."""
    if of is NoneType or of is Ellipsis:
        return of
    parts = tuple(_plain(part) for part in get_args(of))
    if isinstance(of, UnionType):
        union = parts[0]
        for part in parts[1:]:
            union |= part
        return union
    if get_origin(of) is tuple:
        return tuple[parts]  # type: ignore[valid-type]
    if isinstance(of, type) and issubclass(of, _TEXT):
        return str
    return _struct(of) if is_dataclass(of) else of


def _struct(fact: Any) -> type[msgspec.Struct]:
    hints = get_type_hints(fact)
    fields = [
        (field.name, _plain(hints[field.name]), msgspec.field())
        if field.default is field.default_factory  # both MISSING
        else (field.name, _plain(hints[field.name]), field.default)
        for field in fact.__dataclass_fields__.values()
    ]
    return msgspec.defstruct(fact.__name__, fields, gc=False)


def _stored(fact: type[Any]) -> type[msgspec.Struct]:
    fields = [("at", str), ("recorded_at", str), ("fact", _struct(fact))]
    return msgspec.defstruct("Stored", fields, gc=False, rename="camel")


_DECODERS = {name: msgspec.json.Decoder(_stored(fact)) for name, fact in FACT_TYPES.items()}


class Facts:
    """Facts that follow one another, by kind; `position` is the last one's, or what was passed over to.

    They are decoded by whoever asks for them first, so that the next ones can be read meanwhile.
    """

    def __init__(self, position: int, undecoded: dict[str, tuple[Sequence[int], bytes]]) -> None:
        """`undecoded` has of each kind the positions and, in the same order, the lines stored there."""
        self.position = position
        self._undecoded = undecoded
        self._by_kind: dict[str, list[Told]] = {}
        self._passed_over = 0

    @classmethod
    def of_rows(cls, rows: Sequence[StoredRow], wanted: frozenset[str]) -> "Facts":
        """The rows of the kinds wanted, up to one of a kind that this code has no name for; UnknownFact
        where that is the first."""
        by_kind: dict[str, tuple[list[int], list[bytes]]] = {}
        until = 0
        for position, _, _, kind, state in rows:
            if kind not in _DECODERS:
                if not until:
                    raise UnknownFact(kind, position)
                break
            if kind in wanted:
                positions, states = by_kind.setdefault(kind, ([], []))
                positions.append(position)
                states.append(state)
            until = position
        return cls(until, {kind: (at, b"\n".join(states)) for kind, (at, states) in by_kind.items()})

    @classmethod
    def read(
        cls, reading: psycopg.Connection[Any], after: int, until: int, unused: Sequence[str], limit: int
    ) -> "Facts":
        """Up to `limit` facts of the log behind `after` and up to `until`, without those of unused kinds."""
        found = read_by_topic(reading, after, until, unused, limit)
        unknown = [(min(positions), kind) for kind, positions, _ in found if kind not in _DECODERS]
        if unknown:
            return cls._read_before(reading, after, min(unknown), unused, limit)
        count = sum(len(positions) for _, positions, _ in found)
        # With fewer than could have come, nothing else up to `until` is wanted.
        position = until if count < limit else max(max(positions) for _, positions, _ in found)
        return cls(position, {kind: (positions, states) for kind, positions, states in found})

    @classmethod
    def _read_before(
        cls,
        reading: psycopg.Connection[Any],
        after: int,
        unknown: tuple[int, str],
        unused: Sequence[str],
        limit: int,
    ) -> "Facts":
        position, kind = unknown
        facts = cls.read(reading, after, position - 1, unused, limit)
        if not facts.is_used:
            raise UnknownFact(kind, position)
        return facts

    @property
    def is_used(self) -> bool:
        """Whether there are any."""
        return bool(self._undecoded or self._by_kind)

    def drop_until(self, position: int) -> None:
        """From here on answers those behind a position alone, whatever was asked before."""
        self._passed_over = position

    def of(self, *kinds: type[Any]) -> Sequence[Told]:
        """Those of these kinds, in the order in which they were stated."""
        found = [self._told(kind.__name__) for kind in kinds]
        return found[0] if len(found) == 1 else sorted((told for part in found for told in part), key=_first)

    def _told(self, kind: str) -> list[Told]:
        if kind in self._undecoded:
            positions, states = self._undecoded.pop(kind)
            kinds, stored = repeat(kind, len(positions)), _DECODERS[kind].decode_lines(states)
            self._by_kind[kind] = sorted(zip(positions, kinds, stored, strict=True), key=_first)
        told = self._by_kind.get(kind, [])
        if told and told[0][0] <= self._passed_over:
            told = [each for each in told if each[0] > self._passed_over]
        return told


def _first(told: Told) -> int:
    return told[0]


@lru_cache(maxsize=10_000)
def slot_at(text: str) -> int:
    """The slot that a time begins or lies in."""
    return slot_of(datetime.fromisoformat(text))
