"""Judging as the rule says it, the plain way: every window summed afresh, one subject after the other."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import psycopg

from write_side.events import AutarkyChange, AutarkyState
from write_side.rules.autarky import AutarkyRule, Change, Standing, judge, recount, window_rate
from write_side.rules.energy import self_sufficiency_percent
from write_side.rules.timeslots import slot_start

_CENT = Decimal("0.01")
_HOUSEHOLDS = """
select subject.household_id, window_slots, coalesce(sums.own_wh, 0), coalesce(sums.consumption_wh, 0),
       coalesce(sums.counted, 0), window_slots
from (select household_id, number, coalesce(window_slots, 96) as window_slots
      from household left join autarky_rule on subject_id = household_id
      where registered_at < %(end)s) subject
left join lateral (
    select sum(pv_to_load_wh + own_battery_to_load_wh) as own_wh, sum(consumption_wh) as consumption_wh,
           count(*) as counted
    from household_flow f where f.household = subject.number
      and f.slot > %(slot)s - window_slots and f.slot <= %(slot)s) sums on true"""
_COMMUNITIES = """
select subject.community_id, window_slots, coalesce(sums.own_wh, 0), coalesce(sums.consumption_wh, 0),
       coalesce(sums.counted, 0), window_slots * members
from (select community_id, coalesce(window_slots, 96) as window_slots, members
      from (select community_id, count(*) as members from membership
            where from_slot <= %(judged)s and (until_slot is null or until_slot > %(judged)s)
            group by community_id) held left join autarky_rule on subject_id = community_id) subject
left join lateral (
    select sum(self_supplied_wh) as own_wh, sum(consumption_wh) as consumption_wh, sum(households) as counted
    from community_flow f where f.community_id = subject.community_id
      and f.slot > %(slot)s - window_slots and f.slot <= %(slot)s) sums on true"""
_RULES = """select subject_id, window_slots, threshold_percent, hysteresis_points, dwell_slots,
    minimum_coverage_percent from autarky_rule"""


def changes(connection: psycopg.Connection[Any], slot: int) -> list[AutarkyChange]:
    """What the closing of a slot changes, of households and of communities, by their ids."""
    found = [*_changes(connection, _HOUSEHOLDS, slot), *_changes(connection, _COMMUNITIES, slot)]
    return sorted(found, key=lambda change: change.subject_id)


def _changes(connection: psycopg.Connection[Any], query: str, slot: int) -> list[AutarkyChange]:
    rules = _rules(connection)
    standings = _standings(connection)
    longest = max((rule.dwell_slots for rule in rules.values()), default=2)
    windows = [_sums(connection, query, slot - back, slot) for back in range(max(longest, 2))]
    found = []
    for subject_id in windows[0]:
        rule = rules.get(subject_id, AutarkyRule())
        rates: list[Fraction | None] = [
            window_rate(*window[subject_id], rule) for window in windows[: rule.dwell_slots]
        ]
        standing = recount(standings.get(subject_id, Standing()), rates[:0:-1], rule)
        change = judge(standing, slot, rates[0], rule)[1]
        if change is not None:
            found.append(_stated(subject_id, windows[0][subject_id], change))
    return found


def _sums(
    connection: psycopg.Connection[Any], query: str, slot: int, judged: int
) -> dict[UUID, Sequence[int]]:
    given = {"slot": slot, "judged": judged, "end": slot_start(judged + 1)}
    rows = connection.execute(query.encode(), given)
    return {row[0]: [int(value) for value in row[2:]] for row in rows}


def _rules(connection: psycopg.Connection[Any]) -> dict[UUID, AutarkyRule]:
    names = list(AutarkyRule.__dataclass_fields__)
    rows = connection.execute(_RULES)
    return {row[0]: AutarkyRule(**dict(zip(names, row[1:], strict=True))) for row in rows}


def _standings(connection: psycopg.Connection[Any]) -> dict[UUID, Standing]:
    rows = connection.execute("select subject_id, state, since_slot, remembered from autarky_state")
    return {
        row[0]: Standing(
            state=AutarkyState(row[1]),
            since_slot=row[2],
            known=None if row[3] is None else AutarkyState(row[3]),
        )
        for row in rows
    }


def _stated(subject_id: UUID, sums: Sequence[int], change: Change) -> AutarkyChange:
    own_wh, consumption_wh, counted, expected = sums
    percent = self_sufficiency_percent(own_wh, consumption_wh)
    return AutarkyChange(
        subject_id=subject_id,
        from_state=change.from_state,
        to_state=change.to_state,
        since_slot_start=slot_start(change.since_slot),
        self_sufficiency_percent=None if percent is None else percent.quantize(_CENT),
        own_wh=own_wh,
        consumption_wh=consumption_wh,
        coverage_percent=(Decimal(100 * counted) / max(expected, 1)).quantize(_CENT),
        notify=change.notify,
    )
