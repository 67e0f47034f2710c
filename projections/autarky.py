"""The autarky state of each household and community, and every change of it."""

from uuid import UUID

from projections.cursor import Cursor
from write_side.events import AutarkyChange, AutarkyChanged, AutarkyState, Recorded
from write_side.rules.timeslots import slot_of

NAME = "autarky"

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


def apply(db: Cursor, recorded: Recorded) -> None:
    """What one fact changes; facts of other stories change nothing here."""
    if not isinstance(recorded.fact, AutarkyChanged):
        return
    fact = recorded.fact
    for change in fact.households:
        _change(db, recorded, fact.community_id, change, is_community=False)
    if fact.community is not None:
        _change(db, recorded, fact.community_id, fact.community, is_community=True)


def _change(
    db: Cursor, recorded: Recorded, community_id: UUID | None, change: AutarkyChange, *, is_community: bool
) -> None:
    assert isinstance(recorded.fact, AutarkyChanged)
    slot, since_slot = slot_of(recorded.fact.slot_start), slot_of(change.since_slot_start)
    db.execute(
        """insert into autarky_change (position, subject_id, community_id, is_community, slot, from_state,
             to_state, since_slot, self_sufficiency_percent, coverage_percent, notify, at, recorded_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            recorded.position,
            change.subject_id,
            community_id,
            is_community,
            slot,
            change.from_state,
            change.to_state,
            since_slot,
            change.self_sufficiency_percent,
            change.coverage_percent,
            change.notify,
            recorded.at,
            recorded.recorded_at,
        ),
    )
    remembered = None if change.to_state is AutarkyState.UNKNOWN else change.to_state
    db.execute(
        """insert into autarky_state as held
             (subject_id, state, since_slot, remembered, changed_slot, position)
           values (%s, %s, %s, %s, %s, %s)
           on conflict (subject_id) do update set state = excluded.state, since_slot = excluded.since_slot,
             remembered = coalesce(excluded.remembered, held.remembered),
             changed_slot = excluded.changed_slot, position = excluded.position""",
        (change.subject_id, change.to_state, since_slot, remembered, slot, recorded.position),
    )
