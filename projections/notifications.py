"""What people are told: one row per household and reason, unread until its household says so."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from projections.bulk_rows import array, copy_lines, escaped, nullable
from projections.database_cursor import Cursor
from projections.told_facts import Facts, Told, slot_at
from write_side.events import (
    AutarkyChanged,
    AutarkyState,
    CommunityJoined,
    CommunityLeft,
    DeviceAttached,
    DeviceOrderExpired,
    NotificationsRead,
    SlotsCorrected,
)

NAME = "notifications"
FACTS = (
    AutarkyChanged,
    CommunityJoined,
    CommunityLeft,
    DeviceAttached,
    DeviceOrderExpired,
    NotificationsRead,
    SlotsCorrected,
)

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

_AUTARKY_KINDS = {
    AutarkyState.REACHED.value: "AUTARKY_REACHED",
    AutarkyState.NOT_REACHED.value: "AUTARKY_LOST",
}


def apply(db: Cursor, facts: Facts) -> None:
    """What a batch of facts tells, and what it says of who is to be told."""
    lines: list[str] = []
    _remember_devices(db, facts.of(DeviceAttached))
    _tell_expired(db, facts.of(DeviceOrderExpired), lines)
    for told in facts.of(AutarkyChanged):
        _tell_households(told, lines)
    for told in facts.of(SlotsCorrected):
        _tell_correction(told, lines)
    _tell_communities(db, facts, lines)
    columns = "position, household_id, kind, at, recorded_at, slot, subject_id, body, read"
    copy_lines(db, f"notification ({columns})", lines)
    _mark_read(db, facts.of(NotificationsRead))


def _remember_devices(db: Cursor, attached: Sequence[Told]) -> None:
    lines = (f"{told.fact.device_id}\t{escaped(told.fact.name)}" for _, _, told in attached)
    copy_lines(db, "told_device (device_id, name)", lines)


def _tell_expired(db: Cursor, expired: Sequence[Told], lines: list[str]) -> None:
    if not expired:
        return
    wanted = array(told.fact.device_id for _, _, told in expired)
    rows = db.execute("select device_id::text, name from told_device where device_id = any(%s)", (wanted,))
    names = dict(rows.fetchall())
    for told in expired:
        fact = told[2].fact
        body = {"deviceId": fact.device_id, "device": names.get(fact.device_id, "")}
        _tell(lines, told, [fact.household_id], "ORDER_EXPIRED", None, fact.device_id, body)


def _tell_households(told: Told, lines: list[str]) -> None:
    fact = told[2].fact
    slot = slot_at(fact.slot_start)
    for change in fact.households:
        if change.notify:
            kind = _AUTARKY_KINDS[change.to_state]
            _tell(lines, told, [change.subject_id], kind, slot, change.subject_id, _figures(change))


def _tell_correction(told: Told, lines: list[str]) -> None:
    fact = told[2].fact
    body = {"slots": fact.slots, "lastSlotStart": _time(fact.last_slot_start)}
    first = slot_at(fact.first_slot_start)
    _tell(lines, told, fact.household_ids, "SLOTS_CORRECTED", first, fact.community_id, body)


def _tell_communities(db: Cursor, facts: Facts, lines: list[str]) -> None:
    """Tells a community's change to those who are members at that moment, moves and changes in order."""
    moved: dict[str, str | None] = {}
    changed: list[Told] = []
    for told in facts.of(CommunityJoined, CommunityLeft, AutarkyChanged):
        _, kind, stored = told
        if kind != AutarkyChanged.__name__:
            if changed:
                _tell_members(db, changed, lines)
                changed = []
            fact = stored.fact
            moved[fact.household_id] = fact.community_id if kind == CommunityJoined.__name__ else None
        elif stored.fact.community is not None and stored.fact.community.notify:
            if moved:
                _remember_members(db, moved)
                moved = {}
            changed.append(told)
    if changed:
        _tell_members(db, changed, lines)
    if moved:
        _remember_members(db, moved)


def _remember_members(db: Cursor, moved: dict[str, str | None]) -> None:
    now_in = {household: community for household, community in moved.items() if community is not None}
    if now_in:
        db.execute(
            """insert into told_member (household_id, community_id)
               select * from unnest(%s::uuid[], %s::uuid[])
               on conflict (household_id) do update set community_id = excluded.community_id""",
            (array(now_in), array(now_in.values())),
        )
    gone = moved.keys() - now_in.keys()
    if gone:
        db.execute("delete from told_member where household_id = any(%s)", (array(gone),))


def _tell_members(db: Cursor, changed: Sequence[Told], lines: list[str]) -> None:
    rows = db.execute(
        "select community_id::text, household_id::text from told_member where community_id = any(%s)",
        (array({told.fact.community_id for _, _, told in changed}),),
    )
    members: dict[str, list[str]] = defaultdict(list)
    for community_id, household_id in rows:
        members[community_id].append(household_id)
    for told in changed:
        fact = told[2].fact
        kind, slot = f"COMMUNITY_{_AUTARKY_KINDS[fact.community.to_state]}", slot_at(fact.slot_start)
        body = _figures(fact.community)
        _tell(lines, told, members[fact.community_id], kind, slot, fact.community_id, body)


def _figures(change: Any) -> dict[str, Any]:
    return {
        "selfSufficiencyPercent": change.self_sufficiency_percent,
        "sinceSlotStart": _time(change.since_slot_start),
    }


def _time(text: str) -> str:
    """As Python writes a time in UTC."""
    return text.replace("Z", "+00:00")


def _tell(
    lines: list[str],
    told: Told,
    household_ids: Iterable[str],
    kind: str,
    slot: int | None,
    subject_id: str | None,
    body: dict[str, Any],
) -> None:
    position, _, stored = told
    rest = (
        f"{kind}\t{stored.at}\t{stored.recorded_at}\t{nullable(slot)}\t{nullable(subject_id)}\t"
        f"{escaped(json.dumps(body))}\tfalse"
    )
    lines += [f"{position}\t{household_id}\t{rest}" for household_id in household_ids]


def _mark_read(db: Cursor, read: Sequence[Told]) -> None:
    """Nobody can have read what was told only afterwards."""
    up_to: dict[str, int] = {}
    for position, _, told in read:
        household_id = told.fact.household_id
        until = min(told.fact.up_to_position, position)
        up_to[household_id] = max(until, up_to.get(household_id, until))
    if up_to:
        db.execute(
            """update notification set read = true
               from unnest(%s::uuid[], %s::bigint[]) as seen (household_id, up_to)
               where notification.household_id = seen.household_id and position <= seen.up_to
                 and not read""",
            (array(up_to), array(up_to.values())),
        )
