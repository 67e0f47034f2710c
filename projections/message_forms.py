"""Forms of messages: what is the same in a concentrator's messages slot after slot, remembered.

Such a message names the same households and devices in the same bytes, but for its numbers and its slot. One
whose other bytes have been read before in the general way is not decoded again: its numbers are picked out
and put where that reading had put them. Whatever does not fit exactly goes the general way.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from projections.binary_copy import MISSING, Array, Ints
from projections.metered_homes import Homes
from projections.metering_tables import VALUES
from projections.reading_messages import (
    LARGEST_ENERGY_WH,
    LARGEST_MESSAGE_BYTES,
    Arrivals,
    IntakeMessage,
    read,
    slot_number,
)
from projections.readings import (
    Rows,
    find_alike,
    is_attached,
    microseconds,
    no_rows,
    slot_start_microseconds,
)

SMALLEST_BYTES = 2048  # below, decoding costs less than scanning
MOST_ROWS = 12_000_000  # of all forms together: 30 bytes each
MOST_SEEN = 100_000
_SLOT_KEY = b'"slot":"'
_SLOT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_SLOT_LENGTH = 20
_OTHER_NUMBER = re.compile(rb"[\s\[,:][-\d]")
_MARK = b"\x00"  # stands where the slot stood: no JSON holds it
_MOST_DIGITS = 7
_ZERO, _COLON, _COMMA, _BRACE = b"0:,}"


@dataclass(frozen=True, slots=True)
class Form:
    """Where the numbers of a message go: number n to cell `cells[n]` of the rows' VALUES, -1: to none.

    `revision[row]` is the number that is the row's revision, -1 for revision 0.
    """

    device: Ints
    cells: Array
    revision: Array | None


@dataclass(frozen=True, slots=True)
class Scanned:
    """A message of a known form: its slot and its numbers."""

    message: IntakeMessage
    form: Form
    slot: int
    numbers: Ints


@dataclass(frozen=True, slots=True)
class _Scan:
    """A message taken apart: `skeleton` is all but the slots, marked, and the numbers behind colons."""

    slot: bytes
    numbers: Ints
    skeleton: bytes
    starts: Ints  # in the marked message
    lengths: Ints
    marked: bytes


class Forms:
    """The forms that a worker has met, of the homes it has in memory: they live and die with these.

    A form is learnt at first sight, but at second sight from a sender whose last one did not come again. In
    it every device is known and the sender may speak of it, and that never ends; in which slots a device is
    measured is asked each time.
    """

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._forms: dict[bytes, Form] = {}
        self._failed: dict[bytes, int] = {}  # and how many devices were known then
        self._seen: set[bytes] = set()
        self._unused: set[str] = set()  # senders whose newest form has not come again
        self._rows = 0

    def scan(self, homes: Homes, message: IntakeMessage) -> Scanned | None:
        """The message's numbers, where its form is known or can be learnt now."""
        if not SMALLEST_BYTES <= len(message.data) <= LARGEST_MESSAGE_BYTES:
            return None
        scan = _scan(message.data)
        if scan is None:
            return None
        name = hashlib.sha256(scan.skeleton + message.subject.encode()).digest()
        form = self._forms.get(name)
        if form is not None:
            self._unused.discard(message.subject)
        elif self._is_worth_it(homes, message, name):
            form = self._learnt(homes, message, scan, name)
        if form is None or len(form.cells) != len(scan.numbers):
            return None
        return Scanned(message, form, slot_number(scan.slot.decode()), scan.numbers)

    def _is_worth_it(self, homes: Homes, message: IntakeMessage, name: bytes) -> bool:
        if self._failed.get(name) == homes.devices.count:
            return False
        if message.subject not in self._unused or name in self._seen:
            return True
        if len(self._seen) >= MOST_SEEN:
            self._seen.clear()
        self._seen.add(name)
        return False

    def _learnt(self, homes: Homes, message: IntakeMessage, scan: _Scan, name: bytes) -> Form | None:
        if self._rows > MOST_ROWS or max(len(self._forms), len(self._failed), len(self._unused)) >= MOST_SEEN:
            self._forget()
        form = _learn(homes, message, scan)
        self._unused.add(message.subject)
        if form is None:
            self._failed[name] = homes.devices.count
        else:
            self._forms[name] = form
            self._rows += len(form.device)
        return form


def rows_of(homes: Homes, scanned: Sequence[Scanned], now: int | None) -> tuple[Rows, list[IntakeMessage]]:
    """The readings of scanned messages, and the messages of which some reading must be refused.

    `now` is the simulated clock's time; None on the wall clock, where the stream's own time counts.
    """
    if not scanned:
        return no_rows(len(VALUES)), []
    rows = _rows(scanned)
    counts = np.array([len(each.form.device) for each in scanned], dtype=np.int64)
    clock = rows.known_at if now is None else now
    fine = is_attached(homes, rows.device, rows.slot) & (slot_start_microseconds(rows.slot) <= clock)
    if fine.all():
        return rows, []
    owner = np.repeat(np.arange(len(scanned)), counts)
    is_refused = np.bincount(owner[~fine], minlength=len(scanned)) > 0
    refused = [each.message for each, is_out in zip(scanned, is_refused, strict=True) if is_out]
    return rows.at(np.flatnonzero(~is_refused[owner])), refused


def _rows(scanned: Sequence[Scanned]) -> Rows:
    counts = [len(each.form.device) for each in scanned]
    values = np.full((sum(counts), len(VALUES)), MISSING, dtype=np.int64)
    revision = np.zeros(len(values), dtype=np.int64)
    begin = 0
    for each, count in zip(scanned, counts, strict=True):
        form, end = each.form, begin + count
        if form.revision is None:
            values[begin:end].reshape(-1)[form.cells] = each.numbers
        else:
            inside = form.cells >= 0
            values[begin:end].reshape(-1)[form.cells[inside]] = each.numbers[inside]
            revision[begin:end] = np.append(each.numbers, 0)[form.revision]
        begin = end
    return Rows(
        np.concatenate([each.form.device for each in scanned]),
        np.repeat([each.slot for each in scanned], counts),
        values,
        revision,
        np.repeat([each.message.sequence for each in scanned], counts),
        np.repeat([microseconds(each.message.known_at) for each in scanned], counts),
    )


def _scan(data: bytes) -> _Scan | None:
    """Takes a message apart; None where it is none of a single slot, or has numbers that are not plain.

    From skeleton, slot and numbers the message can be put together again, byte for byte.
    """
    at = data.find(_SLOT_KEY) + len(_SLOT_KEY)
    slot = data[at : at + _SLOT_LENGTH]
    if at < len(_SLOT_KEY) or not _SLOT.fullmatch(slot) or _MARK in data:
        return None
    try:
        slot_number(slot.decode())
    except ValueError:
        return None
    marked = data.replace(_SLOT_KEY + slot + b'"', _MARK)
    text = np.frombuffer(marked + bytes(_MOST_DIGITS + 1), dtype=np.uint8)
    digit = text - np.uint8(_ZERO)  # what is no digit is above 9: it wraps
    starts = np.flatnonzero((text[:-1] == _COLON) & (digit[1:] < 10)) + 1
    keep = np.ones(len(marked), dtype=np.bool_)
    numbers, lengths = np.zeros(len(starts), dtype=np.int64), np.zeros(len(starts), dtype=np.int64)
    alive = np.arange(len(starts))
    for place in range(_MOST_DIGITS + 1):
        here = starts[alive] + place
        is_digit = digit[here] < 10
        alive, here = alive[is_digit], here[is_digit]
        if not len(alive):
            break
        numbers[alive] = numbers[alive] * 10 + digit[here]
        lengths[alive] += 1
        keep[here] = False
    behind = text[starts + lengths]
    is_plain = (behind == _COMMA) | (behind == _BRACE)
    is_plain &= (lengths == 1) | (digit[starts] != 0)
    is_plain &= numbers <= LARGEST_ENERGY_WH
    if len(alive) or not is_plain.all():
        return None
    skeleton = text[: len(marked)][keep].tobytes()
    return _Scan(slot, numbers, skeleton, starts, lengths, marked)


def _learn(homes: Homes, message: IntakeMessage, scan: _Scan) -> Form | None:
    """The form, from what the general way makes of the message with other numbers, each only once in it.

    A message with numbers elsewhere than directly behind a colon is not learnt, so all that is read is ours.
    """
    count = len(scan.numbers)
    places = scan.skeleton.count(b":,") + scan.skeleton.count(b":}")
    if not count or places != count or _OTHER_NUMBER.search(scan.skeleton):
        return None
    arrivals = Arrivals()
    read(replace(message, data=_numbered(scan)), arrivals)
    item, slot, values = arrivals.columns()
    device = find_alike(homes, arrivals.items)
    if arrivals.unusable or device is None or (slot != slot_number(scan.slot.decode())).any():
        return None
    device, revision = device[item], np.array([one.revision for one in arrivals.items], dtype=np.int64)[item]
    if (values[:, len(VALUES) :] != MISSING).any() or len(np.unique(device)) != len(device):
        return None
    line = values[:, : len(VALUES)].reshape(-1)
    cells = np.flatnonzero(line != MISSING)
    numbers = np.concatenate([line[cells], np.unique(revision[revision > 0])])
    if not np.array_equal(np.sort(numbers), np.arange(1, count + 1)):
        return None
    place = np.full(count, -1, dtype=np.int32)
    place[line[cells] - 1] = cells
    return Form(device, place, (revision - 1).astype(np.int32) if revision.any() else None)


def _numbered(scan: _Scan) -> bytes:
    """The message with the numbers 1, 2, 3 and so on."""
    parts: list[bytes] = []
    end = 0
    for number, (start, length) in enumerate(
        zip(scan.starts.tolist(), scan.lengths.tolist(), strict=True), 1
    ):
        parts += (scan.marked[end:start], b"%d" % number)
        end = start + length
    parts.append(scan.marked[end:])
    return b"".join(parts).replace(_MARK, _SLOT_KEY + scan.slot + b'"')
