"""Energy per household, community and grid: a function of the readings and the facts, kept up by differences.

`recompute` is given keys (household, slot) of which anything may have changed, in any order and as often as
one likes: it computes their rows anew and moves the totals by new minus old.
"""

from dataclasses import dataclass

import numpy as np

from projections.binary_copy import MISSING, Array, Connection, Ints, copy_in, read_columns, stage
from projections.energy_totals import add_to_totals
from projections.household_balance import ENERGY, Balances, Devices, balances, no_balances
from projections.metered_homes import Homes
from projections.metering_tables import VALUES
from projections.readings import KEY_TYPES, Rows, value_types
from projections.sealed_days import sealed_values

HOUSEHOLD_KEY = {"household": "bigint", "slot": "integer"}
ENERGY_TYPES = {
    "community": "bigint?",
    **dict.fromkeys(ENERGY[:6], "integer?"),
    "appliances_wh": "integer",
    "stored_permille_wh": "bigint?",
    "complete": "boolean",
}


@dataclass
class Recomputed:
    """The keys whose rows changed, with what stood there and what stands there now."""

    household: Ints
    slot: Ints
    old: Balances
    new: Balances


def recompute(connection: Connection, homes: Homes, household: Ints, slot: Ints, fresh: Rows) -> Recomputed:
    """Computes the rows of these keys (which may repeat) and brings the totals after them.

    `fresh` are readings just written, current for their device and slot; all others are read.
    """
    keys = np.unique(household << 32 | slot)
    household, slot = keys >> 32, keys & 0xFFFFFFFF
    seen = slot <= homes.households["newest"][household]
    old = read_balances(connection, homes, household, slot, seen)
    new = balances(homes, household, slot, _devices(connection, homes, household, slot, seen, fresh))
    differs = np.flatnonzero(
        (old.exists != new.exists)
        | (
            new.exists
            & (
                (old.community != new.community)
                | (old.complete != new.complete)
                | (old.values != new.values).any(axis=1)
            )
        )
    )
    changed = Recomputed(household[differs], slot[differs], old.at(differs), new.at(differs))
    _write(connection, homes, changed)
    if homes.open_slots is not None:
        homes.open_slots.note(homes, changed.household, changed.slot, changed.new)
    add_to_totals(connection, homes, changed.household, changed.slot, changed.old, changed.new)
    return changed


def note_newest(homes: Homes, household: Ints, slot: Ints) -> None:
    """From here on a key up to these slots may be in the tables already."""
    np.maximum.at(homes.households["newest"], household, slot)


def measured_from(connection: Connection, homes: Homes, household: int, slot: int) -> Ints:
    """The slots from `slot` on in which a household has a row."""
    number = int(homes.households["number"][household])
    found = read_columns(
        connection,
        "select slot from household_energy where household = %s and slot >= %s",
        {"slot": "integer"},
        (number, slot),
    )
    return found["slot"]


def read_balances(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, asked: Array
) -> Balances:
    """The rows that stand in household_energy, line for line; keys not asked for count as without."""
    found_balances, known = no_balances(len(household)), np.zeros(len(household), dtype=np.bool_)
    if homes.open_slots is not None and asked.any():
        found_balances, known = homes.open_slots.balances(homes, household, slot)
    places = np.flatnonzero(asked & ~known)
    if not len(places):
        return found_balances
    source = stage_keys(connection, homes, "wanted", household[places], slot[places], places)
    found = read_columns(
        connection,
        f"select w.place, e.* from {source} w join household_energy e using (household, slot)",
        {"place": "integer", **ENERGY_TYPES},
    )
    place = found["place"]
    found_balances.exists[place] = True
    found_balances.community[place] = found["community"]
    found_balances.complete[place] = found["complete"] == 1
    found_balances.values[place] = np.stack([found[name] for name in ENERGY], axis=1)
    return found_balances


def stage_keys(
    connection: Connection, homes: Homes, name: str, household: Ints, slot: Ints, place: Ints
) -> str:
    """Keys as a temporary table (place, household number, slot); its name."""
    numbers = homes.households["number"][household]
    columns = {"place": place, "household": numbers, "slot": slot}
    return stage(connection, name, {"place": "integer", **HOUSEHOLD_KEY}, columns)


def _devices(
    connection: Connection, homes: Homes, household: Ints, slot: Ints, seen: Array, fresh: Rows
) -> Devices:
    """The devices attached in each key, with their current values: fresh ones at hand, the rest read."""
    place, device = homes.attached(household, slot)
    wanted = device << 32 | slot[place]
    values = np.full((len(place), len(VALUES)), MISSING, dtype=np.int64)
    at_hand = fresh.device << 32 | fresh.slot
    order = np.argsort(at_hand)
    at_hand = np.append(at_hand[order], -1)
    found = np.searchsorted(at_hand[:-1], wanted)
    is_fresh = at_hand[found] == wanted
    values[is_fresh] = fresh.values[order[found[is_fresh]]]
    reported = is_fresh.copy()
    asked = np.flatnonzero(~is_fresh & seen[place])
    if len(asked):
        columns = {
            "place": asked,
            "device": homes.devices["number"][device[asked]],
            "slot": slot[place[asked]],
        }
        source = stage(connection, "asked", {"place": "integer", **KEY_TYPES}, columns)
        read = read_columns(
            connection,
            f"select a.place, r.* from {source} a join reading r using (device, slot)",
            {"place": "integer", **value_types(VALUES)},
        )
        values[read["place"]] = np.stack([read[name] for name in VALUES], axis=1)
        reported[read["place"]] = True
        rest = asked[~reported[asked]]
        sealed, there = sealed_values(connection, homes.devices["number"][device[rest]], slot[place[rest]])
        values[rest[sealed]], reported[rest[sealed]] = there, True
    return Devices(place, device, values, reported)


def _write(connection: Connection, homes: Homes, changed: Recomputed) -> None:
    types = {**HOUSEHOLD_KEY, **ENERGY_TYPES}
    appeared = np.flatnonzero(~changed.old.exists)
    copy_in(connection, "household_energy", types, _columns(homes, changed, appeared))
    altered = np.flatnonzero(changed.old.exists & changed.new.exists)
    if len(altered):
        source = stage(connection, "energy", types, _columns(homes, changed, altered))
        sets = ", ".join(f"{name} = s.{name}" for name in ENERGY_TYPES)
        connection.execute(
            f"""update household_energy t set {sets} from {source} s
                where t.household = s.household and t.slot = s.slot"""
        )
    gone = np.flatnonzero(~changed.new.exists)
    if len(gone):
        source = stage_keys(connection, homes, "wanted", changed.household[gone], changed.slot[gone], gone)
        connection.execute(
            f"""delete from household_energy t using {source} s
                where t.household = s.household and t.slot = s.slot"""
        )


def _columns(homes: Homes, changed: Recomputed, rows: Array) -> dict[str, Array]:
    return energy_columns(homes, changed.household[rows], changed.slot[rows], changed.new.at(rows))


def energy_columns(homes: Homes, household: Ints, slot: Ints, new: Balances) -> dict[str, Array]:
    """The columns of household_energy: HOUSEHOLD_KEY and ENERGY_TYPES."""
    return {
        "household": homes.households["number"][household],
        "slot": slot,
        "community": new.community,
        "complete": new.complete.astype(np.int64),
        **{name: new.values[:, place] for place, name in enumerate(ENERGY)},
    }
