"""What people are told: one row per household and reason, unread until its household says so."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from projections.bulk_rows import array, copy_lines, nullable
from projections.database_cursor import Cursor
from projections.told_facts import Facts, Told, slot_at
from write_side.events import (
    AutarkyChanged,
    AutarkyState,
    CommunityJoined,
    CommunityLeft,
    DeviceOrderExpired,
    NotificationsRead,
    SlotsCorrected,
)

NAME = "notifications"
FACTS = (
    AutarkyChanged,
    CommunityJoined,
    CommunityLeft,
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
create index if not exists told_member_community on told_member (community_id)
"""
LATER = (
    "notification_pkey",
    "notification_household",
    "told_member_pkey",
    "told_member_community",
)

_AUTARKY_KINDS = {
    AutarkyState.REACHED.value: "AUTARKY_REACHED",
    AutarkyState.NOT_REACHED.value: "AUTARKY_LOST",
}


class _Members(Protocol):
    """Who is in which community, as far as the facts have been told."""

    def move(self, moved: Mapping[str, str | None]) -> None:
        """Puts households into the community they are in now, or into none."""

    def of(self, communities: set[str]) -> Mapping[str, Iterable[str]]:
        """The households in each of these communities, where there are any."""


def apply(db: Cursor, facts: Facts) -> None:
    """What a batch of facts tells, and what it says of who is to be told."""
    _tell_all(db, facts, _StoredMembers(db))
    seen: dict[str, int] = {}
    _note_read(seen, facts.of(NotificationsRead))
    _mark_read(db, seen)


class Afresh:
    """All notifications of a log, batch by batch into empty tables without keys.

    Who is in which community and has read how far is held in memory, some 200 bytes a household.
    """

    def __init__(self) -> None:
        self._members = _HeldMembers()
        self._seen: dict[str, int] = {}

    def take(self, db: Cursor, facts: Facts) -> None:
        """What a batch tells; nothing of it is read yet."""
        _tell_all(db, facts, self._members)
        _note_read(self._seen, facts.of(NotificationsRead))

    def finish(self, db: Cursor) -> None:
        """What has been read, and who is in which community."""
        _mark_read(db, self._seen)
        self._members.store(db)


def _tell_all(db: Cursor, facts: Facts, members: _Members) -> None:
    lines: list[str] = []
    for told in facts.of(DeviceOrderExpired):
        fact = told[2].fact
        _tell(lines, told, [fact.household_id], "ORDER_EXPIRED", None, fact.device_id, {})
    for told in facts.of(AutarkyChanged):
        _tell_households(told, lines)
    for told in facts.of(SlotsCorrected):
        _tell_correction(told, lines)
    _tell_communities(members, facts, lines)
    columns = "position, household_id, kind, at, recorded_at, slot, subject_id, body, read"
    copy_lines(db, f"notification ({columns})", lines)


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


def _tell_communities(members: _Members, facts: Facts, lines: list[str]) -> None:
    """Tells a community's change to those who are members at that moment, moves and changes in order."""
    moved: dict[str, str | None] = {}
    changed: list[Told] = []
    for told in facts.of(CommunityJoined, CommunityLeft, AutarkyChanged):
        _, kind, stored = told
        if kind != AutarkyChanged.__name__:
            if changed:
                _tell_members(members, changed, lines)
                changed = []
            fact = stored.fact
            moved[fact.household_id] = fact.community_id if kind == CommunityJoined.__name__ else None
        elif stored.fact.community is not None and stored.fact.community.notify:
            if moved:
                members.move(moved)
                moved = {}
            changed.append(told)
    if changed:
        _tell_members(members, changed, lines)
    if moved:
        members.move(moved)


def _tell_members(members: _Members, changed: Sequence[Told], lines: list[str]) -> None:
    found = members.of({told.fact.community_id for _, _, told in changed})
    for told in changed:
        fact = told[2].fact
        kind, slot = f"COMMUNITY_{_AUTARKY_KINDS[fact.community.to_state]}", slot_at(fact.slot_start)
        body = _figures(fact.community)
        _tell(lines, told, found.get(fact.community_id, ()), kind, slot, fact.community_id, body)


class _StoredMembers:
    """As the live table has them."""

    def __init__(self, db: Cursor) -> None:
        self._db = db

    def move(self, moved: Mapping[str, str | None]) -> None:
        now_in = {household: community for household, community in moved.items() if community is not None}
        if now_in:
            self._db.execute(
                """insert into told_member (household_id, community_id)
                   select * from unnest(%s::uuid[], %s::uuid[])
                   on conflict (household_id) do update set community_id = excluded.community_id""",
                (array(now_in), array(now_in.values())),
            )
        gone = moved.keys() - now_in.keys()
        if gone:
            self._db.execute("delete from told_member where household_id = any(%s)", (array(gone),))

    def of(self, communities: set[str]) -> Mapping[str, Iterable[str]]:
        rows = self._db.execute(
            "select community_id::text, household_id::text from told_member where community_id = any(%s)",
            (array(communities),),
        )
        members: dict[str, list[str]] = defaultdict(list)
        for community_id, household_id in rows:
            members[community_id].append(household_id)
        return members


class _HeldMembers:
    """In memory, while a rebuild goes through the log."""

    def __init__(self) -> None:
        self._now_in: dict[str, str] = {}
        self._members: dict[str, set[str]] = {}

    def move(self, moved: Mapping[str, str | None]) -> None:
        for household, community in moved.items():
            before = self._now_in.pop(household, None)
            if before is not None:
                self._members[before].discard(household)
            if community is not None:
                self._members.setdefault(community, set()).add(household)
                self._now_in[household] = community

    def of(self, communities: set[str]) -> Mapping[str, Iterable[str]]:
        return {community: self._members.get(community, ()) for community in communities}

    def store(self, db: Cursor) -> None:
        """Into the empty table."""
        lines = (f"{household}\t{community}" for household, community in self._now_in.items())
        copy_lines(db, "told_member (household_id, community_id)", lines)


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
        f"{_json(body)}\tfalse"
    )
    lines += [f"{position}\t{household_id}\t{rest}" for household_id in household_ids]


def _json(body: dict[str, Any]) -> str:
    """As a field of a line: of what has to be escaped there JSON holds backslashes alone."""
    return msgspec.json.encode(body).decode().replace("\\", "\\\\")


def _note_read(seen: dict[str, int], read: Sequence[Told]) -> None:
    """Up to where each household has read; nobody can have read what was told only afterwards."""
    for position, _, told in read:
        household_id = told.fact.household_id
        until = min(told.fact.up_to_position, position)
        seen[household_id] = max(until, seen.get(household_id, until))


def _mark_read(db: Cursor, seen: Mapping[str, int]) -> None:
    if seen:
        db.execute(
            """update notification set read = true
               from unnest(%s::uuid[], %s::bigint[]) as seen (household_id, up_to)
               where notification.household_id = seen.household_id and position <= seen.up_to
                 and not read""",
            (array(seen), array(seen.values())),
        )
