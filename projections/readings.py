"""From arrivals to the table of readings: judged one by one, then the newest of each device and slot kept.

A reading is named by device and slot. A higher revision wins, at equal revision the later one in the stream;
the same values again are no reading. What was replaced, or came behind, goes to `superseded`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID

import numpy as np

from projections.binary_copy import Array, Connection, Ints, copy_in, read_columns, stage
from projections.kept_aside import (
    FUTURE,
    NEGATIVE,
    UNKNOWN_DEVICE,
    WRONG_SUBJECT,
    Kept,
    from_readings,
    from_unusable,
)
from projections.metered_homes import Homes
from projections.metering_tables import VALUES
from projections.reading_messages import Arrivals, IntakeMessage, Item
from write_side.rules.timeslots import SLOT_SECONDS

_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_REASONS = ("", WRONG_SUBJECT, NEGATIVE, FUTURE, UNKNOWN_DEVICE)
_OK, _WRONG_SUBJECT, _NEGATIVE, _FUTURE, _UNKNOWN = range(len(_REASONS))
_NONE = -1


@dataclass
class Rows:
    """Readings as columns; `device` is an index of Homes, times are PostgreSQL's microseconds."""

    device: Ints
    slot: Ints
    values: Ints
    revision: Ints
    sequence: Ints
    known_at: Ints

    def __len__(self) -> int:
        return len(self.device)

    def at(self, places: Array) -> "Rows":
        """The rows at these places."""
        return Rows(
            self.device[places],
            self.slot[places],
            self.values[places],
            self.revision[places],
            self.sequence[places],
            self.known_at[places],
        )

    def in_stream_order(self) -> "Rows":
        """The rows by their message's sequence; those of one message stay as they are."""
        if (self.sequence[1:] >= self.sequence[:-1]).all():
            return self
        return self.at(np.argsort(self.sequence, kind="stable"))

    def and_then(self, others: "Rows") -> "Rows":
        """These rows and then others."""
        return Rows(
            np.concatenate([self.device, others.device]),
            np.concatenate([self.slot, others.slot]),
            np.concatenate([self.values, others.values]),
            np.concatenate([self.revision, others.revision]),
            np.concatenate([self.sequence, others.sequence]),
            np.concatenate([self.known_at, others.known_at]),
        )


def no_rows(width: int) -> Rows:
    """None, with as many columns of values."""
    nothing = np.empty(0, dtype=np.int64)
    return Rows(nothing, nothing, nothing.reshape(0, width), nothing, nothing, nothing)


def microseconds(at: datetime) -> int:
    """A time as PostgreSQL stores it."""
    since = at - _POSTGRES_EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def slot_start_microseconds(slot: Ints) -> Ints:
    """The times at which slots begin, as PostgreSQL stores them."""
    return slot * (SLOT_SECONDS * 1_000_000) - 946_684_800 * 1_000_000


def sift(
    connection: Connection, homes: Homes, arrivals: Arrivals, clock: datetime | None
) -> tuple[Rows, list[Kept]]:
    """The usable readings in the stream's order, and the others with their reason.

    `clock` is the simulated clock's time; None on the wall clock, where the stream's own time counts.
    """
    kept = [from_unusable(part) for part in arrivals.unusable]
    item, slot, values = arrivals.columns()
    found, household, judged = _judge(homes, arrivals.items)
    _find_strangers(connection, arrivals.items, household, judged)
    device, verdict = found[item], judged[item]
    known_at = np.array([microseconds(one.message.known_at) for one in arrivals.items], dtype=np.int64)[item]
    now = known_at if clock is None else np.full(len(item), microseconds(clock))
    verdict = np.where(verdict == _OK, _UNKNOWN * ~is_attached(homes, device, slot), verdict)
    starts = slot_start_microseconds(slot)
    verdict = np.where((verdict != _WRONG_SUBJECT) & (starts > now), _FUTURE, verdict)
    verdict = np.where((verdict != _WRONG_SUBJECT) & (values < _NONE).any(axis=1), _NEGATIVE, verdict)
    fine = np.flatnonzero(verdict == _OK)
    kept += _refused(arrivals.items, item, slot, values, verdict)
    revision = np.array([one.revision for one in arrivals.items], dtype=np.int64)[item[fine]]
    sequence = np.array([one.message.sequence for one in arrivals.items], dtype=np.int64)[item[fine]]
    return Rows(device[fine], slot[fine], values[fine], revision, sequence, known_at[fine]), kept


def _judge(homes: Homes, items: list[Item]) -> tuple[Ints, Ints, Ints]:
    """Device and household index of each item, and what is wrong with it as a whole."""
    household, is_astray = np.full(len(items), _NONE), np.zeros(len(items), dtype=np.bool_)
    begin = 0
    for (_, text), own in groupby(items, key=_message_and_household):
        end = begin + sum(1 for _ in own)
        household[begin:end], is_astray[begin:end] = _judge_household(homes, items[begin].message, text)
        begin = end
    device = np.array([find(homes.device_index, item.device) for item in items], dtype=np.int64)
    is_known = device != _NONE
    owner = np.full(len(items), _NONE)
    owner[is_known] = homes.devices["household"][device[is_known]]
    verdict = np.where(is_known, np.where(owner == household, _OK, _WRONG_SUBJECT), _UNKNOWN)
    return device, household, np.where(is_astray, _WRONG_SUBJECT, verdict)


def _message_and_household(item: Item) -> tuple[int, str]:
    return id(item.message), item.household


def _judge_household(homes: Homes, message: IntakeMessage, text: str) -> tuple[int, bool]:
    """The household's index, and whether the message was not to speak of it."""
    household = find(homes.household_index, text)
    if message.household not in ("all", text) and _same(message.household) != _same(text):
        return household, True
    return household, household != _NONE and homes.areas[household] != message.area


def find_alike(homes: Homes, items: list[Item]) -> Ints | None:
    """The items' devices, where nothing is wrong with any of them as a whole; else None."""
    device, _, verdict = _judge(homes, items)
    return device if (verdict == _OK).all() else None


def find(index: dict[str, int], text: str) -> int:
    """The index of an id, however it is written; -1 where it is unknown."""
    found = index.get(text)
    return index.get(_same(text), _NONE) if found is None else found


def _same(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return text


def _find_strangers(connection: Connection, items: list[Item], household: Ints, verdict: Ints) -> None:
    """A household that is registered elsewhere has another topic: it is told so in `verdict`."""
    places = np.flatnonzero((household == _NONE) & (verdict == _UNKNOWN)).tolist()
    if not places:
        return
    strangers = {place: _same(items[place].household) for place in places}
    rows = connection.execute(
        "select household_id::text from meter_household where household_id::text = any(%s)",
        (list(set(strangers.values())),),
    )
    registered = {row[0] for row in rows}
    verdict[[place for place, stranger in strangers.items() if stranger in registered]] = _WRONG_SUBJECT


def is_attached(homes: Homes, device: Ints, slot: Ints) -> Array:
    """Whether each device is measured in its slot."""
    if not homes.devices.count:
        return np.zeros(len(device), dtype=np.bool_)
    attached: Array = (homes.devices["since"][device] <= slot) & (slot < homes.devices["until"][device])
    attached &= device != _NONE
    return attached


def _refused(items: list[Item], item: Ints, slot: Ints, values: Ints, verdict: Ints) -> list[Kept]:
    refused = np.flatnonzero(verdict != _OK)
    entries: list[Kept] = []
    pairs = item[refused] * len(_REASONS) + verdict[refused]
    for pair in np.unique(pairs):
        rows = refused[pairs == pair]
        lines = list(zip(slot[rows].tolist(), values[rows].tolist(), strict=True))
        place, reason = divmod(int(pair), len(_REASONS))
        entries += from_readings(items[place], _REASONS[reason], lines)
    return entries


NAMED_TYPES = {"revision": "integer", "sequence": "bigint", "known_at": "timestamptz"}
KEY_TYPES = {"device": "bigint", "slot": "integer"}


def value_types(names: tuple[str, ...]) -> dict[str, str]:
    """The SQL types of value columns, which may be null."""
    return {name: "integer?" if name in VALUES else "bigint?" for name in names}


def merge(
    connection: Connection, homes: Homes, table: str, names: tuple[str, ...], rows: Rows, is_new: Array
) -> Rows:
    """Brings rows, in the stream's order, into `reading` or `index_reading`; answers what is current now.

    Only keys that changed are answered. `is_new[row]` says that the table cannot hold the key yet.
    """
    if not len(rows):
        return rows
    alone = is_new & ~_repeated(_key(rows))
    types = KEY_TYPES | value_types(names) | NAMED_TYPES
    copy_in(connection, table, types, _columns(homes, rows.at(alone) if not alone.all() else rows, names))
    if alone.all():
        return rows
    return rows.at(alone).and_then(
        _merge_known(connection, homes, table, names, rows.at(~alone), is_new[~alone])
    )


def _merge_known(
    connection: Connection, homes: Homes, table: str, names: tuple[str, ...], rows: Rows, is_new: Array
) -> Rows:
    keys, group = np.unique(_key(rows), return_inverse=True)
    known = _existing(connection, homes, table, names, rows, group, is_new)
    everything = known.and_then(rows)
    known_keys = np.searchsorted(keys, _key(known))
    group = np.concatenate([known_keys, group])
    order = np.argsort(group, kind="stable")
    everything, group = everything.at(order), group[order]
    stored = order < len(known)
    current, replaced, replaced_at, stale = _outcome(everything, group)
    if table == "reading":
        _supersede(connection, homes, everything.at(replaced), replaced_at)
        _supersede_once(connection, homes, everything.at(stale))
    current = current[~stored[current]]
    changed = everything.at(current)
    was_known = np.isin(group[current], known_keys)
    types = KEY_TYPES | value_types(names) | NAMED_TYPES
    copy_in(connection, table, types, _columns(homes, changed.at(~was_known), names))
    if was_known.any():
        source = stage(connection, table, types, _columns(homes, changed.at(was_known), names))
        sets = ", ".join(f"{name} = s.{name}" for name in (*names, *NAMED_TYPES))
        connection.execute(
            f"update {table} t set {sets} from {source} s where t.device = s.device and t.slot = s.slot"
        )
    return changed


def _repeated(keys: Ints) -> Array:
    """Whether the same key stands elsewhere too."""
    ordered = np.sort(keys)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.isin(keys, twice) if len(twice) else np.zeros(len(keys), dtype=np.bool_)


def _key(rows: Rows) -> Ints:
    return rows.device << 32 | rows.slot


def _existing(
    connection: Connection, homes: Homes, table: str, names: tuple[str, ...], rows: Rows, group: Ints,
    is_new: Array,
) -> Rows:  # fmt: skip
    """What the table holds of the keys that are not surely new."""
    _, first = np.unique(group, return_index=True)
    asked = first[~is_new[first]]
    types = KEY_TYPES | value_types(names) | NAMED_TYPES
    if not len(asked):
        return no_rows(len(names))
    source = stage(
        connection,
        "asked",
        {"place": "integer", **KEY_TYPES},
        {"place": asked, "device": homes.devices["number"][rows.device[asked]], "slot": rows.slot[asked]},
    )
    found = read_columns(
        connection,
        f"select a.place, t.* from {source} a join {table} t using (device, slot)",
        {"place": "integer", **types},
    )
    return Rows(
        rows.device[found["place"]],
        found["slot"],
        np.stack([found[name] for name in names], axis=1),
        found["revision"],
        found["sequence"],
        found["known_at"],
    )


def _outcome(rows: Rows, group: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Of rows grouped by key, each group in order: which are current, which were and until when, which never.

    A stored row is the first of its group.
    """
    reached = np.maximum.accumulate(group << 32 | rows.revision)
    winners = np.flatnonzero((group << 32 | rows.revision) == reached)
    before, after = winners[:-1], winners[1:]
    repeats = np.zeros(len(winners), dtype=np.bool_)
    repeats[1:] = (
        (group[before] == group[after])
        & (rows.revision[before] == rows.revision[after])
        & (rows.values[before] == rows.values[after]).all(axis=1)
    )
    winners = winners[~repeats]
    is_last = np.ones(len(winners), dtype=np.bool_)
    is_last[:-1] = group[winners[:-1]] != group[winners[1:]]
    next_winner = winners[np.flatnonzero(~is_last) + 1]
    stale = np.flatnonzero((group << 32 | rows.revision) != reached)
    if len(stale):
        lines = np.column_stack([group, rows.revision, rows.values])
        _, first = np.unique(lines, axis=0, return_index=True)
        stale = np.intersect1d(stale, first)
    return winners[is_last], winners[~is_last], rows.known_at[next_winner], stale


_SUPERSEDED_TYPES = KEY_TYPES | value_types(VALUES) | NAMED_TYPES | {"superseded_at": "timestamptz"}


def _supersede(connection: Connection, homes: Homes, rows: Rows, superseded_at: Ints) -> None:
    """Notes what is no longer the newest."""
    if len(rows):
        columns = _columns(homes, rows, VALUES) | {"superseded_at": superseded_at}
        copy_in(connection, "superseded", _SUPERSEDED_TYPES, columns)


def _supersede_once(connection: Connection, homes: Homes, rows: Rows) -> None:
    """Notes what came behind a higher revision, unless the same has been noted before."""
    if not len(rows):
        return
    columns = _columns(homes, rows, VALUES) | {"superseded_at": rows.known_at}
    source = stage(connection, "superseded", _SUPERSEDED_TYPES, columns)
    same = " and ".join(f"t.{name} is not distinct from s.{name}" for name in (*VALUES, "revision"))
    names = ", ".join(_SUPERSEDED_TYPES)
    connection.execute(
        f"""insert into superseded ({names}) select {names} from {source} s where not exists (
              select from superseded t where t.device = s.device and t.slot = s.slot and {same})"""
    )


def _columns(homes: Homes, rows: Rows, names: tuple[str, ...]) -> dict[str, Array]:
    values = {name: rows.values[:, place] for place, name in enumerate(names)}
    named = {"revision": rows.revision, "sequence": rows.sequence, "known_at": rows.known_at}
    return {"device": homes.devices["number"][rows.device], "slot": rows.slot, **values, **named}
