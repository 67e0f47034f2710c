"""Totals per community and per partition of the grid, moved by differences: new rows minus old rows.

A partition has one writer, and a community lies in one partition, so nobody else adds to these rows.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from projections.binary_copy import Array, BinaryArray, Connection, Ints, given
from projections.household_balance import ENERGY, TERMS, Balances
from projections.metered_homes import NO_COMMUNITY, Homes

COMMUNITY_KEY = {"community_id": "uuid", "slot": "integer"}
PARTITION_KEY = {"partition": "smallint", "slot": "integer"}
SUM_TYPES = {"households": "integer", "reporting": "integer", **dict.fromkeys(ENERGY[:TERMS], "bigint")}


def add_to_totals(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, old: Balances, new: Balances
) -> None:
    """Moves the community's and the grid's rows from old to new."""
    slots = np.concatenate([slot, slot])
    sums = np.concatenate([contribution(new), -contribution(old)])
    community = np.concatenate([new.community, old.community])
    partition = homes.households["partition"][np.concatenate([household, household])]
    inside = np.flatnonzero(community != NO_COMMUNITY)
    owners, places, moved = summed(community[inside], slots[inside], sums[inside])
    ids = community_uuids(homes, owners)
    _move(connection, "community_energy", COMMUNITY_KEY, ids, places, moved)
    _move(connection, "grid_energy", PARTITION_KEY, *summed(partition, slots, sums))


def add_to_communities(
    connection: Connection, homes: Homes, table: str, types: Mapping[str, str],
    community: Ints, slot: Ints, sums: Ints,
) -> None:  # fmt: skip
    """Adds sums[rows, types] to a table of communities; rows of no community are passed over."""
    inside = np.flatnonzero(community != NO_COMMUNITY)
    owners, slots, sums = summed(community[inside], slot[inside], sums[inside])
    _add(connection, table, COMMUNITY_KEY, types, community_uuids(homes, owners), slots, sums)


def community_uuids(homes: Homes, communities: Ints) -> Array:
    """The ids of community numbers, as bytes."""
    numbers, places = np.unique(communities, return_inverse=True)
    ids = np.array([homes.community_ids[number].bytes for number in numbers.tolist()], dtype="V16")
    return ids[places]


def summed(owner: Ints, slot: Ints, values: Ints) -> tuple[Ints, Ints, Ints]:
    """values[rows, columns] summed per owner and slot; sums that are all zero are left out."""
    keys, group = np.unique(owner << 32 | slot, return_inverse=True)
    sums = np.zeros((len(keys), values.shape[1]), dtype=np.int64)
    np.add.at(sums, group, values)
    moved = (sums != 0).any(axis=1)
    return keys[moved] >> 32, keys[moved] & 0xFFFFFFFF, sums[moved]


def contribution(rows: Balances) -> Ints:
    """What each row adds to the totals, a line of SUM_TYPES; zeros where there is no row."""
    known = np.maximum(rows.values[:, :TERMS], 0)
    counts = np.stack([rows.complete, np.ones_like(rows.complete)], axis=1).astype(np.int64)
    lines: Ints = np.where(rows.exists[:, np.newaxis], np.concatenate([counts, known], axis=1), 0)
    return lines


def drop_empty(
    connection: Connection, table: str, keys: str, is_empty: str, owner: str = "community_id",
    params: Sequence[BinaryArray] = (),
) -> None:  # fmt: skip
    """Deletes the rows of these keys, a table or a query, to which nothing contributes any more."""
    connection.execute(
        f"""delete from {table} using {keys} k
            where {table}.{owner} = k.{owner} and {table}.slot = k.slot and {table}.{is_empty}""",
        params or None,
    )


def _move(
    connection: Connection, table: str, key: Mapping[str, str], owners: Array, slots: Ints, sums: Ints
) -> None:
    """Adds a line of SUM_TYPES to each row; only a row that loses a report can be empty then."""
    _add(connection, table, key, SUM_TYPES, owners, slots, sums)
    loses = np.flatnonzero(sums[:, list(SUM_TYPES).index("reporting")] < 0)
    if len(loses):
        owner, _ = key
        keys, params = given(key, {owner: owners[loses], "slot": slots[loses]})
        drop_empty(connection, table, keys, "reporting = 0", owner, params)


def _add(
    connection: Connection, table: str, key: Mapping[str, str], types: Mapping[str, str],
    owners: Array, slots: Ints, sums: Ints,
) -> None:  # fmt: skip
    if not len(slots):
        return
    owner, _ = key
    columns = {owner: owners, "slot": slots} | {name: sums[:, place] for place, name in enumerate(types)}
    source, params = given({**key, **types}, columns)
    sets = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in types)
    names = ", ".join([*key, *types])
    connection.execute(
        f"""insert into {table} as t ({names}) select {names} from {source} moved
            on conflict ({owner}, slot) do update set {sets}""",
        params,
    )
