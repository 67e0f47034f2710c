"""Households with their devices from a CSV file: the operator's door for many at once."""

import csv
import gc
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import TextIO, TypeVar
from uuid import UUID

import psycopg
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress

from write_side.app import LONGEST_KEY, derived_id
from write_side.commands import AttachDevice, InvalidInput, Refusal, RegisterHousehold, is_storable
from write_side.events import DeviceKind, Flexibility
from write_side.importing import Newcomer, import_newcomers
from write_side.rules.timeslots import parse_utc

BY = "operator:import"
_COLUMNS = (
    "household",
    "name",
    "address",
    "latitude",
    "longitude",
    "subscribed_power_w",
    "kind",
    "device",
    "flexibility",
    "since",
    "rated_power_w",
    "capacity_wh",
    "reserve_wh",
    "efficiency_percent",
    "tilt_deg",
    "azimuth_deg",
)
_NEEDED = frozenset(("household", "name", "latitude", "longitude"))
_KINDS, _FLEXIBILITIES = dict(DeviceKind.__members__), dict(Flexibility.__members__)
_LONGEST_REFERENCE = LONGEST_KEY - 20
Cells = tuple[str, ...]
T = TypeVar("T")
_NOBODY = UUID(int=0)
_CONSOLE = Console(stderr=True)


class NotAnImport(Exception):
    """The file as a whole is none of households; nothing of it was imported."""


@dataclass(frozen=True)
class Refused:
    """A line that broke a rule: its number in the file (the heading is 1), the rule and what it says."""

    line: int
    household: str
    code: str
    reason: str


@dataclass
class _Lines:
    """A household's lines so far: number and cells of each, its own first."""

    reference: str
    household: tuple[int, Cells]
    devices: list[tuple[int, Cells]]

    def numbers(self) -> list[int]:
        return [self.household[0], *(number for number, _ in self.devices)]


class HouseholdFile:
    """The households of a file, read line by line; what cannot be read is told in `refused`.

    NotAnImport for a heading that is not ours.
    """

    def __init__(self, file: TextIO) -> None:
        self._reader = csv.reader(file, strict=True)
        heading = [name.strip() for name in next(self._reader, [])]
        unknown = [name for name in heading if name not in _COLUMNS]
        missing = sorted(_NEEDED - set(heading))
        if unknown or missing or len(set(heading)) != len(heading):
            raise NotAnImport(f"unknown columns: {unknown}; missing: {missing}; each may stand once")
        self._width = len(heading)
        place = {name: number for number, name in enumerate(heading)}
        # What has no column is read from an empty cell behind the last.
        self._cells = itemgetter(*(place.get(name, self._width) for name in _COLUMNS))
        self.refused: list[Refused] = []
        self._is_whole = True

    @property
    def line(self) -> int:
        """The line that was read last."""
        return self._reader.line_num

    def newcomers(self) -> Iterator[tuple[Newcomer, list[int]]]:
        """Each household that can be read, with the numbers of its lines."""
        for lines in self._households():
            before = len(self.refused)
            newcomer = self._newcomer(lines)
            if newcomer is not None and len(self.refused) == before:
                yield newcomer, lines.numbers()

    def refuse(self, line: int, household: str, refusal: Exception) -> None:
        """Tells that a line broke a rule."""
        self.refused.append(Refused(line, household, type(refusal).__name__, str(refusal)))

    def _households(self) -> Iterator[_Lines]:
        lines: _Lines | None = None
        for number, cells in self._rows():
            reference, kind = cells[0], cells[6]
            if not kind:
                if lines is not None:
                    yield lines
                lines = _Lines(reference, (number, cells), [])
            elif lines is not None and lines.reference == reference:
                lines.devices.append((number, cells))
            else:
                self.refuse(
                    number, reference, InvalidInput("its household's own line does not stand before it")
                )
        if lines is not None and self._is_whole:
            yield lines

    def _rows(self) -> Iterator[tuple[int, Cells]]:
        """Number and cells of each line that can be read; after one that is no CSV nothing is."""
        try:
            for row in filter(None, self._reader):
                if len(row) != self._width:
                    wrong = f"{len(row)} cells where the heading has {self._width}"
                    self.refuse(self.line, row[0], InvalidInput(wrong))
                elif not is_storable("".join(row), csv.field_size_limit()):
                    self.refuse(self.line, ascii(row[0]), InvalidInput("not UTF-8, or a NUL"))
                else:
                    yield self.line, self._cells([*row, ""])
        except csv.Error as error:
            self._is_whole = False
            told = f"no CSV: {error}; neither it, nor the household before it, nor what follows was imported"
            self.refuse(self.line, "?", InvalidInput(told))

    def _newcomer(self, lines: _Lines) -> Newcomer | None:
        number, cells = lines.household
        reference, key = lines.reference, f"import/{lines.reference}"
        try:
            household = _household(reference, key, cells)
        except Refusal as refusal:
            self.refuse(number, reference, refusal)
            return None
        devices = []
        for number, cells in lines.devices:
            try:
                devices.append(_device(household.household_id, key, cells))
            except Refusal as refusal:
                self.refuse(number, reference, refusal)
        return Newcomer(key, household, tuple(devices))


def _household(reference: str, key: str, cells: Cells) -> RegisterHousehold:
    _, name, address, latitude, longitude, power = cells[:6]
    if not reference.isprintable() or not 0 < len(reference) <= _LONGEST_REFERENCE:
        raise InvalidInput(f"household: 1 to {_LONGEST_REFERENCE} printable characters")
    return RegisterHousehold(
        household_id=derived_id(BY, key, "household"),
        name=name,
        address=address,
        latitude_deg=_read("latitude", latitude, Decimal),
        longitude_deg=_read("longitude", longitude, Decimal),
        subscribed_power_w=_whole("subscribed_power_w", power, 6000),
    )


def _device(household_id: UUID, key: str, cells: Cells) -> AttachDevice:
    device = _device_like(cells[6:])
    return replace(device, device_id=derived_id(BY, key, f"device/{device.name}"), household_id=household_id)


@lru_cache(4096)
def _device_like(cells: Cells) -> AttachDevice:
    """A device as its line has it, of nobody yet: thousands of homes have the same."""
    kind, name, flexibility, since, power, capacity, reserve, efficiency, tilt, azimuth = cells
    return AttachDevice(
        device_id=_NOBODY,
        household_id=_NOBODY,
        kind=_read("kind", kind, _KINDS.__getitem__),
        name=name,
        since=_read("since", since, parse_utc) if since else None,
        flexibility=_read("flexibility", flexibility or "ESSENTIAL", _FLEXIBILITIES.__getitem__),
        rated_power_w=_whole("rated_power_w", power, 0),
        capacity_wh=_whole("capacity_wh", capacity, 0),
        reserve_wh=_whole("reserve_wh", reserve, 0),
        efficiency_permille=_read("efficiency_percent", efficiency, _permille) if efficiency else 1000,
        tilt_deg=_read("tilt_deg", tilt, int) if tilt else None,
        azimuth_deg=_read("azimuth_deg", azimuth, int) if azimuth else None,
    )


def _whole(column: str, text: str, otherwise: int) -> int:
    return _read(column, text, int) if text else otherwise


def _permille(text: str) -> int:
    permille = Decimal(text) * 10
    if permille != permille.to_integral_value():
        raise ValueError(text)
    return int(permille)


def _read(column: str, text: str, reading: Callable[[str], T]) -> T:
    try:
        return reading(text)
    except (ValueError, KeyError, ArithmeticError):
        raise InvalidInput(f"{column}: {text[:100]!r} cannot be read") from None


@dataclass
class Import:
    """How far an import has come; what was refused stands in the file's own list."""

    households: int = 0
    devices: int = 0
    repeated: int = 0
    position: int = 0


def run(database_url: str, file: HouseholdFile) -> Iterator[Import]:
    """Imports a file's households, and tells after each group how far it has come."""
    lines: dict[str, list[int]] = {}

    def newcomers() -> Iterator[Newcomer]:
        for newcomer, numbers in file.newcomers():
            lines[newcomer.key] = numbers
            yield newcomer

    so_far = Import()
    for group in import_newcomers(database_url, newcomers(), by=BY):
        for newcomer, outcome in group:
            numbers = lines.pop(newcomer.key)
            if isinstance(outcome, Refusal):
                file.refuse(numbers[outcome.command_number], newcomer.key.removeprefix("import/"), outcome)
            elif isinstance(outcome, Exception):
                raise outcome
            elif outcome.repeated:
                so_far.repeated += 1
            else:
                so_far.households += 1
                so_far.devices += len(newcomer.devices)
                so_far.position = max(so_far.position, outcome.position)
        yield so_far


def main(path: Path, database_url: str) -> int:
    """Imports a file and tells what became of it; 0, 1 where a line was refused, 2 where nothing was
    imported as the file is none of households.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)  # half a million small objects, none of them in a circle
    so_far, unanswered = Import(), ""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        try:
            file = HouseholdFile(text)
        except (NotAnImport, csv.Error) as error:
            print(f"smartrix: {path}: {error}", file=sys.stderr)
            return 2
        try:
            with Progress(*Progress.get_default_columns(), "{task.fields[told]}", console=_CONSOLE) as bar:
                task = bar.add_task("importing", total=path.stat().st_size, told="")
                for so_far in run(database_url, file):
                    done = os.lseek(text.fileno(), 0, os.SEEK_CUR)
                    bar.update(task, completed=done, told=f"{so_far.households:,} households")
        except psycopg.Error as error:
            unanswered = f"PostgreSQL does not answer; send the file again, nothing is added twice: {error}"
    _tell(so_far, file, unanswered)
    return 1 if unanswered or file.refused else 0


def _tell(so_far: Import, file: HouseholdFile, unanswered: str) -> None:
    for refused in sorted(file.refused, key=lambda refused: refused.line):
        print(f"line {refused.line}: household {refused.household}: {refused.code}: {refused.reason}")
    if unanswered:
        print(unanswered)
    stood = f"; {so_far.repeated:,} stood already" if so_far.repeated else ""
    print(f"{so_far.households:,} households with {so_far.devices:,} devices imported{stood}")
    if file.refused:
        print(f"{len(file.refused):,} lines refused; the household of a refused line is not imported")
