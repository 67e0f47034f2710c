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


class _Head(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who stated a fact, when, and why."""

    at: datetime
    recorded_at: datetime
    by: str
    key: str
    cause: int | None
    correlation: str


class Envelope(_Head, frozen=True, kw_only=True, rename="camel"):
    """A fact as it is stored; `fact` is its body, not yet read."""

    fact: msgspec.Raw


class _Body(msgspec.Struct, frozen=True):
    fact: msgspec.Raw


_envelopes = msgspec.json.Decoder(Envelope)
_only_bodies = msgspec.json.Decoder(_Body)
_bodies = {name: msgspec.json.Decoder(cls) for name, cls in FACT_TYPES.items()}


def encode(
    fact: Fact, *, at: datetime, recorded_at: datetime, by: str, key: str, cause: int | None, correlation: str
) -> tuple[str, bytes]:
    """The topic and the state under which a fact is stored."""
    head = head_of(at=at, recorded_at=recorded_at, by=by, key=key, cause=cause, correlation=correlation)
    return behind(head, fact)


def head_of(
    *, at: datetime, recorded_at: datetime, by: str, key: str, cause: int | None, correlation: str
) -> bytes:
    """The beginning of an envelope, the same for all facts of one command."""
    head = _Head(at=at, recorded_at=recorded_at, by=by, key=key, cause=cause, correlation=correlation)
    return msgspec.json.encode(head)[:-1] + b',"fact":'


def behind(head: bytes, fact: Fact) -> tuple[str, bytes]:
    """The topic and the state of a fact in an envelope that begins with `head`."""
    return type(fact).__name__, head + msgspec.json.encode(fact) + b"}"


def decode_body(position: int, topic: str, state: bytes) -> Fact:
    """A stored fact without its envelope; UnknownFact for a name this code does not know."""
    body = _bodies.get(topic)
    if body is None:
        raise UnknownFact(topic, position)
    fact: Fact = body.decode(_only_bodies.decode(state).fact)
    return fact


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
