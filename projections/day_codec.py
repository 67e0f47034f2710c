"""A day's readings of some devices as bytes: whole columns, the smallest byte planes, then zlib.

Two parts: `measured` holds which readings there are and their values, `named` their revision, sequence and
time. What a message has in common for all its devices lies in one of a slot's cells, the others differ by 0.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from projections.binary_copy import MISSING, Array, Ints
from projections.metering_tables import VALUES

DAY_SLOTS = 96
NAMED = ("revision", "sequence", "known_at")
_LEVEL = 6
_WORD = np.dtype("<i8")


@dataclass(frozen=True)
class DayReadings:
    """Readings of one day (UTC, slot // 96) as rows; `device` numbers as in the tables, each key once.

    `values` has a column for each of VALUES, MISSING for null; `named` has one for each of NAMED.
    """

    device: Ints
    slot: Ints
    values: Ints
    named: Ints

    def __len__(self) -> int:
        return len(self.device)

    def at(self, places: Array) -> "DayReadings":
        """The rows at these places."""
        return DayReadings(self.device[places], self.slot[places], self.values[places], self.named[places])

    def and_then(self, others: "DayReadings") -> "DayReadings":
        """These rows and then others."""
        return DayReadings(
            np.concatenate([self.device, others.device]),
            np.concatenate([self.slot, others.slot]),
            np.concatenate([self.values, others.values]),
            np.concatenate([self.named, others.named]),
        )


def encode(readings: DayReadings) -> tuple[bytes, bytes]:
    """The parts `measured` and `named` of readings of one day; the devices keep the order they come in."""
    numbers, first, owner = np.unique(readings.device, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.argsort(order)[owner], readings.slot % DAY_SLOTS
    shape = (len(numbers), DAY_SLOTS)
    present = np.zeros(shape, dtype=np.bool_)
    present[place] = True
    parts = [
        np.array([shape[0], readings.slot[0] // DAY_SLOTS if len(readings) else 0], dtype=_WORD).tobytes(),
        _packed(_zigzag(np.diff(numbers[order], prepend=0))),
        np.packbits(present).tobytes(),
    ]
    for column in range(len(VALUES)):
        grid = np.zeros(shape, dtype=np.int64)
        grid[place] = readings.values[:, column] - MISSING
        parts.append(_packed_values(grid))
    named = []
    for column in range(len(NAMED)):
        grid = np.zeros(shape, dtype=np.int64)
        grid[place] = readings.named[:, column]
        named.append(_packed_alike(grid, present))
    return zlib.compress(b"".join(parts), _LEVEL), zlib.compress(b"".join(named), _LEVEL)


def decode_measured(measured: bytes, only: Ints | None = None) -> DayReadings:
    """The readings of a `measured` part without what `named` holds, by device and then by slot.

    `only` names the devices wanted, None is all.
    """
    return _measured(measured, only)[0]


def decode(measured: bytes, named: bytes) -> DayReadings:
    """The readings of both parts, by device and then by slot."""
    readings, present = _measured(measured, None)
    raw = _Reader(zlib.decompress(named))
    lines = np.stack([_unpacked_alike(raw, present.shape)[present] for _ in NAMED], axis=1)
    return DayReadings(readings.device, readings.slot, readings.values, lines)


def _measured(measured: bytes, only: Ints | None) -> tuple[DayReadings, Array]:
    raw = _Reader(zlib.decompress(measured))
    devices, day = np.frombuffer(raw.take(16), _WORD).tolist()
    numbers = np.cumsum(_unzigzag(_unpacked(raw, devices)))
    bits = np.frombuffer(raw.take(devices * DAY_SLOTS // 8), np.uint8)
    present = np.unpackbits(bits).reshape(devices, DAY_SLOTS).astype(np.bool_)
    wanted = np.ones(devices, dtype=np.bool_) if only is None else np.isin(numbers, only)
    place, slot = np.nonzero(present & wanted[:, np.newaxis])
    values = np.full((len(place), len(VALUES)), MISSING, dtype=np.int64)
    for column in range(len(VALUES)):
        _unpack_values(raw, wanted, place, slot, values[:, column])
    nothing = np.empty((len(place), 0), dtype=np.int64)
    return DayReadings(numbers[place], slot + day * DAY_SLOTS, values, nothing), present


def _packed_values(grid: Ints) -> bytes:
    """A column: which devices have it, which of these by differences, and the planes; 0 is null."""
    has = (grid != 0).any(axis=1)
    if not has.any():
        return b"\0"
    lines = grid[has]
    steps = _zigzag(np.diff(lines, axis=1, prepend=0))
    smooth = np.log2(steps + 1.0).sum(axis=1) < np.log2(lines + 1.0).sum(axis=1)
    chosen = np.where(smooth[:, np.newaxis], steps, lines)
    return b"".join([b"\1", np.packbits(has).tobytes(), np.packbits(smooth).tobytes(), _packed(chosen)])


def _unpack_values(raw: "_Reader", wanted: Array, place: Ints, slot: Ints, values: Ints) -> None:
    """Puts a column's values where (place of the device, slot) is asked; the devices are those wanted."""
    if raw.take(1) == b"\0":
        return
    has = _bits(raw, len(wanted))
    smooth = _bits(raw, int(has.sum()))
    lines = _unpacked(raw, len(smooth) * DAY_SLOTS, wanted[has]).reshape(-1, DAY_SLOTS)
    smooth = smooth[wanted[has]]
    lines[smooth] = np.cumsum(_unzigzag(lines[smooth]), axis=1)
    line = np.cumsum(has & wanted) - 1
    chosen = has[place]
    values[chosen] = lines[line[place[chosen]], slot[chosen]] + MISSING


def _packed_alike(grid: Ints, present: Array) -> bytes:
    """Each slot's first cell by its difference from the slot before, the others from the device before."""
    above = np.where(present, np.arange(len(grid))[:, np.newaxis], MISSING)
    above = np.maximum.accumulate(above, axis=0)
    first = np.argmax(present, axis=0) if len(grid) else np.zeros(DAY_SLOTS, dtype=np.int64)
    filled = np.take_along_axis(grid, np.where(above == MISSING, first, above), axis=0)
    across = np.diff(filled, axis=0)
    down = np.diff(filled[:1], axis=1, prepend=0)
    return _packed(_zigzag(down)) + _packed(_zigzag(across))


def _unpacked_alike(raw: "_Reader", shape: tuple[int, ...]) -> Ints:
    down = np.cumsum(_unzigzag(_unpacked(raw, min(shape[0], 1) * DAY_SLOTS))).reshape(-1, DAY_SLOTS)
    across = _unzigzag(_unpacked(raw, max(shape[0] - 1, 0) * DAY_SLOTS)).reshape(-1, DAY_SLOTS)
    grid: Ints = np.cumsum(np.concatenate([down, across]), axis=0)
    return grid


def _zigzag(numbers: Ints) -> Ints:
    """Signed numbers as such that are never negative, small ones small."""
    zigzag: Ints = numbers << 1 ^ numbers >> 63
    return zigzag


def _unzigzag(numbers: Ints) -> Ints:
    signed: Ints = (numbers >> 1 & 0x7FFF_FFFF_FFFF_FFFF) ^ -(numbers & 1)
    return signed


def _packed(numbers: Ints) -> bytes:
    """How many bytes the largest takes, then all lowest bytes, all second ones, and so on."""
    flat = np.ascontiguousarray(numbers, dtype=_WORD).reshape(-1)
    planes = flat.view(np.uint8).reshape(-1, _WORD.itemsize).T
    used = int(np.flatnonzero(planes.any(axis=1)).max(initial=-1)) + 1
    return bytes([used]) + planes[:used].tobytes()


def _unpacked(raw: "_Reader", count: int, only: Array | None = None) -> Ints:
    """What `_packed` packed, `count` numbers; of as many lines as `only` is long those that it marks."""
    used = raw.take(1)[0]
    planes = np.frombuffer(raw.take(used * count), np.uint8).reshape(used, count)
    if only is not None and not only.all():
        planes = planes.reshape(used, len(only), -1)[:, only].reshape(used, -1)
    words = np.zeros((planes.shape[1], _WORD.itemsize), dtype=np.uint8)
    words[:, :used] = planes.T
    numbers: Ints = words.reshape(-1).view(_WORD).astype(np.int64)
    return numbers


def _bits(raw: "_Reader", count: int) -> Array:
    packed = np.frombuffer(raw.take((count + 7) // 8), np.uint8)
    return np.unpackbits(packed, count=count).astype(np.bool_)


class _Reader:
    """Bytes from the front."""

    def __init__(self, raw: bytes) -> None:
        self._raw = memoryview(raw)

    def take(self, count: int) -> bytes:
        """The next bytes."""
        taken, self._raw = self._raw[:count], self._raw[count:]
        return bytes(taken)
