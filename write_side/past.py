"""What a decision may look at: streams folded under the log's lock, and what was decided just before.

A group of commands shares one `Past`. Each command's facts count for the next command only once the
whole command stands, so a refusal leaves nothing behind.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

import psycopg

from write_side.events import Fact, Recorded
from write_side.log import StoredRow, newest_versions, read_facts, read_streams
from write_side.places import PlaceChange, Places
from write_side.stored_form import decode_body

S = TypeVar("S")


@dataclass(frozen=True)
class Fold(Generic[S]):
    """How a stream becomes a state: from `initial`, fact by fact.

    `last_only`: every fact of the stream carries the whole state, so the newest is enough.
    `ignored`: the name of facts that change nothing in it, however many there are: they are not even read,
    except one that is the stream's newest and tells its version.
    """

    initial: S
    evolve: Callable[[S, Fact], S]
    last_only: bool = False
    ignored: str = ""


@dataclass
class Decision:
    """What one command leads to: facts by stream, changes of the erasable table, and the answer."""

    facts: list[tuple[str, Fact]] = field(default_factory=list)
    places: list[PlaceChange] = field(default_factory=list)
    answer: dict[str, str] = field(default_factory=dict)


class Past:
    """Streams as they stand in the transaction, with the group's own decisions on top."""

    def __init__(self, connection: psycopg.Connection[Any], wall_now: datetime) -> None:
        self.connection = connection
        self.wall_now = wall_now
        self.at = wall_now
        self.places = Places()
        self._asked: psycopg.Cursor[StoredRow] | None = None
        self._stored: dict[str, list[StoredRow]] = {}  # read ahead, not folded yet
        self._versions: dict[str, int] = {}
        self._decided: dict[str, list[Fact]] = {}  # by the group so far, on streams not folded yet
        self._states: dict[str, tuple[Fold[Any], Any]] = {}
        self._undo: list[Callable[[], object]] | None = None

    def ask_ahead(self, folds: Mapping[str, Fold[Any]]) -> None:
        """Asks for the streams that the group will fold, all at once."""
        self._asked = self._ask(folds)

    def take_up(self) -> None:
        """Takes up what was asked ahead; nothing is folded before."""
        for row in self._asked or ():
            self._store(row)
        self.places.take_up()

    def fold(self, stream: str, fold: Fold[S]) -> S:
        """The state of a stream, which is read where nobody has read it ahead."""
        if stream not in self._states:
            if stream not in self._stored:
                for row in self._ask({stream: fold}):
                    self._store(row)
            state = fold.initial
            for position, _, _, topic, body in self._stored[stream]:
                if topic != fold.ignored:
                    state = fold.evolve(state, decode_body(position, topic, body))
            for fact in self._decided.get(stream, ()):
                state = fold.evolve(state, fact)
            self._states[stream] = (fold, state)
            self._undone_by(partial(self._states.pop, stream))
        state_now: S = self._states[stream][1]
        return state_now

    def fact_at(self, position: int) -> Recorded | None:
        """The fact at a position, None where there is none."""
        found = read_facts(self.connection, position - 1, 1)
        return found[0] if found and found[0].position == position else None

    def take(self, decision: Decision) -> None:
        """Lets a decision count for the commands that follow in the group."""
        for stream, fact in decision.facts:
            known = self._states.get(stream)
            if known is None:
                decided = self._decided.setdefault(stream, [])
                decided.append(fact)
                self._undone_by(decided.pop)
            else:
                fold, state = known
                self._states[stream] = (fold, fold.evolve(state, fact))
                self._undone_by(partial(self._states.__setitem__, stream, known))
        for change in decision.places:
            self._undone_by(self.places.take(change))

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Takes back what was taken inside when it ends with a refusal."""
        self._undo = []
        try:
            yield
        except Exception:
            for undo in reversed(self._undo):
                undo()
            raise
        finally:
            self._undo = None

    def is_versioned(self, stream: str) -> bool:
        """Whether the newest version of a stream is known without asking."""
        return stream in self._versions

    def next_versions(self, streams: Iterable[str]) -> list[int]:
        """The version that each next fact takes, for facts appended to these streams in this order."""
        wanted = list(streams)
        unknown = {stream for stream in wanted if stream not in self._versions}
        if unknown:
            self._versions.update(dict.fromkeys(unknown, 0))
            self._versions.update(newest_versions(self.connection, list(unknown)))
        versions = []
        for stream in wanted:
            self._versions[stream] += 1
            versions.append(self._versions[stream])
        return versions

    def _ask(self, folds: Mapping[str, Fold[Any]]) -> psycopg.Cursor[StoredRow]:
        self._versions.update(dict.fromkeys(folds, 0))
        self._stored.update((stream, []) for stream in folds)
        whole = {stream: fold.ignored for stream, fold in folds.items() if not fold.last_only}
        newest = [stream for stream, fold in folds.items() if fold.last_only]
        return read_streams(self.connection, whole, newest)

    def _store(self, row: StoredRow) -> None:
        self._stored[row[1]].append(row)
        self._versions[row[1]] = row[2]

    def _undone_by(self, undo: Callable[[], object]) -> None:
        if self._undo is not None:
            self._undo.append(undo)
