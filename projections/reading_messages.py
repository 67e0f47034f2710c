"""Messages of the intake as rows: what a meter, a concentrator or the gateway sent, before it is judged.

The forms are those of the public interface: one slot, `from` with `slots` and arrays, `households` around
either. A part that cannot be read is set aside alone; the rest of its message counts.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np

from projections.binary_copy import MISSING, Ints
from projections.metering_tables import INDEXES, VALUES
from write_side.rules.running_index import rounded_wh
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
_Index = Annotated[float, msgspec.Meta(ge=-LARGEST_INDEX_WH, le=LARGEST_INDEX_WH)]
_Energies = _Energy | list[_Energy | None] | None
_States = _State | list[_State | None] | None
_Running = _Index | list[_Index | None] | None


class Measured(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """One device's values, each a number or an array with one entry a slot; None is no reading."""

    consumption_wh: _Energies = None
    production_wh: _Energies = None
    grid_import_wh: _Energies = None
    grid_export_wh: _Energies = None
    charge_wh: _Energies = None
    discharge_wh: _Energies = None
    soc_wh: _States = None
    power_w: _States = None
    consumption_index_wh: _Running = None
    production_index_wh: _Running = None
    grid_import_index_wh: _Running = None
    grid_export_index_wh: _Running = None
    charge_index_wh: _Running = None
    discharge_index_wh: _Running = None


class Reading(msgspec.Struct, rename={"from_": "from"}, omit_defaults=True):
    """A household's devices in one slot, or in `slots` slots from `from` on."""

    slot: str | None = None
    from_: str | None = None
    slots: Annotated[int, msgspec.Meta(ge=1, le=MOST_SLOTS)] | None = None
    revision: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    devices: dict[str, Measured] = {}


class _Message(Reading, rename={"from_": "from"}):
    households: dict[str, Reading] | None = None


FIELDS = (*VALUES, *INDEXES)
WIDTH = len(FIELDS)
_message = msgspec.json.Decoder(_Message)


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


@dataclass(frozen=True, slots=True)
class Item:
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
    """Readings as rows: `items[item]`, the slot, and a line of FIELDS (MISSING where no value)."""

    items: list[Item] = field(default_factory=list)
    item: list[int] = field(default_factory=list)
    slot: list[int] = field(default_factory=list)
    values: list[tuple[int, ...]] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)

    def columns(self) -> tuple[Ints, Ints, Ints]:
        """item, slot, values[rows, FIELDS] as arrays."""
        values = np.array(self.values, dtype=np.int64).reshape(len(self.item), WIDTH)
        return np.array(self.item, dtype=np.int64), np.array(self.slot, dtype=np.int64), values


class _NotASlot(ValueError):
    pass


def read(message: IntakeMessage, into: Arrivals) -> None:
    """Adds the rows of a message to `into`, and what of it is unusable."""
    if len(message.data) > LARGEST_MESSAGE_BYTES:
        into.unusable.append(_whole(message, TOO_LARGE))
        return
    try:
        told = _message.decode(message.data)
    except msgspec.ValidationError:
        _read_piece_by_piece(message, into)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        into.unusable.append(_whole(message, MALFORMED))
    else:
        _read_message(message, told, into)


def _whole(message: IntakeMessage, reason: str) -> Unusable:
    household = None if message.household == "all" else message.household
    return Unusable(message, 0, household, None, reason, message.data)


def _read_message(message: IntakeMessage, told: _Message, into: Arrivals) -> None:
    number = 0
    if told.households is not None:
        for household, reading in told.households.items():
            number = _read_reading(message, household, reading, number, into)
    elif message.household == "all":
        into.unusable.append(_whole(message, MALFORMED))
    else:
        _read_reading(message, message.household, told, number, into)


def _read_reading(
    message: IntakeMessage, household: str, reading: Reading, number: int, into: Arrivals
) -> int:
    try:
        first, count = _span(reading)
    except ValueError as error:
        reason = NOT_A_SLOT if isinstance(error, _NotASlot) else MALFORMED
        raw = msgspec.json.encode(reading)
        into.unusable.append(Unusable(message, number, household, None, reason, raw))
        return number + 1
    for device, measured in reading.devices.items():
        try:
            lines = [_line(measured)] if count is None else _lines(measured, count)
        except (ValueError, TypeError):
            raw = msgspec.json.encode(measured)
            into.unusable.append(Unusable(message, number, household, device, MALFORMED, raw))
        else:
            _add(into, Item(message, number, household, device, reading.revision), first, lines)
        number += 1
    return number


def _add(into: Arrivals, item: Item, first: int, lines: list[tuple[int, ...] | None]) -> None:
    place = len(into.items)
    into.items.append(item)
    for offset, line in enumerate(lines):
        if line is not None:
            into.item.append(place)
            into.slot.append(first + offset)
            into.values.append(line)


def _span(reading: Reading) -> tuple[int, int | None]:
    """The first slot, and how many there are where the values are arrays."""
    if reading.slot is not None and reading.from_ is None and reading.slots is None:
        return slot_number(reading.slot), None
    if reading.from_ is not None and reading.slots is not None and reading.slot is None:
        return slot_number(reading.from_), reading.slots
    raise ValueError("neither a slot nor a first slot and their number")


@lru_cache(maxsize=4096)
def slot_number(text: str) -> int:
    """The slot that begins at this time; ValueError for no time, _NotASlot for one within a slot."""
    at = parse_utc(text)
    if not is_slot_boundary(at):
        raise _NotASlot(text)
    return slot_of(at)


def _line(measured: Measured) -> tuple[int, ...] | None:
    """One slot's values; None where there is no reading. TypeError for an array."""
    line = _numbers(measured)
    return line if any(value != MISSING for value in line) else None


def _numbers(measured: Measured) -> tuple[int, ...]:
    return tuple(_number(value, place) for place, value in enumerate(msgspec.structs.astuple(measured)))


def _number(value: Any, place: int) -> int:
    if value is None:
        return MISSING
    if isinstance(value, list):
        raise TypeError("an array for one slot")
    whole = value if place < len(VALUES) else rounded_wh(value)
    return int(whole) if whole >= 0 else int(whole) - 1  # -1 itself means that there is none


def _lines(measured: Measured, count: int) -> list[tuple[int, ...] | None]:
    """Several slots' values; ValueError for an array of another length, or a number where one belongs."""
    columns: list[list[int]] = []
    for place, values in enumerate(msgspec.structs.astuple(measured)):
        if values is None:
            columns.append([MISSING] * count)
        elif not isinstance(values, list) or len(values) != count:
            raise ValueError(f"{count} values expected")
        else:
            columns.append([_number(value, place) for value in values])
    lines = zip(*columns, strict=True)
    return [line if any(value != MISSING for value in line) else None for line in lines]


def _read_piece_by_piece(message: IntakeMessage, into: Arrivals) -> None:
    """What fits no form as a whole: each household, then each device, is tried alone."""
    told = msgspec.json.decode(message.data)
    if not isinstance(told, dict):
        into.unusable.append(_whole(message, MALFORMED))
        return
    households = told.get("households", {message.household: told})
    if not isinstance(households, dict) or "all" in households:
        into.unusable.append(_whole(message, MALFORMED))
        return
    number = 0
    for household, reading in households.items():
        number = _read_loose(message, household, reading, number, into)


def _read_loose(message: IntakeMessage, household: str, reading: Any, number: int, into: Arrivals) -> int:
    raw = msgspec.json.encode(reading)
    try:
        devices = reading.pop("devices")
        frame = msgspec.convert({**reading, "devices": {}}, Reading)
        pieces = list(devices.items())
    except (msgspec.ValidationError, AttributeError, KeyError, TypeError):
        into.unusable.append(Unusable(message, number, household, None, MALFORMED, raw))
        return number + 1
    for device, values in pieces:
        try:
            measured = msgspec.convert(values, Measured)
        except msgspec.ValidationError:
            raw = msgspec.json.encode(values)
            into.unusable.append(Unusable(message, number, household, device, MALFORMED, raw))
            number += 1
        else:
            alone = msgspec.structs.replace(frame, devices={device: measured})
            number = _read_reading(message, household, alone, number, into)
    return number
