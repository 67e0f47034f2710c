"""Judging autarky when a slot has closed: everybody's windows, the rule, and what changed as commands.

The sums of the windows are kept in memory from closing to closing; after a restart they are read anew.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import numpy as np

from gateway.standing_orders.desk import Desk, Statement
from projections.binary_copy import Connection, Ints
from projections.judged_subjects import NOBODY, Roster, Subjects, is_current, read_roster
from projections.metering_tables import NAME as METERING
from projections.schemas import connect, swap_lock_key
from projections.window_sums import COMMUNITIES, ENDS, HOUSEHOLDS, Source, WindowSums, take_changed
from write_side.commands import ChangeAutarky
from write_side.events import AutarkyChange
from write_side.rules.autarky_columns import STATES, UNKNOWN, Flags, Sums, judge_all
from write_side.rules.energy import self_sufficiency_percent
from write_side.rules.timeslots import slot_start
from write_side.settings import PARTITIONS

ORDER = "autarky"
LARGEST_STATEMENT = 200
_CENT = Decimal("0.01")
_SNAPSHOT = """select (select facts from households_position), 'household_flow'::regclass::oid::bigint,
    (select count(*) from mark where slot >= %s)"""


@dataclass
class _Group:
    """Households or communities: who they are, and their windows."""

    subjects: Subjects
    windows: WindowSums

    @classmethod
    def of(cls, subjects: Subjects, source: Source) -> "_Group":
        return cls(subjects, WindowSums(source, subjects.number, subjects.rule_column("window_slots")))


@dataclass(frozen=True)
class _Changed:
    """Who changed at a closing: places of subjects, their new states, and what it was decided on."""

    places: Ints
    state: Ints
    since: Ints
    notify: Ints
    sums: Ints
    expected: Ints


class Judge:
    """Judges every household and community once per closed slot, in order; holds the memory that takes."""

    def __init__(self, desk: Desk, database_url: str) -> None:
        self._desk = desk
        self._connection = connect(database_url, "standing_orders")
        self._roster: Roster | None = None
        self._groups: list[_Group] = []
        self._tables = 0  # which metering tables the sums were read from: a rebuild swaps others in
        self._was_whole = False  # whether every partition had its mark when they were read

    def close(self) -> None:
        """Lets the connection go."""
        self._connection.close()

    async def judge(self, slot: int, closing: int) -> None:
        """Judges everybody at the closing of a slot and states what changed."""
        await self._desk.reached("households", closing)
        statements = await asyncio.to_thread(self._judged, slot, closing)
        latest, is_whole = await self._desk.state_all(statements)
        if not is_whole:
            self._roster = None  # somebody was stated before: the view knows their states better
        if latest is not None:
            await self._desk.reached("autarky", latest)
        self._desk.note_progress(ORDER, slot)

    def _judged(self, slot: int, closing: int) -> list[Statement]:
        with _in_one_snapshot(self._connection):
            community = self._bring_to(slot).community_at(slot)
            households, communities = self._groups
            members = np.bincount(community[community != NOBODY], minlength=len(communities.subjects.number))
            is_there = households.subjects.since <= slot
            first = self._changed(households, slot, np.ones_like(community), is_there)
            second = self._changed(communities, slot, members, members > 0)
        return list(_statements(slot, closing, self._groups, community, first, second))

    def _bring_to(self, slot: int) -> Roster:
        """Everybody there is, with windows that end with this slot, as the views and flows stand now."""
        row = self._connection.execute(_SNAPSHOT, (slot,)).fetchone()
        assert row is not None
        position, tables, marked = row
        changed = take_changed(self._connection)
        roster, earlier = self._roster, self._groups
        if roster is None or not (roster.is_whole and is_current(self._connection, roster, position)):
            self._roster = roster = read_roster(self._connection, position)
            self._groups = [
                _Group.of(roster.households, HOUSEHOLDS), _Group.of(roster.communities, COMMUNITIES)
            ]  # fmt: skip
        is_kept = bool(earlier) and self._was_whole and tables == self._tables
        for place, (group, numbers) in enumerate(zip(self._groups, changed, strict=True)):
            afresh = group.windows.places_of(numbers)
            if not is_kept:
                group.windows.until = None
            elif group is not earlier[place]:
                afresh = np.union1d(afresh, group.windows.take_over(earlier[place].windows))
            group.windows.bring_to(self._connection, slot, afresh)
        self._tables, self._was_whole = tables, marked == PARTITIONS
        return roster

    def _changed(self, group: _Group, slot: int, factor: Ints, is_there: Flags) -> _Changed:
        """Judges a group and notes its new states; `factor` times the window is what should be counted."""
        subjects, windows = group.subjects, group.windows
        expected = windows.windows * factor
        dwell = subjects.rule_column("dwell_slots")
        now, back = subjects.state.copy(), np.zeros_like(subjects.state)
        notify = np.zeros_like(subjects.state)
        for patient in (False, True):
            places = np.flatnonzero(is_there & ((dwell > ENDS) == patient))
            if not len(places):
                continue
            sums = self._longer(windows, slot, places, int(dwell[places].max())) if patient else windows.sums
            told = judge_all(
                subjects.state[places],
                subjects.known[places],
                Sums(*(sums if patient else sums[:, :, places])),
                expected[places],
                subjects.rules,
                subjects.rule[places],
            )
            now[places], back[places], notify[places] = told.state, told.slots_back, told.notify
        places = np.flatnonzero(now != subjects.state)
        changed = _Changed(
            places, subjects.state[places], slot - back[places], notify[places],
            windows.sums[:, 0, places], expected[places],
        )  # fmt: skip
        subjects.state = now
        subjects.known = np.where(now == UNKNOWN, subjects.known, now)
        return changed

    def _longer(self, windows: WindowSums, slot: int, places: Ints, ends: int) -> Ints:
        """The sums of these subjects' windows for more ends than are kept."""
        last = np.full_like(places, slot)
        first = last - windows.windows[places] + 1
        rows = [windows.between(self._connection, places, first - end, last - end) for end in range(ends)]
        return np.stack(rows, axis=1)


@contextmanager
def _in_one_snapshot(connection: Connection) -> Iterator[None]:
    """A transaction that sees everything as of one moment, while no rebuilt metering tables are swapped in.

    The lock comes first: a snapshot taken before a swap would not see the rows of what was swapped in.
    """
    key = swap_lock_key(METERING)
    connection.execute("select pg_advisory_lock_shared(%s)", (key,))
    try:
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read")
            yield
    finally:
        connection.execute("select pg_advisory_unlock_shared(%s)", (key,))


def _changes(group: _Group, changed: _Changed) -> Iterator[AutarkyChange]:
    subjects = group.subjects
    for number, place in enumerate(changed.places.tolist()):
        own_wh, consumption_wh, counted = changed.sums[:, number].tolist()
        percent = self_sufficiency_percent(own_wh, consumption_wh)
        coverage = Decimal(100 * counted) / max(int(changed.expected[number]), 1)
        yield AutarkyChange(
            subject_id=UUID(bytes=subjects.id[place].tobytes()),
            from_state=STATES[changed.state[number]],
            to_state=STATES[subjects.state[place]],
            since_slot_start=slot_start(int(changed.since[number])),
            self_sufficiency_percent=None if percent is None else percent.quantize(_CENT),
            own_wh=own_wh,
            consumption_wh=consumption_wh,
            coverage_percent=coverage.quantize(_CENT),
            notify=bool(changed.notify[number]),
        )


def _statements(
    slot: int, closing: int, groups: Sequence[_Group], community: Ints, first: _Changed, second: _Changed
) -> Iterator[Statement]:
    """One command per community with a change in it; lone households in chunks of a fact's size."""
    grouped: dict[int, list[AutarkyChange]] = defaultdict(list)
    for place, change in zip(community[first.places].tolist(), _changes(groups[0], first), strict=True):
        grouped[place].append(change)
    itself = dict(zip(second.places.tolist(), _changes(groups[1], second), strict=True))
    correlation = f"close/{slot_start(slot):%Y-%m-%dT%H:%MZ}"
    for place in [*itself, *(known for known in grouped if known not in itself)]:
        changed = grouped.get(place, [])
        community_id = None if place == NOBODY else UUID(bytes=groups[1].subjects.id[place].tobytes())
        for begin in range(0, max(len(changed), 1), LARGEST_STATEMENT):
            command = ChangeAutarky(
                community_id=community_id,
                slot_start=slot_start(slot),
                households=tuple(changed[begin : begin + LARGEST_STATEMENT]),
                community=itself.get(place) if begin == 0 else None,
            )
            name = f"{community_id or 'lone'}/{begin}"
            key = f"autarky/{slot_start(slot):%Y-%m-%dT%H:%MZ}/{name}"
            yield Statement(command, key, closing, correlation)
