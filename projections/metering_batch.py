"""One batch of the metering projection: facts, then messages, then everything that follows, in a transaction.

The state in memory belongs to the connection's transactions: after any error both are thrown away.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from projections.binary_copy import MISSING, Connection, Ints, read_columns, stage
from projections.intake_stream import FLUSH
from projections.kept_aside import WRONG_SUBJECT, keep, route_of, take_up
from projections.kept_readings import withdraw
from projections.message_forms import Forms, Scanned, rows_of
from projections.metered_homes import Homes, load
from projections.metering import HOUSEHOLD_KEY, Recomputed, measured_from, note_newest, recompute
from projections.metering_facts import UNUSED, Changes, GridClock, apply_facts
from projections.metering_tables import NAME, VALUES
from projections.open_slots import OpenSlots
from projections.reading_messages import MALFORMED, Arrivals, IntakeMessage, Unusable, read
from projections.readings import Rows, merge, microseconds, sift
from projections.running_indexes import resolve
from projections.schemas import hold_in_place
from projections.sealed_days import reopen
from projections.settling import settle
from projections.told_facts import Facts
from write_side.log import head
from write_side.settings import PARTITIONS

FACTS_AT_ONCE = 20_000
SETTLED_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message of the intake stream as it came."""

    sequence: int
    subject: str
    known_at: datetime
    data: bytes


@dataclass
class Partitions:
    """What a worker knows of the partitions it owns; positions by partition."""

    homes: Homes = field(default_factory=Homes)
    clock: GridClock = field(default_factory=GridClock)
    facts: dict[int, int] = field(default_factory=dict)
    stream: dict[int, int] = field(default_factory=dict)
    created: dict[int, datetime | None] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=dict)
    forms: Forms = field(default_factory=Forms)

    def adopt(self, created: datetime, last_sequence: int) -> None:
        """From here on sequences are those of the stream made at this time; another one's count no more.

        A position behind the stream's end, as after a restored backup, is its end.
        """
        for partition, before in self.created.items():
            position = self.stream[partition] if before == created else 0
            self.stream[partition] = min(position, last_sequence)
            self.created[partition] = created

    def positions_in(self, created: datetime) -> dict[int, int]:
        """Behind which message of the stream made at this time each partition reads on."""
        return {p: self.stream[p] if made == created else 0 for p, made in self.created.items()}

    def settled_until(self) -> Ints:
        """The last settled slot of each partition: up to its mark, and all history before the grid."""
        history = -1 if self.clock.first_slot is None else self.clock.first_slot - 1
        return np.array([max(self.marks.get(p, -1), history) for p in range(PARTITIONS)], dtype=np.int64)


def load_partitions(connection: Connection, partitions: Iterable[int]) -> Partitions:
    """The state of these partitions as it was committed last."""
    state = Partitions()
    wanted = sorted(partitions)
    with connection.transaction():
        hold_in_place(connection, NAME)
        rows = connection.execute(
            """select p.partition, facts, stream, stream_created, first_slot, clock, simulated, slot
               from metering_position p left join mark using (partition)
               where p.partition = any(%s) order by facts""",
            (wanted,),
        )
        for partition, facts, stream, created, first_slot, now, simulated, slot in rows:
            state.facts[partition], state.stream[partition] = facts, stream
            state.created[partition] = created
            state.clock = GridClock(first_slot, now, simulated)
            if slot is not None:
                state.marks[partition] = slot
        load(connection, state.homes, wanted)
        newest = np.full(PARTITIONS, MISSING)
        np.maximum.at(newest, state.homes.households["partition"], state.homes.households["newest"])
        state.homes.open_slots = OpenSlots(newest)
    return state


def advance(connection: Connection, state: Partitions, messages: Sequence[StreamMessage]) -> bool:
    """Applies all facts there are and then the messages, which are in the order of the stream.

    The facts are read after the messages came, so what was decided before a reading was sent is known when
    it is judged. Answers whether anything moved.
    """
    moved = False
    while state.facts:
        with connection.transaction():
            hold_in_place(connection, NAME)
            newest, behind = head(connection), min(state.facts.values())
            step = _Step(connection, state)
            is_head = newest <= behind
            if not is_head:
                facts = Facts.read(connection, behind, newest, UNUSED, FACTS_AT_ONCE)
                is_head = facts.position >= newest
                step.take_facts(facts)
            for segment in segments(messages) if is_head else ():
                step.take_messages(segment)
            step.finish()
            moved |= step.moved
        if is_head:
            break
    return moved


def pass_by(connection: Connection, state: Partitions, partitions: Iterable[int], sequence: int) -> None:
    """Brings partitions of which nothing lies in the stream up to a sequence to that position."""
    state.stream |= dict.fromkeys(partitions, sequence)
    with connection.transaction():
        hold_in_place(connection, NAME)
        write_positions(connection, state)


def segments(messages: Sequence[StreamMessage]) -> Iterator[list[StreamMessage]]:
    """Cuts before a reading behind its partition's mark, so that what is late is told from what is not."""
    part: list[StreamMessage] = []
    marked: set[str] = set()
    for message in messages:
        partition, _, rest = message.subject.removeprefix("meter.").partition(".")
        if partition in marked and rest != "mark":
            yield part
            part, marked = [], set()
        if rest == "mark":
            marked.add(partition)
        part.append(message)
    if part:
        yield part


class _Step:
    """What happens within one transaction."""

    def __init__(self, connection: Connection, state: Partitions) -> None:
        self._connection = connection
        self._state = state
        self.moved = False

    def take_facts(self, facts: Facts) -> None:
        state = self._state
        if facts.position <= min(state.facts.values()):
            return
        self.moved = True
        changes = apply_facts(self._connection, state.homes, state.clock, state.facts, facts)
        state.facts = {p: max(position, facts.position) for p, position in state.facts.items()}
        keep(self._connection, withdraw(self._connection, state.homes, changes.detached))
        arrivals = take_up(self._connection, changes.attached) if changes.attached else Arrivals()
        self._bring_in(arrivals, [], changes)

    def take_messages(self, messages: Sequence[StreamMessage]) -> None:
        arrivals, scanned, marks = Arrivals(), list[Scanned](), dict[int, int]()
        for message in messages:
            self._take_message(message, arrivals, scanned, marks)
        self._bring_in(arrivals, scanned, Changes())
        self._take_marks(marks)
        for message in messages:
            partition = partition_of_subject(message.subject)
            if self._state.stream.get(partition, message.sequence) < message.sequence:
                self._state.stream[partition] = message.sequence
            self.moved = True

    def _take_message(
        self, message: StreamMessage, arrivals: Arrivals, scanned: list[Scanned], marks: dict[int, int]
    ) -> None:
        partition = partition_of_subject(message.subject)
        if message.sequence <= self._state.stream.get(partition, message.sequence):
            return
        if message.subject == FLUSH:
            return
        if not message.subject.startswith("meter."):
            arrivals.unusable.append(_unusable(message, WRONG_SUBJECT))
        elif message.subject.endswith(".mark"):
            try:
                marks[partition] = max(int(json.loads(message.data)["slot"]), marks.get(partition, 0))
            except (ValueError, KeyError, TypeError):
                arrivals.unusable.append(_unusable(message, MALFORMED))
        else:
            area, household = route_of(message.subject)
            told = (message.sequence, partition, area, household, message.subject)
            whole = IntakeMessage(*told, message.known_at, message.data)
            found = self._state.forms.scan(self._state.homes, whole)
            if found is not None:
                scanned.append(found)
            else:
                read(whole, arrivals)

    def _bring_in(self, arrivals: Arrivals, scanned: list[Scanned], changes: Changes) -> None:
        connection, state = self._connection, self._state
        homes = state.homes
        clock = state.clock.now if state.clock.simulated else None
        known, refused = rows_of(homes, scanned, None if clock is None else microseconds(clock))
        for message in refused:
            read(message, arrivals)
        rows, kept = sift(connection, homes, arrivals, clock)
        keep(connection, kept)
        rows = resolve(connection, homes, rows, known)
        is_new = rows.slot > homes.households["newest"][homes.devices["household"][rows.device]]
        reopen(connection, homes.devices["number"][rows.device], rows.slot)
        fresh = merge(connection, homes, "reading", VALUES, rows, is_new)
        household, slot = dirty_keys(connection, homes, changes, fresh)
        if not len(household):
            return
        changed = recompute(connection, homes, household, slot, fresh)
        note_newest(homes, changed.household, changed.slot)
        _note_late(connection, state, changed)
        until = state.settled_until()
        settled = changed.slot <= until[homes.households["partition"][changed.household]]
        former = changed.old.community[settled]
        settle(connection, homes, changed.household[settled], changed.slot[settled], former, until)

    def _take_marks(self, marks: dict[int, int]) -> None:
        state = self._state
        before = state.settled_until()
        state.marks |= {p: max(slot, state.marks.get(p, slot)) for p, slot in marks.items()}
        after = state.settled_until()
        moved = [p for p in marks if after[p] > before[p]]
        for portion in portions(state.homes, moved):
            household, slot = unsettled(self._connection, state.homes, portion, before, after)
            former = np.full(len(household), MISSING, dtype=np.int64)
            settle(self._connection, state.homes, household, slot, former, after, is_first=True)
        if marks:
            self._connection.cursor().executemany(
                """insert into mark values (%s, %s)
                   on conflict (partition) do update set slot = greatest(mark.slot, excluded.slot)""",
                sorted(state.marks.items()),
            )

    def finish(self) -> None:
        if self.moved:
            write_positions(self._connection, self._state)


def write_positions(connection: Connection, state: Partitions) -> None:
    """The partitions' positions and clock, into the transaction of the rows they stand for."""
    clock, own = state.clock, sorted(state.facts)
    connection.execute(
        """update metering_position p set facts = s.facts, stream = s.stream, stream_created = s.created,
             first_slot = %s, clock = %s, simulated = %s, error = null
           from unnest(%s::smallint[], %s::bigint[], %s::bigint[], %s::timestamptz[])
             as s (partition, facts, stream, created)
           where p.partition = s.partition""",
        (
            clock.first_slot,
            clock.now,
            clock.simulated,
            own,
            [state.facts[p] for p in own],
            [state.stream[p] for p in own],
            [state.created[p] for p in own],
        ),
    )


def note_error(connection: Connection, partitions: Iterable[int], error: Exception) -> None:
    """Says at the positions why these partitions go no further."""
    connection.execute(
        "update metering_position set error = %s where partition = any(%s)",
        (f"{type(error).__name__}: {error}"[:500], sorted(partitions)),
    )


def dirty_keys(connection: Connection, homes: Homes, changes: Changes, fresh: Rows) -> tuple[Ints, Ints]:
    """The (household, slot) keys of which changed facts or fresh readings may have changed the row."""
    households, slots = [homes.devices["household"][fresh.device]], [fresh.slot]
    for household, since in changes.dirty:
        found = measured_from(connection, homes, household, since)
        households.append(np.full(len(found), household, dtype=np.int64))
        slots.append(found)
    return np.concatenate(households), np.concatenate(slots)


def partition_of_subject(subject: str) -> int:
    """The partition of `meter.<partition>...`; what fits no route belongs to partition 0."""
    if not subject.startswith("meter."):
        return 0
    return int(subject.split(".", 2)[1])


def _unusable(message: StreamMessage, reason: str) -> Unusable:
    route = (partition_of_subject(message.subject), "", "all", message.subject)
    whole = IntakeMessage(message.sequence, *route, message.known_at, message.data)
    return Unusable(whole, 0, None, None, reason, message.data)


def portions(homes: Homes, partitions: Sequence[int]) -> Iterator[list[int]]:
    """These partitions, as many together as have SETTLED_AT_ONCE homes: more are slower, each by itself, as
    their columns leave the processor's caches."""
    counts = np.bincount(homes.households["partition"], minlength=PARTITIONS)
    portion: list[int] = []
    for partition in partitions:
        if portion and counts[[*portion, partition]].sum() > SETTLED_AT_ONCE:
            yield portion
            portion = []
        portion.append(partition)
    if portion:
        yield portion


def unsettled(
    connection: Connection, homes: Homes, partitions: list[int], before: Ints, after: Ints
) -> tuple[Ints, Ints]:
    """The measured keys of these partitions behind one slot and up to another, each its own."""
    if homes.open_slots is not None:
        known = homes.open_slots.measured(homes, partitions, before, after)
        if known is not None:
            return known
    household = np.flatnonzero(np.isin(homes.households["partition"], partitions))
    partition = homes.households["partition"][household]
    some = homes.households["newest"][household] > before[partition]
    household, partition = household[some], partition[some]
    source = stage(
        connection,
        "spans",
        {"place": "integer", "household": "bigint", "begin": "integer", "until": "integer"},
        {
            "place": np.arange(len(household)),
            "household": homes.households["number"][household],
            "begin": before[partition] + 1,
            "until": after[partition],
        },
    )
    found = read_columns(
        connection,
        f"""select s.place, e.slot from {source} s join household_energy e
              on e.household = s.household and e.slot between s.begin and s.until""",
        {"place": "integer", "slot": "integer"},
    )
    return household[found["place"]], found["slot"]


def _note_late(connection: Connection, state: Partitions, changed: Recomputed) -> None:
    """Changes of closed slots, for the standing order that states them; history is nobody's news."""
    homes = state.homes
    partition = homes.households["partition"][changed.household]
    marks = np.array([state.marks.get(p, -1) for p in range(PARTITIONS)], dtype=np.int64)
    first = 0 if state.clock.first_slot is None else state.clock.first_slot
    late = np.flatnonzero((changed.slot >= first) & (changed.slot <= marks[partition]))
    if not len(late):
        return
    difference = np.maximum(changed.new.values, 0) - np.maximum(changed.old.values, 0)
    community = np.where(changed.new.exists, changed.new.community, changed.old.community)
    source = stage(
        connection,
        "late",
        {
            "partition": "smallint", **HOUSEHOLD_KEY, "community": "bigint?",
            "consumption": "bigint", "production": "bigint",
        },
        {
            "partition": partition[late],
            "household": homes.households["number"][changed.household[late]],
            "slot": changed.slot[late],
            "community": community[late],
            "consumption": difference[late, 0],
            "production": difference[late, 1],
        },
    )  # fmt: skip
    connection.execute(
        f"""insert into late_change (partition, household, community_id, slot, consumption_wh_change,
              production_wh_change)
            select s.partition, household, community_id, slot, consumption, production
            from {source} s left join meter_community using (community) order by slot, household"""
    )
