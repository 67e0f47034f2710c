"""The tables of the metering projection: what was measured (schema `intake`), and what follows from it.

`intake` is truth, written only by the metering workers and never rebuilt. A reading lies in `reading`, or
days later with others in a row of `sealed_day`, never in both. The other tables, in any schema, are a
function of the facts and of the readings alone. Slots are unix seconds // 900; households, devices and
communities are named by the position of the fact that brought them.
"""

from typing import Any

import psycopg

from projections.schemas import create_schema
from write_side.settings import PARTITIONS

NAME = "metering"
VALUES = (
    "consumption_wh",
    "production_wh",
    "grid_import_wh",
    "grid_export_wh",
    "charge_wh",
    "discharge_wh",
    "soc_wh",
    "power_w",
)
INDEXES = (
    "consumption_index_wh",
    "production_index_wh",
    "grid_import_index_wh",
    "grid_export_index_wh",
    "charge_index_wh",
    "discharge_index_wh",
)
INTAKE = "intake"
DERIVED = (
    "meter_household",
    "meter_device",
    "meter_community",
    "meter_membership",
    "household_energy",
    "community_energy",
    "grid_energy",
    "household_share",
    "household_flow",
    "community_flow",
    "metering_position",
)

_VALUES = ", ".join(f"{name} integer" for name in VALUES)
_INDEXES = ", ".join(f"{name} bigint" for name in INDEXES)
_NAMED = "revision integer not null, sequence bigint not null, known_at timestamptz not null"

_INTAKE_TABLES = f"""
create table if not exists reading (
    device bigint not null, slot integer not null, {_VALUES}, {_NAMED}, primary key (slot, device));
create index if not exists reading_sequence on reading using brin (sequence);
create table if not exists sealing_group (
    grp integer generated always as identity primary key, partition smallint not null,
    sealed_until integer not null);
create index if not exists sealing_group_sealed_until on sealing_group (sealed_until);
create table if not exists sealed_device (
    device bigint primary key, grp integer not null, newest_day integer, newest_soc_day integer)
    with (fillfactor = 50);
create index if not exists sealed_device_grp on sealed_device (grp);
create table if not exists sealed_day (
    grp integer not null, day integer not null, readings integer not null, newest_sequence bigint not null,
    measured bytea storage external not null, named bytea storage external not null, primary key (grp, day));
create index if not exists sealed_day_day on sealed_day (day);
create table if not exists superseded (
    device bigint not null, slot integer not null, {_VALUES}, {_NAMED}, superseded_at timestamptz not null);
create index if not exists superseded_device_slot on superseded (device, slot);
create table if not exists index_reading (
    device bigint not null, slot integer not null, {_VALUES}, {_INDEXES}, {_NAMED},
    primary key (device, slot));
create table if not exists kept_aside (
    partition smallint not null, sequence bigint not null, item integer not null, reason text not null,
    subject text not null, household_id uuid, device_id uuid, slot integer, raw bytea not null,
    received_at timestamptz not null);
create unique index if not exists kept_aside_item
    on kept_aside (sequence, item, slot, reason) nulls not distinct;
create index if not exists kept_aside_reason on kept_aside (reason, partition, sequence);
create index if not exists kept_aside_device on kept_aside (device_id) where reason = 'UNKNOWN_DEVICE';
create table if not exists kept_aside_dropped (
    partition smallint not null, reason text not null, dropped bigint not null,
    primary key (partition, reason));
create table if not exists mark (partition smallint primary key, slot integer not null);
create table if not exists late_change (
    partition smallint not null, sequence bigint generated always as identity, household bigint not null,
    community_id uuid, slot integer not null, consumption_wh_change bigint not null,
    production_wh_change bigint not null, noted_at timestamptz not null default now(),
    primary key (partition, sequence));
"""

_SUMS = """households integer not null, reporting integer not null, consumption_wh bigint not null,
    production_wh bigint not null, grid_import_wh bigint not null, grid_export_wh bigint not null,
    charge_wh bigint not null, discharge_wh bigint not null"""

_DERIVED_TABLES = f"""
create table if not exists metering_position (
    partition smallint primary key, facts bigint not null, stream bigint not null, stream_created timestamptz,
    first_slot integer, clock timestamptz, simulated boolean, error text);
insert into metering_position (partition, facts, stream)
    select partition, 0, 0 from generate_series(0, {PARTITIONS - 1}) partition on conflict do nothing;
create table if not exists meter_household (
    household bigint primary key, household_id uuid not null unique, partition smallint not null,
    area_id uuid not null, latitude_deg double precision not null, longitude_deg double precision not null);
create index if not exists meter_household_partition on meter_household (partition);
create table if not exists meter_device (
    device bigint primary key, device_id uuid not null unique, household bigint not null, kind text not null,
    since_slot integer not null, until_slot integer, efficiency_permille integer not null,
    capacity_wh integer not null);
create index if not exists meter_device_household on meter_device (household);
create table if not exists meter_community (
    community bigint primary key, community_id uuid not null unique, partition smallint not null);
create table if not exists meter_membership (
    household bigint not null, from_slot integer not null, until_slot integer, community bigint not null,
    community_id uuid not null, primary key (household, from_slot));
create index if not exists meter_membership_community on meter_membership (community_id);
create table if not exists household_energy (
    household bigint not null, slot integer not null, community bigint, consumption_wh integer,
    production_wh integer, grid_import_wh integer, grid_export_wh integer, charge_wh integer,
    discharge_wh integer, appliances_wh integer not null, stored_permille_wh bigint,
    complete boolean not null, primary key (household, slot));
create table if not exists community_energy (
    community_id uuid not null, slot integer not null, {_SUMS}, primary key (community_id, slot));
create table if not exists grid_energy (
    partition smallint not null, slot integer not null, {_SUMS}, primary key (partition, slot));
create index if not exists grid_energy_slot on grid_energy (slot);
create table if not exists household_share (
    household bigint not null, slot integer not null, received_wh integer not null, given_wh integer not null,
    primary key (household, slot));
create table if not exists household_flow (
    household bigint not null, slot integer not null, community bigint, consumption_wh integer not null,
    production_wh integer not null, pv_to_load_wh integer not null, pv_to_battery_wh integer not null,
    pv_to_grid_wh integer not null, grid_to_battery_wh integer not null, battery_to_load_wh integer not null,
    battery_to_grid_wh integer not null, grid_to_load_wh integer not null,
    own_battery_to_load_wh integer not null, local_battery_to_load_wh integer not null,
    own_battery_to_grid_wh integer not null, received_wh integer not null,
    received_to_load_wh integer not null, received_to_battery_wh integer not null, given_wh integer not null,
    stock_own_wh bigint not null,
    stock_local_wh bigint not null, stock_grid_wh bigint not null, carry_own_permille_wh integer not null,
    carry_local_permille_wh integer not null, carry_total_permille_wh integer not null,
    primary key (household, slot));
create index if not exists household_flow_slot on household_flow using brin (slot) with (autosummarize);
create unlogged table if not exists flow_change (household bigint not null, community bigint not null);
create table if not exists community_flow (
    community_id uuid not null, slot integer not null, sharing integer not null default 0,
    shared_wh bigint not null default 0, from_outside_wh bigint not null default 0,
    to_outside_wh bigint not null default 0, households integer not null,
    self_supplied_wh bigint not null, consumption_wh bigint not null, production_wh bigint not null,
    primary key (community_id, slot));
"""


def create_tables(connection: psycopg.Connection[Any], schema: str) -> None:
    """The derived tables, where they are missing, in a schema that is made for them."""
    create_schema(connection, schema, _DERIVED_TABLES)


def create_intake(connection: psycopg.Connection[Any]) -> None:
    """The tables of what was measured, where they are missing."""
    create_schema(connection, INTAKE, _INTAKE_TABLES)
