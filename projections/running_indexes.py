"""Meters that send a running index: the energy of a slot is what the index gained since the slot before.

Indexes are kept as measured; the readings that follow from two neighbours are a function of both, whichever
came first, and go the way of all readings.
"""

import numpy as np

from projections.binary_copy import MISSING, Array, Connection, Ints, read_columns, stage
from projections.metered_homes import Homes
from projections.metering_tables import INDEXES, VALUES
from projections.readings import KEY_TYPES, NAMED_TYPES, Rows, merge, value_types

_NAMES = (*VALUES, *INDEXES)


def resolve(connection: Connection, homes: Homes, rows: Rows, values: Rows) -> Rows:
    """Rows of values and indexes in, and rows of values alone; rows of values out, in the stream's order.

    Indexes are stored on the way, and what follows from them comes last.
    """
    if not len(rows):
        return values
    rows = rows.in_stream_order()
    running = (rows.values[:, len(VALUES) :] != MISSING).any(axis=1)
    plain = rows.at(np.flatnonzero(~running))
    plain.values = plain.values[:, : len(VALUES)]
    if len(values):
        plain = plain.and_then(values).in_stream_order()
    if not running.any():
        return plain
    indexed = rows.at(np.flatnonzero(running))
    none_is_new = np.zeros(len(indexed), dtype=np.bool_)
    changed = merge(connection, homes, "index_reading", _NAMES, indexed, none_is_new)
    return plain.and_then(_energies(connection, homes, changed))


def _energies(connection: Connection, homes: Homes, changed: Rows) -> Rows:
    """The readings of the changed slots and of those behind them, where both edges are known."""
    keys = np.unique(
        np.concatenate([_key(changed.device, changed.slot), _key(changed.device, changed.slot + 1)])
    )
    device, slot = keys >> 32, keys & 0xFFFFFFFF
    here, is_here = _indexes(connection, homes, device, slot)
    before, is_before = _indexes(connection, homes, device, slot - 1)
    gained = here.values[:, len(VALUES) :] - before.values[:, len(VALUES) :]
    is_known = (here.values[:, len(VALUES) :] != MISSING) & (before.values[:, len(VALUES) :] != MISSING)
    is_known &= is_before[:, np.newaxis] & (gained >= 0)
    values = here.values[:, : len(VALUES)].copy()
    energies = values[:, : len(INDEXES)]
    values[:, : len(INDEXES)] = np.where(energies != MISSING, energies, np.where(is_known, gained, MISSING))
    says_something = is_here & (is_before | (values != MISSING).any(axis=1))
    resolved = Rows(
        device,
        slot,
        values,
        np.maximum(here.revision, before.revision),
        np.maximum(here.sequence, before.sequence),
        np.maximum(here.known_at, before.known_at),
    )
    return resolved.at(np.flatnonzero(says_something))


def _key(device: Ints, slot: Ints) -> Ints:
    return device << 32 | slot


def _indexes(connection: Connection, homes: Homes, device: Ints, slot: Ints) -> tuple[Rows, Array]:
    """The stored indexes of these keys, row for row, and where there are any."""
    place = {"place": np.arange(len(device)), "device": homes.devices["number"][device], "slot": slot}
    source = stage(connection, "asked", {"place": "integer", **KEY_TYPES}, place)
    types = {"place": "integer", **value_types(_NAMES), **NAMED_TYPES}
    found = read_columns(
        connection, f"select a.place, t.* from {source} a join index_reading t using (device, slot)", types
    )
    names = (*_NAMES, *NAMED_TYPES)
    lines = np.full((len(device), len(names)), MISSING, dtype=np.int64)
    lines[found["place"]] = np.stack([found[name] for name in names], axis=1)
    is_there = np.zeros(len(device), dtype=np.bool_)
    is_there[found["place"]] = True
    revision, sequence, known_at = lines[:, len(_NAMES) :].T
    return Rows(device, slot, lines[:, : len(_NAMES)], revision, sequence, known_at), is_there
