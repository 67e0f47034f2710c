"""The autarky state of each household and community, and every change of it."""

from collections.abc import Iterator
from typing import Any

from projections.bulk_rows import NULL, array, copy_lines, nullable
from projections.database_cursor import Cursor
from projections.told_facts import Facts, Told, slot_at
from write_side.events import AutarkyChanged, AutarkyState

NAME = "autarky"
FACTS = (AutarkyChanged,)

TABLES = """
create table if not exists autarky_state (
    subject_id uuid primary key, state text not null, since_slot int not null, remembered text,
    changed_slot int not null, position bigint not null);
create table if not exists autarky_change (
    position bigint not null, subject_id uuid not null, community_id uuid, is_community bool not null,
    slot int not null, from_state text not null, to_state text not null, since_slot int not null,
    self_sufficiency_percent numeric, coverage_percent numeric not null, notify bool not null,
    at timestamptz not null, recorded_at timestamptz not null, primary key (position, subject_id));
create index if not exists autarky_change_subject on autarky_change (subject_id, position)
"""
LATER = ("autarky_state_pkey", "autarky_change_pkey", "autarky_change_subject")


def apply(db: Cursor, facts: Facts) -> None:
    """What a batch of facts changes: every change is kept, and of each subject where the last one left it."""
    _keep(db, facts)
    latest: dict[str, tuple[Any, ...]] = {}
    for told in facts.of(AutarkyChanged):
        fact = told[2].fact
        for change in fact.households:
            _note(latest, told, change)
        if fact.community is not None:
            _note(latest, told, fact.community)
    if latest:
        db.execute(
            """insert into autarky_state as held
                 (subject_id, state, since_slot, remembered, changed_slot, position)
               select * from unnest(%s::uuid[], %s::text[], %s::int[], %s::text[], %s::int[], %s::bigint[])
               on conflict (subject_id) do update set state = excluded.state,
                 since_slot = excluded.since_slot, changed_slot = excluded.changed_slot,
                 remembered = coalesce(excluded.remembered, held.remembered), position = excluded.position""",
            [array(latest), *(array(column) for column in zip(*latest.values(), strict=True))],
        )


class Afresh:
    """All changes of a log, batch by batch into empty tables without keys; the states only at the end."""

    def take(self, db: Cursor, facts: Facts) -> None:
        """Keeps every change of a batch."""
        _keep(db, facts)

    def finish(self, db: Cursor) -> None:
        """The state of each subject where its last change left it."""
        db.execute(
            """insert into autarky_state (subject_id, state, since_slot, remembered, changed_slot, position)
               select subject_id, to_state, since_slot, nullif(to_state, 'UNKNOWN'), slot, position
               from autarky_change join (
                 select subject_id, max(position) as position from autarky_change group by subject_id) last
                 using (subject_id, position)"""
        )
        db.execute(
            """update autarky_state set remembered = known.to_state
               from (select distinct on (subject_id) subject_id, to_state
                     from autarky_change join autarky_state using (subject_id)
                     where to_state <> 'UNKNOWN' and state = 'UNKNOWN'
                     order by subject_id, autarky_change.position desc) known
               where autarky_state.subject_id = known.subject_id"""
        )


def _keep(db: Cursor, facts: Facts) -> None:
    copy_lines(db, "autarky_change", _lines(facts))


def _lines(facts: Facts) -> Iterator[str]:
    for told in facts.of(AutarkyChanged):
        fact = told[2].fact
        for change in fact.households:
            yield _line(told, change, is_community=False)
        if fact.community is not None:
            yield _line(told, fact.community, is_community=True)


def _line(told: Told, change: Any, *, is_community: bool) -> str:
    position, _, stored = told
    return (
        f"{position}\t{change.subject_id}\t{stored.fact.community_id or NULL}\t{is_community}\t"
        f"{slot_at(stored.fact.slot_start)}\t{change.from_state}\t{change.to_state}\t"
        f"{slot_at(change.since_slot_start)}\t{nullable(change.self_sufficiency_percent)}\t"
        f"{change.coverage_percent}\t{change.notify}\t{stored.at}\t{stored.recorded_at}"
    )


def _note(latest: dict[str, tuple[Any, ...]], told: Told, change: Any) -> None:
    before = latest.get(change.subject_id)
    remembered = before[2] if before is not None else None
    if change.to_state != AutarkyState.UNKNOWN.value:
        remembered = change.to_state
    since, slot = slot_at(change.since_slot_start), slot_at(told[2].fact.slot_start)
    latest[change.subject_id] = (change.to_state, since, remembered, slot, told[0])
