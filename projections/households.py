"""Who and what there is: households, their devices and orders, communities, consent."""

from projections.cursor import Cursor
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
    Recorded,
)
from write_side.rules.timeslots import slot_of

NAME = "households"

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


def apply(db: Cursor, recorded: Recorded) -> None:
    """What one fact changes; facts of other stories change nothing here."""
    match recorded.fact:
        case HouseholdRegistered() | CommunityFounded() | CommunityJoined() | CommunityLeft():
            _apply_belonging(db, recorded)
        case DeviceAttached() | DeviceDetached():
            _apply_device(db, recorded)
        case DeviceSwitched() | DeviceOrderAnswered() | DeviceOrderExpired():
            _apply_order(db, recorded)
        case ConsentGiven() | ConsentWithdrawn():
            _apply_consent(db, recorded)
        case AutarkyRuleSet() as fact:
            db.execute(
                """insert into autarky_rule values (%s, %s, %s, %s, %s, %s)
                   on conflict (subject_id) do update set window_slots = excluded.window_slots,
                     threshold_percent = excluded.threshold_percent, dwell_slots = excluded.dwell_slots,
                     hysteresis_points = excluded.hysteresis_points,
                     minimum_coverage_percent = excluded.minimum_coverage_percent""",
                (
                    fact.subject_id,
                    fact.window_slots,
                    fact.threshold_percent,
                    fact.hysteresis_points,
                    fact.dwell_slots,
                    fact.minimum_coverage_percent,
                ),
            )


def _apply_belonging(db: Cursor, recorded: Recorded) -> None:
    match recorded.fact:
        case HouseholdRegistered() as fact:
            db.execute(
                """insert into household (household_id, number, area_id, subscribed_power_w, latitude_deg,
                     longitude_deg, registered_at) values (%s, %s, %s, %s, %s, %s, %s)""",
                (
                    fact.household_id,
                    recorded.position,
                    fact.area_id,
                    fact.subscribed_power_w,
                    fact.latitude_deg,
                    fact.longitude_deg,
                    recorded.at,
                ),
            )
        case CommunityFounded() as fact:
            db.execute(
                "insert into community (community_id, area_id, founded_at, members) values (%s, %s, %s, 0)",
                (fact.community_id, fact.area_id, recorded.at),
            )
        case CommunityJoined() as fact:
            _join(db, fact)
        case CommunityLeft() as fact:
            _leave(db, fact)


def _join(db: Cursor, fact: CommunityJoined) -> None:
    db.execute(
        """insert into membership (household_id, community_id, from_slot) values (%s, %s, %s)
           on conflict (household_id, from_slot)
             do update set community_id = excluded.community_id, until_slot = null""",
        (fact.household_id, fact.community_id, slot_of(fact.from_slot_start)),
    )
    _move(db, fact, fact.community_id, 1)


def _leave(db: Cursor, fact: CommunityLeft) -> None:
    db.execute(
        """update membership set until_slot = %s
           where household_id = %s and community_id = %s and until_slot is null""",
        (slot_of(fact.until_slot_start), fact.household_id, fact.community_id),
    )
    _move(db, fact, None, -1)


def _move(db: Cursor, fact: CommunityJoined | CommunityLeft, now_in: object, change: int) -> None:
    db.execute("update household set community_id = %s where household_id = %s", (now_in, fact.household_id))
    db.execute(
        "update community set members = members + %s where community_id = %s", (change, fact.community_id)
    )


def _apply_device(db: Cursor, recorded: Recorded) -> None:
    match recorded.fact:
        case DeviceAttached() as fact:
            db.execute(
                """insert into device (device_id, number, household_id, kind, name, since, flexibility,
                     rated_power_w, capacity_wh, reserve_wh, efficiency_permille, tilt_deg, azimuth_deg)
                   values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
                (
                    fact.device_id,
                    recorded.position,
                    fact.household_id,
                    fact.kind,
                    fact.name,
                    fact.since,
                    fact.flexibility,
                    fact.rated_power_w,
                    fact.capacity_wh,
                    fact.reserve_wh,
                    fact.efficiency_permille,
                    fact.tilt_deg,
                    fact.azimuth_deg,
                ),
            )
        case DeviceDetached() as fact:
            db.execute("update device set until = %s where device_id = %s", (fact.until, fact.device_id))


def _apply_order(db: Cursor, recorded: Recorded) -> None:
    match recorded.fact:
        case DeviceSwitched() as fact:
            db.execute(
                """insert into device_order (position, device_id, household_id, on_, from_slot, valid_until,
                     ordered_at, status) values (%s, %s, %s, %s, %s, %s, %s, 'PENDING')""",
                (
                    recorded.position,
                    fact.device_id,
                    fact.household_id,
                    fact.on,
                    slot_of(fact.from_slot_start),
                    fact.valid_until,
                    recorded.at,
                ),
            )
        case DeviceOrderAnswered() as fact:
            _settle(db, fact.order_position, "ACCEPTED" if fact.accepted else "REFUSED", fact.reason)
            if fact.accepted:
                db.execute(
                    """update device set switched_on = device_order.on_ from device_order
                       where device_order.position = %s and device.device_id = device_order.device_id""",
                    (fact.order_position,),
                )
        case DeviceOrderExpired() as fact:
            _settle(db, fact.order_position, "EXPIRED", None)


def _settle(db: Cursor, position: int, status: str, reason: str | None) -> None:
    db.execute(
        "update device_order set status = %s, reason = %s where position = %s", (status, reason, position)
    )


def _apply_consent(db: Cursor, recorded: Recorded) -> None:
    match recorded.fact:
        case ConsentGiven() as fact:
            db.execute(
                """insert into consent (household_id, purpose, granularity, version, given_at)
                   values (%s, %s, %s, %s, %s) on conflict (household_id, purpose) do update
                   set granularity = excluded.granularity, version = excluded.version,
                       given_at = excluded.given_at""",
                (fact.household_id, fact.purpose, fact.granularity, fact.version, recorded.at),
            )
        case ConsentWithdrawn() as fact:
            db.execute(
                "delete from consent where household_id = %s and purpose = %s",
                (fact.household_id, fact.purpose),
            )
