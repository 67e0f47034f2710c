"""Days that are over: their readings leave `reading` for one row of bytes per day and group of devices.

A group keeps its devices for life; all devices of a household are in one. Everything of a group before
`sealed_until` is sealed. What comes for such a day later lies as a row beside it, and what it replaces comes
out as a row first; then the group's turn comes anew. Only the worker that owns the partition seals and opens.
"""

from collections.abc import Callable, Sequence

import numpy as np

from projections.binary_copy import MISSING, Array, Connection, Ints, copy_in, read_columns, stage
from projections.day_codec import DAY_SLOTS, NAMED, DayReadings, decode, decode_measured, encode
from projections.metered_homes import Homes
from projections.metering_tables import VALUES
from projections.readings import KEY_TYPES, NAMED_TYPES, value_types

MOST_DEVICES = 256
_TYPES = KEY_TYPES | value_types(VALUES) | NAMED_TYPES
_SOC = VALUES.index("soc_wh")
_ASSIGNED_TYPES = {"device": "bigint", "grp": "integer"}


def assign_groups(connection: Connection, homes: Homes, partition: int, before: int) -> None:
    """Gives a group to the partition's devices that are measured before this slot and have none."""
    devices = homes.devices
    ours = np.flatnonzero(homes.households["partition"][devices["household"]] == partition)
    numbers = devices["number"][ours]
    found = read_columns(
        connection,
        """select device, grp from sealed_device join sealing_group using (grp) where partition = %s""",
        _ASSIGNED_TYPES,
        (partition,),
    )
    lacking = ours[(devices["since"][ours] < before) & ~np.isin(numbers, found["device"])]
    if not len(lacking):
        return
    group_of = np.full(homes.households.count, MISSING, dtype=np.int64)
    order = np.argsort(numbers)
    grouped = ours[order[np.searchsorted(numbers[order], found["device"])]]
    group_of[devices["household"][grouped]] = found["grp"]
    households, size = np.unique(devices["household"][lacking], return_counts=True)
    strangers = group_of[households] == MISSING
    connection.execute(  # what the new device of a grouped household has may lie before
        "update sealing_group set sealed_until = 0 where grp = any(%s)",
        (np.unique(group_of[households[~strangers]]).tolist(),),
    )
    made = _made_groups(connection, homes, partition, before, households[strangers], size[strangers])
    group_of[households[strangers]] = made
    joined = group_of[devices["household"][lacking]]
    columns = {"device": devices["number"][lacking], "grp": joined}
    copy_in(connection, "sealed_device", _ASSIGNED_TYPES, columns)


def _made_groups(
    connection: Connection, homes: Homes, partition: int, before: int, households: Ints, size: Ints
) -> Ints:
    """New groups for these households, neighbours of a community together; the group of each."""
    community = homes.communities_at(households, np.full(len(households), before - 1))
    order = np.lexsort((homes.households["number"][households], community))
    ends = np.cumsum(size[order])
    part = np.empty(len(households), dtype=np.int64)
    part[order] = (ends - size[order]) // MOST_DEVICES
    _, part = np.unique(part, return_inverse=True)
    numbers = connection.execute(
        """insert into sealing_group (partition, sealed_until)
           select %s, %s from generate_series(1, %s) returning grp""",
        (partition, 0, int(part.max(initial=-1)) + 1),
    ).fetchall()
    made: Ints = np.array([row[0] for row in numbers], dtype=np.int64)[part]
    return made


def seal_next(connection: Connection, partition: int, before: int) -> int | None:
    """Seals the oldest open day of one group of the partition, whole days before this slot.

    Answers the readings it sealed, None where every group is sealed that far. One transaction, a tenth of a
    second at most.
    """
    row = connection.execute(
        """select grp, sealed_until from sealing_group where partition = %s and sealed_until < %s
           order by sealed_until, grp limit 1""",
        (partition, before),
    ).fetchone()
    if row is None:
        return None
    group, since = int(row[0]), int(row[1])
    oldest = connection.execute(
        """select min(oldest) from (
             select (select min(slot) from reading where device = asked.device and slot >= %s and slot < %s)
             from sealed_device asked where grp = %s) found (oldest)""",
        (since, before, group),
    ).fetchone()
    if oldest is None or oldest[0] is None:
        connection.execute("update sealing_group set sealed_until = %s where grp = %s", (before, group))
        return 0
    return _seal_day(connection, group, int(oldest[0]) // DAY_SLOTS)


def _seal_day(connection: Connection, group: int, day: int) -> int:
    order = connection.execute(
        """select device from sealed_device join meter_device using (device) where grp = %s
           order by household, device""",
        (group,),
    ).fetchall()
    devices = np.array(order, dtype=np.int64).reshape(-1)
    among = "where device = any(%s) and slot >= %s and slot < %s"
    key = (devices.tolist(), day * DAY_SLOTS, (day + 1) * DAY_SLOTS)
    readings = _rows(read_columns(connection, f"select * from reading {among}", _TYPES, key))
    connection.execute(f"delete from reading {among}", key)
    count = len(readings)
    for measured, named in _taken_out(connection, group, day):
        readings = readings.and_then(decode(measured, named))
    by_number = np.argsort(devices)
    rank = by_number[np.searchsorted(devices[by_number], readings.device)]
    readings = readings.at(np.lexsort((readings.slot, rank)))
    _put_in(connection, group, day, readings)
    with_soc = np.unique(readings.device[readings.values[:, _SOC] != MISSING])
    connection.execute(
        """update sealed_device set newest_day = greatest(newest_day, %(day)s),
             newest_soc_day = greatest(newest_soc_day, case when device = any(%(with_soc)s) then %(day)s end)
           where device = any(%(devices)s)""",
        {"day": day, "with_soc": with_soc.tolist(), "devices": np.unique(readings.device).tolist()},
    )
    connection.execute(
        "update sealing_group set sealed_until = %s where grp = %s", ((day + 1) * DAY_SLOTS, group)
    )
    return count


def reopen(connection: Connection, devices: Ints, slot: Ints) -> None:
    """Makes rows again of what is sealed of these keys (device numbers), so that it can be merged."""
    late = _late(connection, slot)
    if not len(late):
        return
    devices, slot = devices[late], slot[late]
    source = _stage_days(connection, devices, slot)
    asked = f"select distinct grp, day from {source} join sealed_device using (device)"
    numbers = np.unique(devices)
    keys = np.searchsorted(numbers, devices) << 32 | slot

    def is_asked(sealed: DayReadings) -> Array:
        rank = np.minimum(np.searchsorted(numbers, sealed.device), len(numbers) - 1)
        found: Array = np.isin(rank << 32 | sealed.slot, keys)
        found &= numbers[rank] == sealed.device
        return found

    _open(connection, connection.execute(asked).fetchall(), is_asked)


def reopen_since(connection: Connection, device: int, slot: int) -> None:
    """Makes rows again of what is sealed of a device (number) from a slot on."""
    pairs = connection.execute(
        """select grp, day from sealed_day join sealed_device using (grp)
           where device = %s and day >= %s and day <= newest_day""",
        (device, slot // DAY_SLOTS),
    ).fetchall()
    _open(connection, pairs, lambda sealed: (sealed.device == device) & (sealed.slot >= slot))


def sealed_values(connection: Connection, devices: Ints, slot: Ints) -> tuple[Ints, Ints]:
    """What is sealed of these keys (device numbers): the places of those there are, and their VALUES."""
    nothing = np.empty(0, dtype=np.int64), np.empty((0, len(VALUES)), dtype=np.int64)
    late = _late(connection, slot)
    if not len(late):
        return nothing
    source = _stage_days(connection, devices[late], slot[late])
    blocks = connection.execute(
        f"""select measured from sealed_day where (grp, day) in (
              select grp, day from {source} join sealed_device using (device))""",
        binary=True,
    ).fetchall()
    if not blocks:
        return nothing
    numbers, owner = np.unique(devices[late], return_inverse=True)
    found = [decode_measured(measured, numbers) for (measured,) in blocks]
    keys = np.concatenate([np.searchsorted(numbers, one.device) << 32 | one.slot for one in found])
    order = np.argsort(keys)
    wanted = owner << 32 | slot[late]
    at = np.searchsorted(keys[order], wanted)
    is_there = np.append(keys[order], MISSING)[at] == wanted
    values = np.concatenate([one.values for one in found])
    return late[is_there], values[order[at[is_there]]]


def _late(connection: Connection, slot: Ints) -> Ints:
    """The places of slots that lie before the last one that is sealed, or is to be."""
    if not len(slot):
        return slot
    row = connection.execute(
        """select greatest((select max(sealed_until) from sealing_group),
                           ((select max(day) from sealed_day) + 1) * 96)"""
    ).fetchone()
    return np.flatnonzero(slot < (0 if row is None or row[0] is None else int(row[0])))


def _stage_days(connection: Connection, devices: Ints, slot: Ints) -> str:
    keys = np.unique(np.stack([devices, slot // DAY_SLOTS]), axis=1)
    types = {"device": "bigint", "day": "integer"}
    return stage(connection, "days", types, {"device": keys[0], "day": keys[1]})


def _open(
    connection: Connection, pairs: Sequence[tuple[int, int]], is_asked: Callable[[DayReadings], Array]
) -> None:
    """Moves the readings asked for out of sealed days of (group, day); the groups' turn comes anew."""
    connection.cursor().executemany(
        "update sealing_group set sealed_until = least(sealed_until, %s) where grp = %s",
        [(day * DAY_SLOTS, group) for group, day in pairs],
    )
    for pair in pairs:
        for measured, named in _taken_out(connection, *pair):
            sealed = decode(measured, named)
            asked = is_asked(sealed)
            copy_in(connection, "reading", _TYPES, _columns(sealed.at(np.flatnonzero(asked))))
            _put_in(connection, *pair, sealed.at(np.flatnonzero(~asked)))


def _taken_out(connection: Connection, group: int, day: int) -> Sequence[tuple[bytes, bytes]]:
    """Deletes a sealed day, where there is one, and answers it: measured, named."""
    return connection.execute(
        "delete from sealed_day where grp = %s and day = %s returning measured, named",
        (group, day),
        binary=True,
    ).fetchall()


def _put_in(connection: Connection, group: int, day: int, readings: DayReadings) -> None:
    if len(readings):
        newest = int(readings.named[:, NAMED.index("sequence")].max())
        connection.execute(
            "insert into sealed_day values (%s, %s, %s, %s, %s, %s)",
            (group, day, len(readings), newest, *encode(readings)),
        )


def _rows(found: dict[str, Ints]) -> DayReadings:
    values = np.stack([found[name] for name in VALUES], axis=1)
    return DayReadings(
        found["device"], found["slot"], values, np.stack([found[name] for name in NAMED], axis=1)
    )


def _columns(readings: DayReadings) -> dict[str, Ints]:
    values = {name: readings.values[:, place] for place, name in enumerate(VALUES)}
    named = {name: readings.named[:, place] for place, name in enumerate(NAMED)}
    return {"device": readings.device, "slot": readings.slot, **values, **named}
