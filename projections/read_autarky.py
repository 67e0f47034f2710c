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


async def state(db: Connection, subject_id: UUID) -> StateRow | None:
    """The state of a household or community, None before its first change."""
    async with db.cursor(row_factory=class_row(StateRow)) as cursor:
        await cursor.execute(
            "select state, since_slot, changed_slot, position from autarky_state where subject_id = %s",
            (subject_id,),
        )
        return await cursor.fetchone()


async def rule(db: Connection, subject_id: UUID) -> AutarkyRule:
    """The rule a household or community is judged by, the default where none was set."""
    async with db.cursor(row_factory=class_row(AutarkyRule)) as cursor:
        await cursor.execute(
            """select window_slots, threshold_percent, hysteresis_points, dwell_slots,
                      minimum_coverage_percent from autarky_rule where subject_id = %s""",
            (subject_id,),
        )
        return await cursor.fetchone() or AutarkyRule()


async def memberships(db: Connection, community_id: UUID) -> list[Span]:
    """When each household was a member of a community."""
    cursor = await db.execute(
        "select from_slot, until_slot from membership where community_id = %s", (community_id,)
    )
    return [Span(first, end) for first, end in await cursor.fetchall()]


_HOUR: LiteralString = (
    "extract(hour from to_timestamp(slot * 900::bigint) at time zone 'Europe/Paris')::int as local_hour"
)
_BETWEEN: LiteralString = " and slot >= %(first)s and slot < %(end)s group by local_hour order by local_hour"


async def household_hours(db: Connection, number: int, first: int, end: int) -> list[HourSums]:
    """A household's sums of the slots first <= slot < end, by local hour."""
    statement = (
        "select "
        + _HOUR
        + """, count(*) as counted, sum(consumption_wh)::bigint as consumption_wh,
             sum(production_wh)::bigint as production_wh,
             sum(pv_to_load_wh + own_battery_to_load_wh)::bigint as self_supplied_wh,
             sum(pv_to_grid_wh + own_battery_to_grid_wh)::bigint as surplus_wh,
             sum(received_to_load_wh + local_battery_to_load_wh)::bigint as local_wh
             from household_flow where household = %(subject)s"""
        + _BETWEEN
    )
    return await _hours(db, statement, number, first, end)


async def community_hours(db: Connection, community_id: UUID, first: int, end: int) -> list[HourSums]:
    """A community's sums of the slots first <= slot < end, by local hour."""
    statement = (
        "select "
        + _HOUR
        + """, sum(households)::bigint as counted, sum(consumption_wh)::bigint as consumption_wh,
             sum(production_wh)::bigint as production_wh, sum(self_supplied_wh)::bigint as self_supplied_wh,
             sum(least(to_outside_wh, production_wh))::bigint as surplus_wh,
             sum(least(shared_wh, consumption_wh))::bigint as local_wh
             from community_flow where community_id = %(subject)s"""
        + _BETWEEN
    )
    return await _hours(db, statement, community_id, first, end)


async def _hours(
    db: Connection, statement: LiteralString, subject: object, first: int, end: int
) -> list[HourSums]:
    async with db.cursor(row_factory=class_row(HourSums)) as cursor:
        await cursor.execute(statement, {"subject": subject, "first": first, "end": end})
        return await cursor.fetchall()


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
