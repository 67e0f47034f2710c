"""Settling: once a slot's mark has passed, its sharing, flows and battery colours are accounted.

What changes later in a settled slot is settled again at once. `settle` takes any set of keys of settled
slots; where a battery stands, its household's later slots follow until the stock is as it was.
"""

from dataclasses import dataclass

import numpy as np

from projections.binary_copy import MISSING, Array, Connection, Ints, copy_in, read_columns, stage
from projections.community_sharing import Shares, drop_unshared, read_shares, share_anew
from projections.energy_totals import add_to_communities
from projections.household_balance import (
    CHARGE,
    CONSUMPTION,
    DISCHARGE,
    PRODUCTION,
    STORED,
    TERMS,
    Balances,
)
from projections.metered_homes import NO_COMMUNITY, Homes
from projections.metering import HOUSEHOLD_KEY, read_balances, stage_keys
from projections.stored_colours import STOCK, carry_stock, no_discharges
from write_side.rules.energy import flows, received_to

_SLOTS_AT_ONCE = 192
FLOW_COLUMNS = (
    "consumption_wh",
    "production_wh",
    "pv_to_load_wh",
    "pv_to_battery_wh",
    "pv_to_grid_wh",
    "grid_to_battery_wh",
    "battery_to_load_wh",
    "battery_to_grid_wh",
    "grid_to_load_wh",
    "own_battery_to_load_wh",
    "local_battery_to_load_wh",
    "own_battery_to_grid_wh",
    "received_wh",
    "received_to_load_wh",
    "received_to_battery_wh",
    "given_wh",
    *STOCK,
)
_FLOW_TYPES = {
    "community": "bigint?",
    **{name: "bigint" if name.startswith("stock") else "integer" for name in FLOW_COLUMNS},
}
ACCOUNTED_TYPES = {
    "households": "integer",
    "self_supplied_wh": "bigint",
    "consumption_wh": "bigint",
    "production_wh": "bigint",
}
_CHANGE_TYPES = {"household": "bigint", "community": "bigint"}
_SELF_SUPPLIED = [
    FLOW_COLUMNS.index(name)
    for name in (
        "pv_to_load_wh",
        "received_to_load_wh",
        "own_battery_to_load_wh",
        "local_battery_to_load_wh",
    )
]
FIRST_STOCK = FLOW_COLUMNS.index(STOCK[0])


@dataclass
class FlowRows:
    """household_flow, one line a key: whether there is a row, its community, and its columns."""

    exists: Array
    community: Ints
    values: Ints


def settle(
    connection: Connection,
    homes: Homes,
    household: Ints,
    slot: Ints,
    former: Ints,
    settled_until: Ints,
    *,
    is_first: bool = False,
) -> None:
    """Accounts these keys anew. `former` is the community a key's row was counted in before.

    `settled_until[partition]` is the last slot that is settled there. With `is_first` the keys are all those
    of slots that have never been settled: nothing of theirs stands in the tables of flows and shares.
    """
    if not len(household):
        return
    now = homes.communities_at(household, slot)
    inside = np.concatenate([np.stack([now, slot]), np.stack([former, slot])], axis=1)
    communities, slots = np.unique(inside[:, inside[0] != NO_COMMUNITY], axis=1)
    place, member = homes.members(communities, slots)
    keys = np.unique(np.concatenate([household << 32 | slot, member << 32 | slots[place]]))
    household, slot = keys >> 32, keys & 0xFFFFFFFF
    rows = read_balances(connection, homes, household, slot, np.ones(len(keys), dtype=np.bool_))
    shares = share_anew(connection, homes, household, slot, rows, communities, slots, is_first=is_first)
    if is_first:
        _account(connection, homes, household, slot, rows, shares, is_first=True)
        drop_unshared(connection, communities)
        return
    battery = homes.households["battery"][household] == 1
    plain = np.flatnonzero(~battery)
    _account(connection, homes, household[plain], slot[plain], rows.at(plain), _some(shares, plain))
    with_battery = np.flatnonzero(battery)
    _follow_stock(connection, homes, household[with_battery], slot[with_battery], settled_until)
    drop_unshared(connection, communities)


def _some(shares: Shares, places: Array) -> Shares:
    return Shares(shares.received[places], shares.given[places])


def _follow_stock(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, settled_until: Ints
) -> None:
    """Accounts the keys of homes with batteries, and their later ones until the stock is unchanged."""
    owners, first = np.unique(household, return_index=True)
    begin, last_dirty = slot[first], np.zeros(len(owners), dtype=np.int64)
    np.maximum.at(last_dirty, np.searchsorted(owners, household), slot)
    while len(owners):
        until = np.minimum(begin + _SLOTS_AT_ONCE - 1, settled_until[homes.households["partition"][owners]])
        until = np.maximum(until, begin)
        keys = _measured_between(connection, homes, owners, begin, until, household, slot)
        moved = _account_stock(connection, homes, keys >> 32, keys & 0xFFFFFFFF)
        later = _first_slot_behind(connection, homes, owners, until)
        goes_on = (later <= settled_until[homes.households["partition"][owners]]) & (later != MISSING)
        goes_on &= (until < last_dirty) | np.isin(owners, moved)
        owners, begin, last_dirty = owners[goes_on], later[goes_on], last_dirty[goes_on]


def _measured_between(
    connection: Connection, homes: Homes, owners: Ints, begin: Ints, until: Ints, household: Ints, slot: Ints
) -> Ints:
    """The keys of these homes between two slots each: those with a row, and those asked for."""
    source = stage(
        connection,
        "spans",
        {"place": "integer", "household": "bigint", "begin": "integer", "until": "integer"},
        {
            "place": np.arange(len(owners)),
            "household": homes.households["number"][owners],
            "begin": begin,
            "until": until,
        },
    )
    found = read_columns(
        connection,
        f"""select s.place, e.slot from {source} s join household_energy e
              on e.household = s.household and e.slot between s.begin and s.until""",
        {"place": "integer", "slot": "integer"},
    )
    place = np.minimum(np.searchsorted(owners, household), len(owners) - 1)
    asked = (owners[place] == household) & (begin[place] <= slot) & (slot <= until[place])
    return np.unique(
        np.concatenate([owners[found["place"]] << 32 | found["slot"], household[asked] << 32 | slot[asked]])
    )


def _first_slot_behind(connection: Connection, homes: Homes, owners: Ints, until: Ints) -> Ints:
    """The next slot with a row of each home, MISSING where none follows."""
    numbers = homes.households["number"][owners]
    source = stage_keys(connection, homes, "wanted", owners, until, np.arange(len(numbers)))
    found = read_columns(
        connection,
        f"""select place, (select min(e.slot) from household_energy e
                           where e.household = w.household and e.slot > w.slot) as slot from {source} w""",
        {"place": "integer", "slot": "integer?"},
    )
    later = np.empty(len(owners), dtype=np.int64)
    later[found["place"]] = found["slot"]
    return later


def _account_stock(connection: Connection, homes: Homes, household: Ints, slot: Ints) -> Ints:
    """Accounts keys of homes with batteries, sorted; answers the homes whose last stock moved."""
    rows = read_balances(connection, homes, household, slot, np.ones(len(household), dtype=np.bool_))
    shares = read_shares(connection, homes, household, slot)
    return _account(connection, homes, household, slot, rows, shares)


def _account(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, rows: Balances, shares: Shares,
    *, is_first: bool = False,
) -> Ints:  # fmt: skip
    """Writes the flows of these keys and moves the communities by new minus old; keys are sorted.

    Answers the households whose stock after their last key is not what it was.
    """
    if not len(household):
        return household
    old = _no_flows(len(household)) if is_first else _read_flows(connection, homes, household, slot)
    new = _flows(connection, homes, household, slot, rows, shares)
    differs = np.flatnonzero(
        (old.exists != new.exists)
        | (new.exists & ((old.community != new.community) | (old.values != new.values).any(axis=1)))
    )
    _write_flows(connection, homes, household, slot, new, differs, old.exists[differs])
    if not is_first:
        _note_changed(connection, homes, household[differs], old.community[differs], new.community[differs])
    sums = np.concatenate([accounted(new), -accounted(old)])
    add_to_communities(
        connection,
        homes,
        "community_flow",
        ACCOUNTED_TYPES,
        np.concatenate([new.community, old.community]),
        np.concatenate([slot, slot]),
        sums,
    )
    return _moved_stock(household, old, new)


def _note_changed(connection: Connection, homes: Homes, household: Ints, old: Ints, new: Ints) -> None:
    """Whose flows are others in slots that were settled before, for those who keep sums of them."""
    if len(household):
        numbers = homes.households["number"][household]
        pairs = np.concatenate([np.stack([numbers, old]), np.stack([numbers, new])], axis=1)
        changed = dict(zip(_CHANGE_TYPES, np.unique(pairs, axis=1), strict=True))
        copy_in(connection, "flow_change", _CHANGE_TYPES, changed)


def _moved_stock(household: Ints, old: FlowRows, new: FlowRows) -> Ints:
    stands = np.flatnonzero(new.exists)
    owners = household[stands]
    is_last = np.append(owners[:-1] != owners[1:], True)[: len(owners)]
    moved = (old.values[stands, FIRST_STOCK:] != new.values[stands, FIRST_STOCK:]).any(axis=1)
    return np.concatenate([owners[is_last & moved], household[old.exists != new.exists]])


def _flows(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, rows: Balances, shares: Shares
) -> FlowRows:
    start = np.zeros((len(household), len(STOCK)), dtype=np.int64)
    if homes.households["battery"][household].any():
        start = _stock_before(connection, homes, household, slot)
    return flow_rows(homes, household, slot, rows, shares, start)


def flow_rows(
    homes: Homes, household: Ints, slot: Ints, rows: Balances, shares: Shares, start: Ints
) -> FlowRows:
    """The flows of these keys, sorted; `start` has at each the stock before its household's first one."""
    known = rows.exists & (rows.values[:, :TERMS] != MISSING).all(axis=1)
    values = np.full((len(household), len(FLOW_COLUMNS)), MISSING, dtype=np.int64)
    at = np.flatnonzero(known)
    terms = rows.values[at]
    flow = flows(terms[:, PRODUCTION], terms[:, CONSUMPTION], terms[:, CHARGE], terms[:, DISCHARGE])
    received, given = shares.received[at], shares.given[at]
    to_load, to_battery = received_to(flow, received)
    discharges = no_discharges(len(at))
    if homes.households["battery"][household[at]].any():
        discharges = carry_stock(
            homes, household[at], slot[at], flow, terms[:, STORED], to_battery, start[at]
        )
    columns = [
        terms[:, CONSUMPTION], terms[:, PRODUCTION], flow.pv_to_load, flow.pv_to_battery, flow.pv_to_grid,
        flow.grid_to_battery, flow.battery_to_load, flow.battery_to_grid, flow.grid_to_load,
        discharges.own_to_load, discharges.local_to_load, discharges.own_to_grid,
        received, to_load, to_battery, given,
    ]  # fmt: skip
    values[at] = np.concatenate([np.stack(columns, axis=1), discharges.stock], axis=1)
    return FlowRows(known, np.where(known, rows.community, MISSING), values)


def _stock_before(connection: Connection, homes: Homes, household: Ints, slot: Ints) -> Ints:
    """The stock before each household's first key, at all its keys; 0 where none is known.

    What stands at the keys themselves is about to be written anew and tells nothing.
    """
    _, first, owner = np.unique(household, return_index=True, return_inverse=True)
    source = stage_keys(connection, homes, "wanted", household[first], slot[first], first)
    columns = ", ".join(STOCK)
    found = read_columns(
        connection,
        f"""select w.place, f.* from {source} w cross join lateral (
              select {columns} from household_flow f
              where f.household = w.household and f.slot < w.slot order by f.slot desc limit 1) f""",
        {"place": "integer", **{name: _FLOW_TYPES[name] for name in STOCK}},
    )
    start = np.zeros((len(household), len(STOCK)), dtype=np.int64)
    start[found["place"]] = np.stack([found[name] for name in STOCK], axis=1)
    return start[first[owner]]


def accounted(rows: FlowRows) -> Ints:
    """What each row adds to its community, a line of ACCOUNTED_TYPES; zeros where there is no row."""
    supplied = rows.values[:, _SELF_SUPPLIED].sum(axis=1)
    lines = np.stack([np.ones_like(supplied), supplied, rows.values[:, 0], rows.values[:, 1]], axis=1)
    return np.where(rows.exists[:, np.newaxis], lines, 0)


def _no_flows(count: int) -> FlowRows:
    values = np.full((count, len(FLOW_COLUMNS)), MISSING, dtype=np.int64)
    return FlowRows(np.zeros(count, dtype=np.bool_), np.full(count, MISSING, dtype=np.int64), values)


def _read_flows(connection: Connection, homes: Homes, household: Ints, slot: Ints) -> FlowRows:
    standing = _no_flows(len(household))
    source = stage_keys(connection, homes, "wanted", household, slot, np.arange(len(household)))
    found = read_columns(
        connection,
        f"select w.place, f.* from {source} w join household_flow f using (household, slot)",
        {"place": "integer", **_FLOW_TYPES},
    )
    place = found["place"]
    standing.exists[place] = True
    standing.community[place] = found["community"]
    standing.values[place] = np.stack([found[name] for name in FLOW_COLUMNS], axis=1)
    return standing


def _write_flows(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, new: FlowRows, differs: Ints,
    stood: Array,
) -> None:  # fmt: skip
    gone = differs[stood]
    if len(gone):
        source = stage_keys(connection, homes, "wanted", household[gone], slot[gone], gone)
        connection.execute(
            f"""delete from household_flow t using {source} s
                where t.household = s.household and t.slot = s.slot"""
        )
    rows = differs[new.exists[differs]]
    copy_flows(connection, homes, household, slot, new, rows)


def copy_flows(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, new: FlowRows, rows: Ints
) -> None:
    """Appends these rows of `new` to the table."""
    columns = {
        "household": homes.households["number"][household[rows]],
        "slot": slot[rows],
        "community": new.community[rows],
        **{name: new.values[rows, place] for place, name in enumerate(FLOW_COLUMNS)},
    }
    copy_in(connection, "household_flow", HOUSEHOLD_KEY | _FLOW_TYPES, columns)
