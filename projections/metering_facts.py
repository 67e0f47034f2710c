"""What facts do to the metered homes: who is measured, where, since when, and in which community.

Each partition follows the facts by itself, so a worker may meet a fact that one of its partitions has
already. What a fact changes of slots that are measured already is told in `Changes`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from projections.binary_copy import Connection
from projections.metered_homes import NEVER, Homes, partition_of
from projections.told_facts import Facts, slot_at
from write_side.events import (
    ClockAdvanced,
    CommunityFounded,
    CommunityJoined,
    CommunityLeft,
    DeviceAttached,
    DeviceDetached,
    GridFounded,
    HouseholdRegistered,
)
from write_side.rules.timeslots import parse_utc
from write_side.stored_form import FACT_TYPES

_NEVER_OURS = 2**63
# What the later ones speak of comes first. In this order the growing columns are put together but once.
_STAGES = (
    (GridFounded, ClockAdvanced, HouseholdRegistered, CommunityFounded),
    (CommunityJoined, CommunityLeft),
    (DeviceAttached, DeviceDetached),
)
_WANTED = tuple(kind for stage in _STAGES for kind in stage)
UNUSED = sorted(set(FACT_TYPES) - {fact.__name__ for fact in _WANTED})


@dataclass
class GridClock:
    """When the grid began, on which clock it runs, and what a simulated one shows."""

    first_slot: int | None = None
    now: datetime | None = None
    simulated: bool | None = None


@dataclass
class Changes:
    """What facts changed: devices to take readings up for, devices that end, slots to compute again."""

    attached: list[str] = field(default_factory=list)
    detached: list[tuple[int, int]] = field(default_factory=list)  # device index, first slot without it
    dirty: list[tuple[int, int]] = field(default_factory=list)  # household index, from this slot on


@dataclass
class _Rows:
    households: list[tuple[Any, ...]] = field(default_factory=list)
    devices: list[tuple[Any, ...]] = field(default_factory=list)
    communities: list[tuple[Any, ...]] = field(default_factory=list)
    ended: list[tuple[Any, ...]] = field(default_factory=list)
    moved: set[int] = field(default_factory=set)


def apply_facts(
    connection: Connection, homes: Homes, clock: GridClock, positions: dict[int, int], facts: Facts
) -> Changes:
    """Applies facts to `homes` and its tables; `positions` are the partitions' own, before these facts.

    KeyError for a fact about a household, device or community nobody brought: the reader stops there.
    """
    applied = _Application(homes, clock, positions)
    for kinds in _STAGES:
        for position, kind, stored in facts.of(*kinds):
            applied.apply[kind](stored.fact, position)
    _write(connection, homes, applied.rows)
    return applied.changes


class _Application:
    """Facts one after the other, a home before its devices; their ids, times and numbers are text."""

    def __init__(self, homes: Homes, clock: GridClock, positions: dict[int, int]) -> None:
        self.homes = homes
        self.clock = clock
        self.positions = positions
        self.newest = max(positions.values(), default=0)
        self.rows = _Rows()
        self.changes = Changes()
        self.apply: dict[str, Callable[[Any, int], None]] = {
            GridFounded.__name__: self._grid_founded,
            ClockAdvanced.__name__: self._clock_advanced,
            HouseholdRegistered.__name__: self._registered,
            CommunityFounded.__name__: self._founded,
            CommunityJoined.__name__: self._joined,
            CommunityLeft.__name__: self._left,
            DeviceAttached.__name__: self._attached,
            DeviceDetached.__name__: self._detached,
        }

    def _grid_founded(self, fact: Any, position: int) -> None:
        if position > self.newest:  # else another partition of ours has been there
            self.clock.first_slot = slot_at(fact.first_slot_start)
            self.clock.simulated = fact.simulated
            self.clock.now = parse_utc(fact.first_slot_start)

    def _clock_advanced(self, fact: Any, position: int) -> None:
        if position > self.newest:  # the clock never goes back
            self.clock.now = parse_utc(fact.to)

    def _is_ours(self, partition: int, position: int) -> bool:
        return position > self.positions.get(partition, _NEVER_OURS)

    def _household(self, household_id: str, position: int) -> int | None:
        """The index of a household of ours that has not had this fact; None for anybody else's."""
        household = self.homes.household_index.get(household_id)
        if household is None:
            return None
        return household if self._is_ours(self.homes.partitions[household], position) else None

    def _registered(self, fact: Any, position: int) -> None:
        partition = partition_of(fact.area_id)
        if not self._is_ours(partition, position):
            return
        latitude_deg, longitude_deg = float(fact.latitude_deg), float(fact.longitude_deg)
        self.homes.add_household(position, UUID(fact.household_id), fact.area_id, latitude_deg, longitude_deg)
        row = (position, fact.household_id, partition, fact.area_id, latitude_deg, longitude_deg)
        self.rows.households.append(row)

    def _founded(self, fact: Any, position: int) -> None:
        partition = partition_of(fact.area_id)
        if not self._is_ours(partition, position):
            return
        self.homes.add_community(position, UUID(fact.community_id))
        self.rows.communities.append((position, fact.community_id, partition))

    def _joined(self, fact: Any, position: int) -> None:
        household = self._household(fact.household_id, position)
        if household is not None:
            slot = slot_at(fact.from_slot_start)
            self.homes.join(household, self.homes.community_numbers[UUID(fact.community_id)], slot)
            self._moved(household, slot)

    def _left(self, fact: Any, position: int) -> None:
        household = self._household(fact.household_id, position)
        if household is not None:
            slot = slot_at(fact.until_slot_start)
            self.homes.leave(household, slot)
            self._moved(household, slot)

    def _moved(self, household: int, slot: int) -> None:
        self.rows.moved.add(household)
        self._dirty(household, slot)

    def _dirty(self, household: int, slot: int) -> None:
        if self.homes.households["newest"][household] >= slot:
            self.changes.dirty.append((household, slot))

    def _attached(self, fact: Any, position: int) -> None:
        household = self._household(fact.household_id, position)
        if household is None or fact.device_id in self.homes.device_index:
            return
        since = slot_at(fact.since)
        measured = fact.efficiency_permille, fact.capacity_wh
        self.homes.add_device(position, fact.device_id, household, fact.kind, since, NEVER, *measured)
        number = int(self.homes.households["number"][household])
        self.rows.devices.append((position, fact.device_id, number, fact.kind, since, *measured))
        self.changes.attached.append(fact.device_id)
        self._dirty(household, since)

    def _detached(self, fact: Any, position: int) -> None:
        household = self._household(fact.household_id, position)
        if household is None:
            return
        device, until = self.homes.device_index[fact.device_id], slot_at(fact.until)
        self.homes.devices["until"][device] = until
        self.rows.ended.append((until, int(self.homes.devices["number"][device])))
        self.changes.detached.append((device, until))
        self._dirty(household, until)


def _write(connection: Connection, homes: Homes, rows: _Rows) -> None:
    _copy(connection, "meter_household", rows.households)
    _copy(connection, "meter_community", rows.communities)
    columns = " (device, device_id, household, kind, since_slot, efficiency_permille, capacity_wh)"
    _copy(connection, "meter_device" + columns, rows.devices)
    if rows.ended:
        with connection.cursor() as cursor:
            cursor.executemany("update meter_device set until_slot = %s where device = %s", rows.ended)
    if rows.moved:
        _write_memberships(connection, homes, sorted(rows.moved))


def _write_memberships(connection: Connection, homes: Homes, moved: list[int]) -> None:
    numbers = homes.households["number"]
    connection.execute(
        "delete from meter_membership where household = any(%s)", ([int(numbers[index]) for index in moved],)
    )
    rows: list[tuple[Any, ...]] = []
    for index in moved:
        for since, until, community in homes.intervals(index):
            end = None if until == NEVER else until
            rows.append((int(numbers[index]), since, end, community, homes.community_ids[community]))
    _copy(connection, "meter_membership", rows)


def _copy(connection: Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as copy:
            for row in rows:
                copy.write_row(row)
