"""What people are told: one row per household and reason, unread until its household says so."""

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from projections.cursor import Cursor
from write_side.events import (
    AutarkyChange,
    AutarkyChanged,
    AutarkyState,
    CommunityJoined,
    CommunityLeft,
    DeviceAttached,
    DeviceOrderExpired,
    NotificationsRead,
    Recorded,
    SlotsCorrected,
)
from write_side.rules.timeslots import slot_of

NAME = "notifications"

TABLES = """
create table if not exists notification (
    position bigint not null, household_id uuid not null, kind text not null, at timestamptz not null,
    recorded_at timestamptz not null, slot int, subject_id uuid, body jsonb not null, read bool not null,
    primary key (position, household_id, kind));
create index if not exists notification_household on notification (household_id, position);
create table if not exists told_member (
    household_id uuid primary key, community_id uuid not null);
create index if not exists told_member_community on told_member (community_id);
create table if not exists told_device (
    device_id uuid primary key, name text not null)
"""

_AUTARKY_KINDS = {AutarkyState.REACHED: "AUTARKY_REACHED", AutarkyState.NOT_REACHED: "AUTARKY_LOST"}


def apply(db: Cursor, recorded: Recorded) -> None:
    """What one fact changes; facts of other stories tell nobody anything."""
    match recorded.fact:
        case AutarkyChanged() as fact:
            _tell_autarky(db, recorded, fact)
        case DeviceOrderExpired() as fact:
            body = {"deviceId": str(fact.device_id), "device": _device_name(db, fact.device_id)}
            _tell(db, recorded, [fact.household_id], "ORDER_EXPIRED", None, fact.device_id, body)
        case SlotsCorrected() as fact:
            _tell_correction(db, recorded, fact)
        case NotificationsRead() as fact:
            db.execute(
                "update notification set read = true where household_id = %s and position <= %s",
                (fact.household_id, fact.up_to_position),
            )
        case _:
            _remember(db, recorded)


def _remember(db: Cursor, recorded: Recorded) -> None:
    match recorded.fact:
        case CommunityJoined() as fact:
            db.execute(
                """insert into told_member (household_id, community_id) values (%s, %s)
                   on conflict (household_id) do update set community_id = excluded.community_id""",
                (fact.household_id, fact.community_id),
            )
        case CommunityLeft() as fact:
            db.execute("delete from told_member where household_id = %s", (fact.household_id,))
        case DeviceAttached() as fact:
            db.execute(
                "insert into told_device (device_id, name) values (%s, %s)", (fact.device_id, fact.name)
            )


def _tell_autarky(db: Cursor, recorded: Recorded, fact: AutarkyChanged) -> None:
    slot = slot_of(fact.slot_start)
    for change in fact.households:
        if change.notify:
            kind = _AUTARKY_KINDS[change.to_state]
            _tell(db, recorded, [change.subject_id], kind, slot, change.subject_id, _figures(change))
    if fact.community is not None and fact.community.notify:
        members = db.execute(
            "select household_id from told_member where community_id = %s order by household_id",
            (fact.community_id,),
        ).fetchall()
        kind = f"COMMUNITY_{_AUTARKY_KINDS[fact.community.to_state]}"
        told = [row[0] for row in members]
        _tell(db, recorded, told, kind, slot, fact.community_id, _figures(fact.community))


def _figures(change: AutarkyChange) -> dict[str, Any]:
    percent = change.self_sufficiency_percent
    return {
        "selfSufficiencyPercent": None if percent is None else str(percent),
        "sinceSlotStart": change.since_slot_start.isoformat(),
    }


def _tell_correction(db: Cursor, recorded: Recorded, fact: SlotsCorrected) -> None:
    body = {"slots": fact.slots, "lastSlotStart": fact.last_slot_start.isoformat()}
    first = slot_of(fact.first_slot_start)
    _tell(db, recorded, fact.household_ids, "SLOTS_CORRECTED", first, fact.community_id, body)


def _device_name(db: Cursor, device_id: UUID) -> str:
    row = db.execute("select name from told_device where device_id = %s", (device_id,)).fetchone()
    return str(row[0]) if row else ""


def _tell(
    db: Cursor,
    recorded: Recorded,
    household_ids: Iterable[UUID],
    kind: str,
    slot: int | None,
    subject_id: UUID | None,
    body: dict[str, Any],
) -> None:
    db.execute(
        """insert into notification
             (position, household_id, kind, at, recorded_at, slot, subject_id, body, read)
           select %s, told, %s, %s, %s, %s, %s, %s::jsonb, false from unnest(%s::uuid[]) as told""",
        (
            recorded.position,
            kind,
            recorded.at,
            recorded.recorded_at,
            slot,
            subject_id,
            json.dumps(body),
            list(household_ids),
        ),
    )
