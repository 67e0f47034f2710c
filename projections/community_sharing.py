"""What communities share in a slot, by the key, over the members whose import and export are known."""

from dataclasses import dataclass

import numpy as np

from projections.binary_copy import Array, Connection, Ints, copy_in, read_columns, stage
from projections.energy_totals import COMMUNITY_KEY, community_uuids, drop_empty
from projections.household_balance import EXPORT, IMPORT, Balances
from projections.metered_homes import NO_COMMUNITY, Homes
from projections.metering import HOUSEHOLD_KEY, stage_keys
from write_side.rules.sharing import share

_CELLS_AT_ONCE = 4_000_000
SHARE_TYPES = {**HOUSEHOLD_KEY, "received_wh": "integer", "given_wh": "integer"}
SHARED_TYPES = {
    **COMMUNITY_KEY,
    "sharing": "integer",
    "shared_wh": "bigint",
    "from_outside_wh": "bigint",
    "to_outside_wh": "bigint",
}


@dataclass
class Shares:
    """What each key's household received from and gave to its community, Wh."""

    received: Ints
    given: Ints


def share_anew(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, rows: Balances,
    communities: Ints, slots: Ints, *, is_first: bool = False,
) -> Shares:  # fmt: skip
    """Shares the (communities, slots) anew. The keys hold every member of them, and whoever was one.

    With `is_first` nothing stands there yet.
    """
    shares = shares_by_key(homes, household, slot, rows)
    old = no_shares(len(household)) if is_first else read_shares(connection, homes, household, slot)
    differs = np.flatnonzero((old.received != shares.received) | (old.given != shares.given))
    if len(differs):
        if not is_first:
            _remove(connection, homes, household[differs], slot[differs])
        _write(connection, homes, household[differs], slot[differs], shares, differs)
    _write_communities(connection, homes, slot, rows, shares, communities, slots)
    return shares


def drop_unshared(connection: Connection, communities: Ints) -> None:
    """Deletes what `share_anew` left of these communities where nobody shares and nobody is accounted."""
    if len(communities):
        drop_empty(
            connection, "community_flow", "staged_shared", "sharing = 0 and community_flow.households = 0"
        )


def no_shares(count: int) -> Shares:
    """As many keys that neither received nor gave."""
    return Shares(np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64))


def read_shares(connection: Connection, homes: Homes, household: Ints, slot: Ints) -> Shares:
    """What stands in household_share, 0 where there is no row."""
    shares = no_shares(len(household))
    if len(household):
        source = stage_keys(connection, homes, "wanted", household, slot, np.arange(len(household)))
        found = read_columns(
            connection,
            f"select w.place, s.* from {source} w join household_share s using (household, slot)",
            {"place": "integer", "received_wh": "integer", "given_wh": "integer"},
        )
        place = found["place"]
        shares.received[place], shares.given[place] = found["received_wh"], found["given_wh"]
    return shares


def _takes_part(rows: Balances) -> Array:
    known: Array = (rows.values[:, IMPORT] >= 0) & (rows.values[:, EXPORT] >= 0)
    known &= rows.exists & (rows.community != NO_COMMUNITY)
    return known


def shares_by_key(homes: Homes, household: Ints, slot: Ints, rows: Balances) -> Shares:
    """Each community's slot is a column of the rule, its members the rows in the order of their ids."""
    shares = no_shares(len(household))
    members = np.flatnonzero(_takes_part(rows))
    owners = household[members]
    ids = homes.households["id_high"][owners], homes.households["id_low"][owners]
    key = rows.community[members] << 32 | slot[members]
    members = members[np.lexsort((ids[1], ids[0], key))]
    _, first, column, sizes = np.unique(
        rows.community[members] << 32 | slot[members],
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    rank = np.arange(len(members)) - first[column]
    for begin, end in _chunks(sizes):
        chosen = np.flatnonzero((column >= begin) & (column < end))
        part = members[chosen]
        place = rank[chosen], column[chosen] - begin
        shape = (int(sizes[begin:end].max()), end - begin)
        export, imported = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        export[place], imported[place] = rows.values[part, EXPORT], rows.values[part, IMPORT]
        shared = share(export, imported, slot[members[first[begin:end]]])
        shares.received[part], shares.given[part] = shared.received[place], shared.given[place]
    return shares


def _chunks(sizes: Ints) -> list[tuple[int, int]]:
    if not len(sizes):
        return []
    step = max(1, _CELLS_AT_ONCE // int(sizes.max()))
    return [(begin, min(begin + step, len(sizes))) for begin in range(0, len(sizes), step)]


def _remove(connection: Connection, homes: Homes, household: Ints, slot: Ints) -> None:
    source = stage_keys(connection, homes, "wanted", household, slot, np.arange(len(household)))
    connection.execute(
        f"""delete from household_share t using {source} s
            where t.household = s.household and t.slot = s.slot"""
    )


def _write(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, shares: Shares, places: Array
) -> None:
    received, given = shares.received[places], shares.given[places]
    some = np.flatnonzero((received > 0) | (given > 0))
    columns = {
        "household": homes.households["number"][household[some]],
        "slot": slot[some],
        "received_wh": received[some],
        "given_wh": given[some],
    }
    copy_in(connection, "household_share", SHARE_TYPES, columns)


def _write_communities(
    connection: Connection, homes: Homes, slot: Ints, rows: Balances, shares: Shares,
    communities: Ints, slots: Ints,
) -> None:  # fmt: skip
    """The sharing side of community_flow; its other columns are moved by the flows."""
    wanted = np.unique(communities << 32 | slots)
    if not len(wanted):
        return
    sums = shared_sums(slot, rows, shares, wanted)
    columns = {"community_id": community_uuids(homes, wanted >> 32), "slot": wanted & 0xFFFFFFFF}
    columns |= {name: sums[:, n] for n, name in enumerate(list(SHARED_TYPES)[2:])}
    source = stage(connection, "shared", SHARED_TYPES, columns)
    names = ", ".join(SHARED_TYPES)
    sets = ", ".join(f"{name} = excluded.{name}" for name in list(SHARED_TYPES)[2:])
    connection.execute(
        f"""insert into community_flow
              ({names}, households, self_supplied_wh, consumption_wh, production_wh)
            select {names}, 0, 0, 0, 0 from {source} on conflict (community_id, slot) do update set {sets}"""
    )


def shared_sums(slot: Ints, rows: Balances, shares: Shares, wanted: Ints) -> Ints:
    """The sharing columns of community_flow for keys `community << 32 | slot`, sorted."""
    part = np.flatnonzero(_takes_part(rows))
    place = np.searchsorted(wanted, rows.community[part] << 32 | slot[part])
    sums = np.zeros((len(wanted), 4), dtype=np.int64)
    received, given = shares.received[part], shares.given[part]
    outside_in, outside_out = rows.values[part, IMPORT] - received, rows.values[part, EXPORT] - given
    np.add.at(sums, place, np.stack([np.ones_like(part), received, outside_in, outside_out], axis=1))
    return sums
