"""What a decision may look at: streams folded under the log's lock, and what was decided just before.

A group of commands shares one `Past`. Each command collects its facts in it; they count for the next
command only once the whole command stands, so a refusal leaves nothing behind.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import psycopg

from write_side.events import Fact, Recorded
from write_side.log import newest_version, read_facts, read_stream

S = TypeVar("S")


@dataclass(frozen=True)
class Fold(Generic[S]):
    """How a stream becomes a state: from `initial`, fact by fact.

    `last_only`: every fact of the stream carries the whole state, so the newest is enough.
    """

    initial: S
    evolve: Callable[[S, Fact], S]
    last_only: bool = False


@dataclass
class Decision:
    """What one command leads to: facts by stream, rows for the erasable table, and the answer."""

    facts: list[tuple[str, Fact]] = field(default_factory=list)
    sql: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    answer: dict[str, str] = field(default_factory=dict)


class Past:
    """Streams as they stand in the transaction, with the group's own decisions on top."""

    def __init__(self, connection: psycopg.Connection[Any], wall_now: datetime) -> None:
        self.connection = connection
        self.wall_now = wall_now
        self.at = wall_now
        self._versions: dict[str, int] = {}
        self._decided: dict[str, list[Fact]] = {}  # by the group so far; the log does not have them yet
        self._states: dict[str, tuple[Fold[Any], Any]] = {}

    def fold(self, stream: str, fold: Fold[S]) -> S:
        """The state of a stream; it reads the log once per stream and group."""
        if stream not in self._states:
            recorded = read_stream(self.connection, stream, last_only=fold.last_only)
            state = fold.initial
            for fact in [*(entry.fact for entry in recorded), *self._decided.get(stream, ())]:
                state = fold.evolve(state, fact)
            self._versions.setdefault(stream, recorded[-1].version if recorded else 0)
            self._states[stream] = (fold, state)
        state_now: S = self._states[stream][1]
        return state_now

    def fact_at(self, position: int) -> Recorded | None:
        """The fact at a position, None where there is none."""
        found = read_facts(self.connection, position - 1, 1)
        return found[0] if found and found[0].position == position else None

    def next_version(self, stream: str) -> int:
        """The version the next fact of a stream takes; streams never folded are looked up."""
        if stream not in self._versions:
            self._versions[stream] = newest_version(self.connection, stream)
        self._versions[stream] += 1
        return self._versions[stream]

    def take(self, facts: Sequence[tuple[str, Fact]]) -> None:
        """Lets decided facts count for the commands that follow in the group."""
        for stream, fact in facts:
            self._decided.setdefault(stream, []).append(fact)
            if stream in self._states:
                fold, state = self._states[stream]
                self._states[stream] = (fold, fold.evolve(state, fact))
