"""How facts lie in the log: class name as topic, envelope and fact as JSON."""

from datetime import datetime
from typing import Any, get_args

import msgspec

from write_side.events import Fact, Recorded

FACT_TYPES: dict[str, type[Any]] = {cls.__name__: cls for cls in get_args(Fact)}


class UnknownFact(Exception):
    """The log holds a fact this version of the code has no name for."""

    def __init__(self, topic: str, position: int) -> None:
        super().__init__(f"unknown fact {topic!r} at position {position}: this reader stops here")


class Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who stated a fact, when, and why; `fact` is its body, not yet read."""

    at: datetime
    recorded_at: datetime
    by: str
    key: str
    cause: int | None
    correlation: str
    fact: msgspec.Raw


_envelopes = msgspec.json.Decoder(Envelope)
_bodies = {name: msgspec.json.Decoder(cls) for name, cls in FACT_TYPES.items()}


def encode(
    fact: Fact, *, at: datetime, recorded_at: datetime, by: str, key: str, cause: int | None, correlation: str
) -> tuple[str, bytes]:
    """The topic and the state under which a fact is stored."""
    envelope = Envelope(
        at=at,
        recorded_at=recorded_at,
        by=by,
        key=key,
        cause=cause,
        correlation=correlation,
        fact=msgspec.Raw(msgspec.json.encode(fact)),
    )
    return type(fact).__name__, msgspec.json.encode(envelope)


def decode(position: int, stream: str, version: int, topic: str, state: bytes) -> Recorded:
    """A stored fact with its envelope; UnknownFact for a name this code does not know."""
    body = _bodies.get(topic)
    if body is None:
        raise UnknownFact(topic, position)
    envelope = _envelopes.decode(state)
    return Recorded(
        position=position,
        stream=stream,
        version=version,
        at=envelope.at,
        recorded_at=envelope.recorded_at,
        by=envelope.by,
        key=envelope.key,
        cause=envelope.cause,
        correlation=envelope.correlation,
        fact=body.decode(envelope.fact),
    )
