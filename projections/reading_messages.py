"""Messages of the intake as rows: what a meter, a concentrator or the gateway sent, before it is judged.

The forms are those of the public interface: one slot, `from` with `slots` and arrays, `households` around
either. A part that cannot be read is set aside alone; the rest of its message counts.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import astuple

from projections.binary_copy import MISSING, Ints
from projections.metering_tables import INDEXES, VALUES
from write_side.rules.timeslots import is_slot_boundary, parse_utc, slot_of

LARGEST_MESSAGE_BYTES = 1_000_000
LARGEST_ENERGY_WH = 1_000_000  # of one device in a slot: 4 MW
LARGEST_STATE = 1_000_000_000
LARGEST_INDEX_WH = 2**53
MOST_SLOTS = 40_000

MALFORMED = "MALFORMED"
NOT_A_SLOT = "NOT_A_SLOT"
TOO_LARGE = "TOO_LARGE"

_Energy = Annotated[int, msgspec.Meta(ge=-LARGEST_ENERGY_WH, le=LARGEST_ENERGY_WH)]
_State = Annotated[int, msgspec.Meta(ge=-LARGEST_STATE, le=LARGEST_STATE)]
_Revision = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Index = Annotated[float, msgspec.Meta(ge=-LARGEST_INDEX_WH, le=LARGEST_INDEX_WH)]
# What a field carries that was not sent: no number that could be.
_ABSENT = -(2**60)


class Measured(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """One device's values in one slot; null is no reading."""

    consumption_wh: _Energy | None = _ABSENT
    production_wh: _Energy | None = _ABSENT
    grid_import_wh: _Energy | None = _ABSENT
    grid_export_wh: _Energy | None = _ABSENT
    charge_wh: _Energy | None = _ABSENT
    discharge_wh: _Energy | None = _ABSENT
    soc_wh: _State | None = _ABSENT
    power_w: _State | None = _ABSENT
    consumption_index_wh: _Index | None = _ABSENT
    production_index_wh: _Index | None = _ABSENT
    grid_import_index_wh: _Index | None = _ABSENT
    grid_export_index_wh: _Index | None = _ABSENT
    charge_index_wh: _Index | None = _ABSENT
    discharge_index_wh: _Index | None = _ABSENT


class MeasuredSeries(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """One device's values in several slots, one entry each; null is no reading."""

    consumption_wh: list[_Energy | None] | None = None
    production_wh: list[_Energy | None] | None = None
    grid_import_wh: list[_Energy | None] | None = None
    grid_export_wh: list[_Energy | None] | None = None
    charge_wh: list[_Energy | None] | None = None
    discharge_wh: list[_Energy | None] | None = None
    soc_wh: list[_State | None] | None = None
    power_w: list[_State | None] | None = None
    consumption_index_wh: list[_Index | None] | None = None
    production_index_wh: list[_Index | None] | None = None
    grid_import_index_wh: list[_Index | None] | None = None
    grid_export_index_wh: list[_Index | None] | None = None
    charge_index_wh: list[_Index | None] | None = None
    discharge_index_wh: list[_Index | None] | None = None


class SlotReading(msgspec.Struct, omit_defaults=True):
    """A household's devices in one slot."""

    slot: str
    devices: dict[str, Measured]
    revision: _Revision = 0


class SeriesReading(msgspec.Struct, rename={"from_": "from"}, omit_defaults=True):
    """A household's devices in `slots` slots from `from` on."""

    from_: str
    slots: Annotated[int, msgspec.Meta(ge=1, le=MOST_SLOTS)]
    devices: dict[str, MeasuredSeries]
    revision: _Revision = 0


class _SlotReadings(msgspec.Struct):
    households: dict[str, SlotReading]


class _SeriesReadings(msgspec.Struct):
    households: dict[str, SeriesReading]


FIELDS = (*VALUES, *INDEXES)
WIDTH = len(FIELDS)
AnyReading = SlotReading | SeriesReading
_alone = msgspec.json.Decoder(SlotReading)
_alone_series = msgspec.json.Decoder(SeriesReading)
_together = msgspec.json.Decoder(_SlotReadings)
_together_series = msgspec.json.Decoder(_SeriesReadings)


@dataclass(frozen=True, slots=True)
class IntakeMessage:
    """A message as it lies in the stream; `known_at` is the time the stream took it."""

    sequence: int
    partition: int
    area: str
    household: str  # "all" for a concentrator's
    subject: str
    known_at: datetime
    data: bytes


class Item(NamedTuple):
    """What one message says of one device; `number` counts the devices within the message."""

    message: IntakeMessage
    number: int
    household: str
    device: str
    revision: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """A part of a message that is no reading at all."""

    message: IntakeMessage
    number: int
    household: str | None
    device: str | None
    reason: str
    raw: bytes


@dataclass
class Arrivals:
    """Readings as rows: `items[item]`, the slot, and the FIELDS as they were sent, row after row."""

    items: list[Item] = field(default_factory=list)
    item: list[int] = field(default_factory=list)
    slot: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)

    def columns(self) -> tuple[Ints, Ints, Ints]:
        """item, slot, values[rows, FIELDS] as arrays: whole numbers, MISSING where there is none.

        -1 means that there is none, so a negative number comes as one less.
        """
        sent = np.array(self.values, dtype=np.float64).reshape(len(self.item), WIDTH)
        whole = np.floor(sent + 0.5)  # of the energies nothing changes, an index is rounded half up
        values = np.where(sent == _ABSENT, MISSING, whole - (whole < 0)).astype(np.int64)
        rows = np.flatnonzero((values != MISSING).any(axis=1))
        return (
            np.array(self.item, dtype=np.int64)[rows],
            np.array(self.slot, dtype=np.int64)[rows],
            values[rows],
        )


class _NotASlot(ValueError):
    pass


def read(message: IntakeMessage, into: Arrivals) -> None:
    """Adds the rows of a message to `into`, and what of it is unusable."""
    if len(message.data) > LARGEST_MESSAGE_BYTES:
        into.unusable.append(_whole(message, TOO_LARGE))
        return
    try:
        readings = _decoded(message)
        if readings is None:
            _read_piece_by_piece(message, into)
            return
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        into.unusable.append(_whole(message, MALFORMED))
        return
    number = 0
    for household, reading in readings.items():
        number = _read_reading(message, household, reading, number, into)


def _decoded(message: IntakeMessage) -> Mapping[str, AnyReading] | None:
    """The readings by household where all have one form, else None."""
    is_together = message.household == "all" or message.data.lstrip().startswith(b'{"households"')
    with contextlib.suppress(msgspec.ValidationError):
        if is_together:
            return _together.decode(message.data).households
        return {message.household: _alone.decode(message.data)}
    with contextlib.suppress(msgspec.ValidationError):
        if is_together:
            return _together_series.decode(message.data).households
        return {message.household: _alone_series.decode(message.data)}
    return None


def _whole(message: IntakeMessage, reason: str) -> Unusable:
    household = None if message.household == "all" else message.household
    return Unusable(message, 0, household, None, reason, message.data)


def _read_reading(
    message: IntakeMessage, household: str, reading: AnyReading, number: int, into: Arrivals
) -> int:
    """Adds a household's reading; the number of the message's next item."""
    try:
        first = slot_number(reading.from_ if isinstance(reading, SeriesReading) else reading.slot)
    except ValueError as error:
        reason = NOT_A_SLOT if isinstance(error, _NotASlot) else MALFORMED
        raw = msgspec.json.encode(reading)
        into.unusable.append(Unusable(message, number, household, None, reason, raw))
        return number + 1
    if isinstance(reading, SeriesReading):
        for device, series in reading.devices.items():
            item = Item(message, number, household, device, reading.revision)
            _add_series(item, first, reading.slots, series, into)
            number += 1
        return number
    for device, measured in reading.devices.items():
        into.item.append(len(into.items))
        into.items.append(Item(message, number, household, device, reading.revision))
        into.slot.append(first)
        line = astuple(measured)
        into.values += _without_nulls(line) if None in line else line
        number += 1
    return number


def _add_series(item: Item, first: int, count: int, series: MeasuredSeries, into: Arrivals) -> None:
    columns = astuple(series)
    if any(values is not None and len(values) != count for values in columns):
        raw = msgspec.json.encode(series)
        into.unusable.append(Unusable(item.message, item.number, item.household, item.device, MALFORMED, raw))
        return
    absent = [_ABSENT] * count
    into.item += [len(into.items)] * count
    into.items.append(item)
    into.slot += range(first, first + count)
    full = [absent if values is None else _without_nulls(values) for values in columns]
    into.values += chain.from_iterable(zip(*full, strict=True))


def _without_nulls(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(_ABSENT if value is None else value for value in values)


@lru_cache(maxsize=4096)
def slot_number(text: str) -> int:
    """The slot that begins at this time; ValueError for no time, _NotASlot for one within a slot."""
    at = parse_utc(text)
    if not is_slot_boundary(at):
        raise _NotASlot(text)
    return slot_of(at)


def _read_piece_by_piece(message: IntakeMessage, into: Arrivals) -> None:
    """What fits no form as a whole: each household, then each device, is tried alone."""
    told = msgspec.json.decode(message.data)
    if not isinstance(told, dict) or (message.household == "all" and "households" not in told):
        into.unusable.append(_whole(message, MALFORMED))
        return
    households = told.get("households", {message.household: told})
    if not isinstance(households, dict):
        into.unusable.append(_whole(message, MALFORMED))
        return
    number = 0
    for household, reading in households.items():
        number = _read_loose(message, household, reading, number, into)


def _read_loose(message: IntakeMessage, household: str, reading: Any, number: int, into: Arrivals) -> int:
    is_series = isinstance(reading, dict) and "from" in reading
    kind: type[AnyReading] = SeriesReading if is_series else SlotReading
    try:
        msgspec.convert({**reading, "devices": {}}, kind)
        devices = list(reading["devices"].items())
    except (msgspec.ValidationError, AttributeError, KeyError, TypeError):
        raw = msgspec.json.encode(reading)
        into.unusable.append(Unusable(message, number, household, None, MALFORMED, raw))
        return number + 1
    for device, values in devices:
        try:
            whole = msgspec.convert({**reading, "devices": {device: values}}, kind)
        except msgspec.ValidationError:
            raw = msgspec.json.encode(values)
            into.unusable.append(Unusable(message, number, household, device, MALFORMED, raw))
            number += 1
        else:
            number = _read_reading(message, household, whole, number, into)
    return number
