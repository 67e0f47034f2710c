"""Scalars of the schema: times, positions, energies that outgrow 32 bits, and plain data."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NewType
from uuid import UUID

import strawberry
from strawberry.types.scalar import ScalarDefinition, ScalarWrapper

from write_side.rules.timeslots import parse_utc

if TYPE_CHECKING:
    WattHours = int
    Position = str
else:
    WattHours = NewType("WattHours", int)
    Position = NewType("Position", str)
Plain = NewType("Plain", object)

_LONGEST_NUMBER = 40


def _time(text: object) -> datetime:
    if not isinstance(text, str):
        raise ValueError("a time is a string: 2026-01-05T10:15:00Z")
    try:
        return parse_utc(text)
    except ValueError:
        raise ValueError("a time is ISO 8601 with its zone: 2026-01-05T10:15:00Z") from None


@lru_cache(4096)
def _written_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _decimal(value: object) -> Decimal:
    text = str(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError('a Decimal is a string: "48.85"') from None
    if not number.is_finite() or len(text) > _LONGEST_NUMBER:
        raise ValueError("a Decimal is finite and has at most 40 characters")
    return number


def _uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise ValueError("a UUID is a string of 32 hexadecimal digits") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a position is a string that this grid answered before")
    return value


def _scalar(
    name: str, description: str, serialize: Callable[[Any], Any], parse: Callable[[Any], Any]
) -> ScalarWrapper | ScalarDefinition:
    return strawberry.scalar(name=name, description=description, serialize=serialize, parse_value=parse)


SCALARS: dict[object, Any] = {
    datetime: _scalar("DateTime", "A time, ISO 8601 with its zone; answered in UTC.", _written_time, _time),
    Decimal: _scalar("Decimal", "An exact number, as a string.", lambda value: f"{value:f}", _decimal),
    UUID: _scalar("UUID", "A raw id, as it stands in topics, readings and tokens.", str, _uuid),
    WattHours: _scalar("WattHours", "Energy in whole Wh, a JSON number below 2^53.", int, int),
    Position: _scalar(
        "Position", "A place in the log, opaque: what an answer held, `after` takes.", str, _text
    ),
    Plain: _scalar("JSON", "Plain data as JSON.", lambda value: value, lambda value: value),
}
