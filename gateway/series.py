"""A series both ways: as nodes, one for each bucket, and as columns; with its total."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

import strawberry

from gateway.context import operation
from gateway.described import told
from gateway.permission import inside
from gateway.scalars import WattHours
from gateway.windows import Window
from projections.expected_readings import Slots
from projections.read_energy import STOCKS, Sums
from write_side.rules.timeslots import Resolution, slot_start

N = TypeVar("N", bound="Bucket")
C = TypeVar("C", bound="Columns")

strawberry.enum(
    Resolution,
    description="The width of a bucket; hours, days and months are those of Europe/Paris.",
)
_NAMES = {"charge_wh": "battery_charge_wh", "discharge_wh": "battery_discharge_wh"}
_COLUMNS = {attribute: column for column, attribute in _NAMES.items()}
_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True)
class Series:
    """The sums of a window's buckets, and how many household-slots (for a device: slots) to expect there."""

    window: Window
    sums: Sums
    expected: Slots

    def nodes(self, node: type[N]) -> list[N]:
        """A node of this type for each bucket."""
        operation().spend_nodes(len(self.sums.counted))
        return cast(list[N], Nodes(self, node))

    def total(self, node: type[N]) -> N:
        """One node for the whole window; of what is stored, the end counts."""
        columns = self.sums.columns
        values = {name: _last(columns[name]) if name in STOCKS else self.sums.total(name) for name in columns}
        counted, expected = sum(self.sums.counted), int(self.expected.sum())
        closed = self.window.is_closed(len(self.expected) - 1)
        return _made(node, self.window.start, self.window.end, values, counted, expected, closed)

    def columns(self, columns: type[C]) -> C:
        """The same values, one list for each."""
        values: dict[str, Any] = {_NAMES.get(name, name): found for name, found in self.sums.columns.items()}
        return columns(
            start=self.window.start,
            resolution=self.window.resolution,
            starts=self.window.starts,
            coverage_percent=self.covered(),
            **values,
        )

    def covered(self) -> list[Decimal]:
        """The coverage of each bucket, percent."""
        return [*map(percent, self.sums.counted, self.expected.tolist())]

    def node(self, node: type[N], bucket: int) -> N:
        """One bucket's node."""
        values = {name: found[bucket] for name, found in self.sums.columns.items()}
        start, end = (slot_start(edge) for edge in self.window.edges[bucket : bucket + 2])
        closed = self.window.is_closed(bucket)
        counted, expected = self.sums.counted[bucket], int(self.expected[bucket])
        return _made(node, start, end, values, counted, expected, closed)


class Nodes(Generic[N]):
    """The nodes of a series, made one by one where they are looked at, or read as columns."""

    def __init__(self, series: Series, node: type[N]) -> None:
        self._series = series
        self._node = node

    def __iter__(self) -> Iterator[N]:
        return (self._series.node(self._node, bucket) for bucket in range(len(self._series.sums.counted)))

    def column(self, attribute: str) -> Sequence[Any]:
        """What one attribute is in each node; KeyError for one that none has."""
        series = self._series
        match attribute:
            case "start":
                return series.window.starts
            case "end":
                return [*series.window.starts[1:], series.window.end]
            case "coverage_percent":
                return series.covered()
            case "closed":
                return [series.window.is_closed(bucket) for bucket in range(len(series.sums.counted))]
        return series.sums.columns[_COLUMNS.get(attribute, attribute)]


@lru_cache(4096)
def percent(part: int, whole: int) -> Decimal:
    """A part of a whole in percent, to a hundredth, at most 100; 0 of nothing."""
    share = min(Decimal(100), Decimal(100 * part) / Decimal(whole)) if whole > 0 else Decimal(0)
    return share.quantize(_HUNDREDTH)


def _made(
    node: type[N],
    start: datetime,
    end: datetime,
    values: Mapping[str, int | None],
    counted: int,
    expected: int,
    closed: bool,
) -> N:
    named: dict[str, Any] = {_NAMES.get(name, name): value for name, value in values.items()}
    return node(start=start, end=end, coverage_percent=percent(counted, expected), closed=closed, **named)


def _last(column: Sequence[int | None]) -> int | None:
    return next((value for value in reversed(column) if value is not None), None)


def wh(what: str) -> Any:
    """A field for an energy that may be unknown."""
    return strawberry.field(description=f"{what}, Wh; null where nothing is known.")


def wh_column(what: str) -> Any:
    """A field for a column of energies."""
    return strawberry.field(description=f"{what}, Wh by bucket; null where nothing is known.")


@inside
class Bucket:
    """A bucket of a series."""

    start: datetime = strawberry.field(description="When it begins.")
    end: datetime = strawberry.field(description="When it ends.")
    coverage_percent: Decimal = strawberry.field(
        description="Slots with every term among those expected, percent."
    )
    closed: bool = strawberry.field(
        description="Whether all its slots have closed; late readings may still change it."
    )


@inside
class Balance(Bucket):
    """Energy in and out in one bucket."""

    consumption_wh: WattHours | None = wh("Consumption")
    production_wh: WattHours | None = wh("Production by panels and generators")
    grid_import_wh: WattHours | None = wh("Taken from the grid at the meter")
    grid_export_wh: WattHours | None = wh("Given to the grid at the meter")
    battery_charge_wh: WattHours | None = wh("Into batteries, at their terminals")
    battery_discharge_wh: WattHours | None = wh("Out of batteries, at their terminals")


@inside
class Columns:
    """A series as columns."""

    start: datetime = strawberry.field(description="When the first bucket begins.")
    resolution: Resolution = strawberry.field(description="The width of the buckets.")
    starts: list[datetime] = strawberry.field(description="When each bucket begins.")
    coverage_percent: list[Decimal] = strawberry.field(
        description="Slots with every term among those expected, percent by bucket."
    )


@inside
class BalanceColumns(Columns):
    """Energy in and out, one list for each value."""

    consumption_wh: list[WattHours | None] = wh_column("Consumption")
    production_wh: list[WattHours | None] = wh_column("Production by panels and generators")
    grid_import_wh: list[WattHours | None] = wh_column("Taken from the grid at the meter")
    grid_export_wh: list[WattHours | None] = wh_column("Given to the grid at the meter")
    battery_charge_wh: list[WattHours | None] = wh_column("Into batteries, at their terminals")
    battery_discharge_wh: list[WattHours | None] = wh_column("Out of batteries, at their terminals")


@inside
class Spanned:
    """A series and its span."""

    series: strawberry.Private[Series]

    @told
    def start(self) -> datetime:
        """When the first bucket begins."""
        return self.series.window.start

    @told
    def end(self) -> datetime:
        """When the last bucket ends."""
        return self.series.window.end

    @told
    def resolution(self) -> Resolution:
        """The width of the buckets."""
        return self.series.window.resolution
