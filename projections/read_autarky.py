"""Reading autarky: states, rules, the sums that rates are made of, and changes behind a position."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from projections.expected_readings import Span
from projections.visibility import Scope
from write_side.rules.autarky import AutarkyRule

Connection = AsyncConnection[Any]
Key = tuple[int, UUID]


@dataclass(frozen=True, kw_only=True)
class StateRow:
    """Where a household or community stands, since which slot, and the closing that changed it last."""

    state: str
    since_slot: int
    changed_slot: int
    position: int


@dataclass(frozen=True, kw_only=True)
class ChangeRow:
    """One change of one subject; `closed_at` is the wall time of the slot's closing."""

    position: int
    subject_id: UUID
    community_id: UUID | None
    is_community: bool
    slot: int
    from_state: str
    to_state: str
    since_slot: int
    self_sufficiency_percent: Decimal | None
    coverage_percent: Decimal
    notify: bool
    at: datetime
    recorded_at: datetime
    closed_at: datetime

    @property
    def key(self) -> Key:
        """Its place in the order of all changes."""
        return self.position, self.subject_id


@dataclass(frozen=True, kw_only=True)
class HourSums:
    """Energies, Wh, of the slots of one local hour of the day that have every term of the formulas.

    `self_supplied_wh` is the load served by own (for a community: also shared) energy, `surplus_wh` the own
    production that left, `local_wh` the load served by neighbours. `counted` are household-slots.
    """

    local_hour: int
    counted: int
    consumption_wh: int
    production_wh: int
    self_supplied_wh: int
    surplus_wh: int
    local_wh: int


_HOUR_FIELDS = tuple(HourSums.__dataclass_fields__)


async def states(db: Connection, subject_ids: Sequence[UUID]) -> dict[UUID, StateRow]:
    """The state of each of these households and communities, without those before their first change."""
    cursor = await db.execute(
        """select subject_id, state, since_slot, changed_slot, position from autarky_state
           where subject_id = any(%s)""",
        (list(subject_ids),),
    )
    return {
        subject_id: StateRow(state=state, since_slot=since, changed_slot=changed, position=position)
        for subject_id, state, since, changed, position in await cursor.fetchall()
    }


async def rules(db: Connection, subject_ids: Sequence[UUID]) -> dict[UUID, AutarkyRule]:
    """The rule each of these households and communities is judged by, without those that have the default."""
    cursor = await db.execute(
        """select subject_id, window_slots, threshold_percent, hysteresis_points, dwell_slots,
                  minimum_coverage_percent from autarky_rule where subject_id = any(%s)""",
        (list(subject_ids),),
    )
    return {
        subject_id: AutarkyRule(
            window_slots=window,
            threshold_percent=threshold,
            hysteresis_points=hysteresis,
            dwell_slots=dwell,
            minimum_coverage_percent=coverage,
        )
        for subject_id, window, threshold, hysteresis, dwell, coverage in await cursor.fetchall()
    }


async def memberships(db: Connection, community_ids: Sequence[UUID]) -> dict[UUID, list[Span]]:
    """When each household was a member of each of these communities."""
    cursor = await db.execute(
        "select community_id, from_slot, until_slot from membership where community_id = any(%s)",
        (list(community_ids),),
    )
    found: dict[UUID, list[Span]] = {}
    for community_id, first, end in await cursor.fetchall():
        found.setdefault(community_id, []).append(Span(first, end))
    return found


_HOUR: LiteralString = (
    "extract(hour from to_timestamp(slot * 900::bigint) at time zone 'Europe/Paris')::int as local_hour"
)
_BETWEEN: LiteralString = """ and slot >= %(first)s and slot < %(end)s
    group by subject, local_hour order by subject, local_hour"""


async def household_hours(
    db: Connection, numbers: Sequence[int], first: int, end: int
) -> dict[int, list[HourSums]]:
    """The sums of the slots first <= slot < end of each of these households, by local hour."""
    statement = (
        "select household as subject, "
        + _HOUR
        + """, count(*) as counted, sum(consumption_wh)::bigint as consumption_wh,
             sum(production_wh)::bigint as production_wh,
             sum(pv_to_load_wh + own_battery_to_load_wh)::bigint as self_supplied_wh,
             sum(pv_to_grid_wh + own_battery_to_grid_wh)::bigint as surplus_wh,
             sum(received_to_load_wh + local_battery_to_load_wh)::bigint as local_wh
             from household_flow where household = any(%(subjects)s)"""
        + _BETWEEN
    )
    return await _hours(db, statement, numbers, first, end)


async def community_hours(
    db: Connection, community_ids: Sequence[UUID], first: int, end: int
) -> dict[UUID, list[HourSums]]:
    """The sums of the slots first <= slot < end of each of these communities, by local hour."""
    statement = (
        "select community_id as subject, "
        + _HOUR
        + """, sum(households)::bigint as counted, sum(consumption_wh)::bigint as consumption_wh,
             sum(production_wh)::bigint as production_wh, sum(self_supplied_wh)::bigint as self_supplied_wh,
             sum(least(to_outside_wh, production_wh))::bigint as surplus_wh,
             sum(least(shared_wh, consumption_wh))::bigint as local_wh
             from community_flow where community_id = any(%(subjects)s)"""
        + _BETWEEN
    )
    return await _hours(db, statement, community_ids, first, end)


async def _hours(
    db: Connection, statement: LiteralString, subjects: Sequence[Any], first: int, end: int
) -> dict[Any, list[HourSums]]:
    cursor = await db.execute(statement, {"subjects": list(subjects), "first": first, "end": end})
    found: dict[Any, list[HourSums]] = {}
    for subject, *row in await cursor.fetchall():
        found.setdefault(subject, []).append(HourSums(**dict(zip(_HOUR_FIELDS, row, strict=True))))
    return found


async def changes_behind(
    db: Connection, scope: Scope, *, behind: Key, limit: int, subjects: Sequence[UUID] | None
) -> list[ChangeRow]:
    """Up to `limit` changes behind a key, the oldest first: of these subjects, or of all.

    A household sees its own changes and its present community's.
    """
    position, subject_id = behind
    wanted = {
        **scope.parameters(),
        "position": position,
        "subject_id": subject_id,
        "subjects": None if subjects is None else list(subjects),
        "limit": limit,
    }
    async with db.cursor(row_factory=class_row(ChangeRow)) as cursor:
        await cursor.execute(
            """select a.position, a.subject_id, a.community_id, a.is_community, a.slot, a.from_state,
                      a.to_state, a.since_slot, a.self_sufficiency_percent, a.coverage_percent, a.notify,
                      a.at, a.recorded_at, coalesce(c.closed_at, a.recorded_at) as closed_at
               from autarky_change a left join closed_slot c on c.slot = a.slot
               where (a.position, a.subject_id) > (%(position)s, %(subject_id)s)
                 and (%(subjects)s::uuid[] is null or a.subject_id = any(%(subjects)s))
                 and (%(everything)s or a.subject_id = %(own)s or a.is_community and exists (
                       select from household h where h.household_id = %(own)s
                       and h.community_id = a.subject_id))
               order by a.position, a.subject_id limit %(limit)s""",
            wanted,
        )
        return await cursor.fetchall()
