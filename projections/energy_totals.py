"""Totals per community and per partition of the grid, moved by differences: new rows minus old rows.

A partition has one writer, and a community lies in one partition, so nobody else adds to these rows.
"""

from collections.abc import Mapping

import numpy as np

from projections.binary_copy import Array, Connection, Ints, stage
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
    moved = add_to_communities(connection, homes, "community_energy", SUM_TYPES, community, slots, sums)
    drop_empty(connection, "community_energy", moved, "reporting = 0")
    owners, slots, sums = summed(partition, slots, sums)
    columns = {"partition": owners, "slot": slots, **_named(SUM_TYPES, sums)}
    moved = _add(connection, "grid_energy", PARTITION_KEY | SUM_TYPES, columns)
    drop_empty(connection, "grid_energy", moved, "reporting = 0", "partition")


def add_to_communities(
    connection: Connection, homes: Homes, table: str, types: Mapping[str, str],
    community: Ints, slot: Ints, sums: Ints,
) -> str:  # fmt: skip
    """Adds sums[rows, types] to a table of communities; rows of no community are passed over.

    Answers the temporary table that has the keys of the rows it touched.
    """
    inside = np.flatnonzero(community != NO_COMMUNITY)
    owners, slots, sums = summed(community[inside], slot[inside], sums[inside])
    columns = {"community_id": community_uuids(homes, owners), "slot": slots, **_named(types, sums)}
    return _add(connection, table, COMMUNITY_KEY | dict(types), columns)


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


def _named(types: Mapping[str, str], sums: Ints) -> dict[str, Array]:
    return {name: sums[:, place] for place, name in enumerate(types)}


def drop_empty(
    connection: Connection, table: str, keys: str, is_empty: str, owner: str = "community_id"
) -> None:
    """Deletes the rows of these keys to which nothing contributes any more."""
    connection.execute(
        f"""delete from {table} using {keys} k
            where {table}.{owner} = k.{owner} and {table}.slot = k.slot and {table}.{is_empty}"""
    )


def _add(connection: Connection, table: str, types: Mapping[str, str], columns: Mapping[str, Array]) -> str:
    owner, _, *sums = types
    source = stage(connection, f"{table}_moved", types, columns)
    sets = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in sums)
    names = ", ".join(types)
    connection.execute(
        f"""insert into {table} as t ({names}) select {names} from {source}
            on conflict ({owner}, slot) do update set {sets}"""
    )
    return source
