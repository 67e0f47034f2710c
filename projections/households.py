"""Who and what there is: households, their devices and orders, communities, consent."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from projections.bulk_rows import NULL, array, copy_lines, escaped, nullable
from projections.database_cursor import Cursor
from projections.told_facts import Facts, Told, slot_at
from write_side.events import (
    AutarkyRuleSet,
    CommunityFounded,
    CommunityJoined,
    CommunityLeft,
    ConsentGiven,
    ConsentWithdrawn,
    DeviceAttached,
    DeviceDetached,
    DeviceOrderAnswered,
    DeviceOrderExpired,
    DeviceSwitched,
    HouseholdRegistered,
)

NAME = "households"
FACTS = (
    AutarkyRuleSet,
    CommunityFounded,
    CommunityJoined,
    CommunityLeft,
    ConsentGiven,
    ConsentWithdrawn,
    DeviceAttached,
    DeviceDetached,
    DeviceOrderAnswered,
    DeviceOrderExpired,
    DeviceSwitched,
    HouseholdRegistered,
)

TABLES = """
create table if not exists household (
    household_id uuid primary key, number bigint not null, area_id uuid not null, community_id uuid,
    subscribed_power_w int not null, latitude_deg numeric not null, longitude_deg numeric not null,
    registered_at timestamptz not null);
create index if not exists household_number on household (number);
create index if not exists household_community on household (community_id, number);
create table if not exists device (
    device_id uuid primary key, number bigint not null, household_id uuid not null, kind text not null,
    name text not null, since timestamptz not null, until timestamptz, flexibility text not null,
    rated_power_w int not null, capacity_wh int not null, reserve_wh int not null,
    efficiency_permille int not null, tilt_deg int, azimuth_deg int, switched_on bool);
create index if not exists device_household on device (household_id, number);
create table if not exists device_order (
    position bigint primary key, device_id uuid not null, household_id uuid not null, on_ bool not null,
    from_slot int not null, valid_until timestamptz not null, ordered_at timestamptz not null,
    status text not null, reason text);
create index if not exists device_order_device on device_order (device_id, position);
create index if not exists device_order_pending on device_order (position) where status = 'PENDING';
create table if not exists community (
    community_id uuid primary key, area_id uuid not null, founded_at timestamptz not null,
    members int not null);
create table if not exists membership (
    household_id uuid not null, community_id uuid not null, from_slot int not null, until_slot int,
    primary key (household_id, from_slot));
create index if not exists membership_community on membership (community_id);
create table if not exists consent (
    household_id uuid not null, purpose text not null, granularity text not null, version int not null,
    given_at timestamptz not null, primary key (household_id, purpose));
create table if not exists autarky_rule (
    subject_id uuid primary key, window_slots int not null, threshold_percent numeric not null,
    hysteresis_points numeric not null, dwell_slots int not null, minimum_coverage_percent numeric not null)
"""
LATER = (
    "household_number",
    "household_community",
    "device_household",
    "device_order_device",
    "device_order_pending",
    "membership_community",
)


def apply(db: Cursor, facts: Facts) -> None:
    """What a batch of facts changes: rows that are new are copied in as they end, others are updated."""
    _apply_belonging(db, facts)
    _apply_devices(db, facts)
    _apply_orders(db, facts)
    _apply_consent(db, facts.of(ConsentGiven, ConsentWithdrawn))
    _apply_rules(db, facts.of(AutarkyRuleSet))


def _apply_belonging(db: Cursor, facts: Facts) -> None:
    moves = facts.of(CommunityJoined, CommunityLeft)
    now_in: dict[str, str | None] = {}
    members: Counter[str] = Counter()
    for _, kind, told in moves:
        is_joined = kind == CommunityJoined.__name__
        now_in[told.fact.household_id] = told.fact.community_id if is_joined else None
        members[told.fact.community_id] += 1 if is_joined else -1
    newcomers = _register(db, facts.of(HouseholdRegistered), now_in)
    if now_in:
        db.execute(
            """update household set community_id = moved.community_id
               from unnest(%s::uuid[], %s::uuid[]) as moved (household_id, community_id)
               where household.household_id = moved.household_id""",
            (array(now_in), array(now_in.values())),
        )
    _found(db, facts.of(CommunityFounded), members)
    if members:
        db.execute(
            """update community set members = members + changed.by
               from unnest(%s::uuid[], %s::int[]) as changed (community_id, by)
               where community.community_id = changed.community_id""",
            (array(members), array(members.values())),
        )
    _apply_memberships(db, moves, newcomers)


def _register(db: Cursor, registered: Sequence[Told], now_in: dict[str, str | None]) -> set[str]:
    """The households that are new, each in the community it is in at the batch's end; their ids."""

    def line(position: int, told: Any) -> str:
        fact = told.fact
        return (
            f"{fact.household_id}\t{position}\t{fact.area_id}\t"
            f"{now_in.pop(fact.household_id, None) or NULL}\t"
            f"{fact.subscribed_power_w}\t{fact.latitude_deg}\t{fact.longitude_deg}\t{told.at}"
        )

    columns = "household_id, number, area_id, community_id, subscribed_power_w, latitude_deg, longitude_deg"
    lines = (line(position, told) for position, _, told in registered)
    copy_lines(db, f"household ({columns}, registered_at)", lines)
    return {told.fact.household_id for _, _, told in registered}


def _found(db: Cursor, founded: Sequence[Told], members: "Counter[str]") -> None:
    lines = [
        f"{told.fact.community_id}\t{told.fact.area_id}\t{told.at}\t{members.pop(told.fact.community_id, 0)}"
        for _, _, told in founded
    ]
    copy_lines(db, "community (community_id, area_id, founded_at, members)", lines)


def _apply_memberships(db: Cursor, moves: Sequence[Told], newcomers: set[str]) -> None:
    """Who moved once in the batch is set in bulk, whoever moved more often one move after the other."""
    often = {household for household, n in Counter(m[2].fact.household_id for m in moves).items() if n > 1}
    fresh, joined, left, several = [], [], [], []
    for _, kind, told in moves:
        fact, is_joined = told.fact, kind == CommunityJoined.__name__
        slot = slot_at(fact.from_slot_start if is_joined else fact.until_slot_start)
        row = (fact.household_id, fact.community_id, slot)
        if fact.household_id in often:
            several.append((is_joined, row))
        elif not is_joined:
            left.append(row)
        elif fact.household_id in newcomers:
            fresh.append(f"{fact.household_id}\t{fact.community_id}\t{slot}")
        else:
            joined.append(row)
    copy_lines(db, "membership (household_id, community_id, from_slot)", fresh)
    _join(db, joined)
    _leave(db, left)
    for is_joined, row in several:
        (_join if is_joined else _leave)(db, [row])


def _join(db: Cursor, rows: Sequence[tuple[str, str, int]]) -> None:
    if rows:
        db.execute(
            """insert into membership (household_id, community_id, from_slot)
               select * from unnest(%s::uuid[], %s::uuid[], %s::int[])
               on conflict (household_id, from_slot)
                 do update set community_id = excluded.community_id, until_slot = null""",
            [array(column) for column in zip(*rows, strict=True)],
        )


def _leave(db: Cursor, rows: Sequence[tuple[str, str, int]]) -> None:
    if rows:
        db.execute(
            """update membership m set until_slot = gone.slot
               from unnest(%s::uuid[], %s::uuid[], %s::int[]) as gone (household_id, community_id, slot)
               where m.household_id = gone.household_id and m.community_id = gone.community_id
                 and m.until_slot is null""",
            [array(column) for column in zip(*rows, strict=True)],
        )


def _apply_devices(db: Cursor, facts: Facts) -> None:
    until = {told.fact.device_id: told.fact.until for _, _, told in facts.of(DeviceDetached)}

    def line(position: int, told: Any) -> str:
        fact = told.fact
        return (
            f"{fact.device_id}\t{position}\t{fact.household_id}\t{fact.kind}\t{escaped(fact.name)}\t"
            f"{fact.since}\t{until.pop(fact.device_id, NULL)}\t"
            f"{fact.flexibility}\t{fact.rated_power_w}\t{fact.capacity_wh}\t{fact.reserve_wh}\t{fact.efficiency_permille}\t"
            f"{nullable(fact.tilt_deg)}\t{nullable(fact.azimuth_deg)}"
        )

    copy_lines(
        db,
        """device (device_id, number, household_id, kind, name, since, until, flexibility, rated_power_w,
             capacity_wh, reserve_wh, efficiency_permille, tilt_deg, azimuth_deg)""",
        (line(position, told) for position, _, told in facts.of(DeviceAttached)),
    )
    if until:
        db.execute(
            """update device set until = ended.until
               from unnest(%s::uuid[], %s::timestamptz[]) as ended (device_id, until)
               where device.device_id = ended.device_id""",
            (array(until), array(until.values())),
        )


def _apply_orders(db: Cursor, facts: Facts) -> None:
    lines = []
    for position, _, told in facts.of(DeviceSwitched):
        fact = told.fact
        lines.append(
            f"{position}\t{fact.device_id}\t{fact.household_id}\t{fact.on}\t{slot_at(fact.from_slot_start)}\t"
            f"{fact.valid_until}\t{told.at}\tPENDING"
        )
    columns = "position, device_id, household_id, on_, from_slot, valid_until, ordered_at, status"
    copy_lines(db, f"device_order ({columns})", lines)
    settled: dict[int, tuple[str, str | None]] = {}
    accepted: dict[int, int] = {}
    for position, kind, told in facts.of(DeviceOrderAnswered, DeviceOrderExpired):
        fact = told.fact
        if kind == DeviceOrderExpired.__name__:
            settled[fact.order_position] = ("EXPIRED", None)
        else:
            settled[fact.order_position] = ("ACCEPTED" if fact.accepted else "REFUSED", fact.reason)
            if fact.accepted:
                accepted[fact.order_position] = position
    if settled:
        status, reasons = zip(*settled.values(), strict=True)
        db.execute(
            """update device_order set status = s.status, reason = s.reason
               from unnest(%s::bigint[], %s::text[], %s::text[]) as s (position, status, reason)
               where device_order.position = s.position""",
            (array(settled), array(status), list(reasons)),
        )
    if accepted:
        db.execute(
            """update device set switched_on = latest.on_ from (
                 select distinct on (o.device_id) o.device_id, o.on_
                 from unnest(%s::bigint[], %s::bigint[]) as a (ordered, answered)
                 join device_order o on o.position = a.ordered order by o.device_id, a.answered desc) latest
               where device.device_id = latest.device_id""",
            (array(accepted), array(accepted.values())),
        )


def _apply_consent(db: Cursor, changes: Sequence[Told]) -> None:
    latest = {(told.fact.household_id, told.fact.purpose): (kind, told) for _, kind, told in changes}
    rows: dict[bool, list[tuple[object, ...]]] = defaultdict(list)
    for (household_id, purpose), (kind, told) in latest.items():
        if kind == ConsentGiven.__name__:
            rows[True].append((household_id, purpose, told.fact.granularity, told.fact.version, told.at))
        else:
            rows[False].append((household_id, purpose))
    if rows[True]:
        db.execute(
            """insert into consent (household_id, purpose, granularity, version, given_at)
               select * from unnest(%s::uuid[], %s::text[], %s::text[], %s::int[], %s::timestamptz[])
               on conflict (household_id, purpose) do update set granularity = excluded.granularity,
                 version = excluded.version, given_at = excluded.given_at""",
            [array(column) for column in zip(*rows[True], strict=True)],
        )
    if rows[False]:
        db.execute(
            """delete from consent using unnest(%s::uuid[], %s::text[]) as gone (household_id, purpose)
               where consent.household_id = gone.household_id and consent.purpose = gone.purpose""",
            [array(column) for column in zip(*rows[False], strict=True)],
        )


def _apply_rules(db: Cursor, rules: Sequence[Told]) -> None:
    latest = {told.fact.subject_id: told.fact for _, _, told in rules}
    if not latest:
        return
    columns = (
        [getattr(fact, name) for fact in latest.values()]
        for name in (
            "subject_id",
            "window_slots",
            "threshold_percent",
            "hysteresis_points",
            "dwell_slots",
            "minimum_coverage_percent",
        )
    )
    db.execute(
        """insert into autarky_rule
           select * from unnest(%s::uuid[], %s::int[], %s::numeric[], %s::numeric[], %s::int[], %s::numeric[])
           on conflict (subject_id) do update set window_slots = excluded.window_slots,
             threshold_percent = excluded.threshold_percent, dwell_slots = excluded.dwell_slots,
             hysteresis_points = excluded.hysteresis_points,
             minimum_coverage_percent = excluded.minimum_coverage_percent""",
        [array(column) for column in columns],
    )
