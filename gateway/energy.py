"""Energy of a household, a device, a community and the grid: the types, and how each is read."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from gateway.context import Context, Info
from gateway.described import told
from gateway.permission import inside
from gateway.scalars import WattHours
from gateway.series import Balance, BalanceColumns, Series, Spanned, percent, wh, wh_column
from gateway.windows import Window
from projections import read_energy
from projections.expected_readings import Span, expected
from projections.read_devices import DeviceRow
from projections.read_energy_as_of import energy_as_of, ranking_as_of
from projections.read_households import HouseholdRow
from projections.read_together import ranked
from write_side.rules.timeslots import slot_of

if TYPE_CHECKING:
    from gateway.devices import Device

LazyDevice = Annotated["Device", strawberry.lazy("gateway.devices")]


@inside
class EnergyNode(Balance):
    """A household's energy in one bucket."""

    untracked_wh: WattHours | None = wh("Consumption that no device accounts for")


@inside
class EnergyColumns(BalanceColumns):
    """A household's energy, one list for each value."""

    untracked_wh: list[WattHours | None] = wh_column("Consumption that no device accounts for")


@inside
class DeviceShare:
    """What one device consumed in the window."""

    device: LazyDevice = strawberry.field(description="The device.")
    energy_wh: WattHours = strawberry.field(description="What it consumed in the whole window, Wh.")
    share_percent: Decimal = strawberry.field(description="Its part of the household's consumption, percent.")
    energy_by_bucket_wh: list[WattHours | None] = wh_column("What it consumed")


@inside
class HouseholdEnergy(Spanned):
    """A household's energy over a window."""

    household: strawberry.Private[HouseholdRow]
    as_of: strawberry.Private[datetime | None]

    @told
    def nodes(self) -> list[EnergyNode]:
        """One node for each bucket."""
        return self.series.nodes(EnergyNode)

    @told
    def columns(self) -> EnergyColumns:
        """The same as columns, for long series."""
        return self.series.columns(EnergyColumns)

    @told
    def total(self) -> EnergyNode:
        """The whole window in one node."""
        return self.series.total(EnergyNode)

    @told
    async def devices(self, info: Info) -> list[DeviceShare]:
        """The appliances and vehicles, the largest consumer first."""
        return await _shares(info.context, self.household, self.series, self.as_of)

    @told
    def untracked_wh(self) -> WattHours | None:
        """Consumption that no device accounts for, Wh; null where unknown."""
        return self.series.sums.total("untracked_wh")

    @told
    def untracked_percent(self) -> Decimal | None:
        """The untracked part of consumption, percent; null without consumption."""
        untracked, whole = (self.series.sums.total(name) for name in ("untracked_wh", "consumption_wh"))
        return None if untracked is None or not whole else percent(untracked, whole)


@inside
class DeviceEnergyNode(Balance):
    """A device's own readings in one bucket."""


@inside
class DeviceSeries(Spanned):
    """A device's own readings over a window."""

    @told
    def nodes(self) -> list[DeviceEnergyNode]:
        """One node for each bucket."""
        return self.series.nodes(DeviceEnergyNode)

    @told
    def columns(self) -> BalanceColumns:
        """The same as columns, for long series."""
        return self.series.columns(BalanceColumns)

    @told
    def total(self) -> DeviceEnergyNode:
        """The whole window in one node."""
        return self.series.total(DeviceEnergyNode)


@inside
class CommunityEnergyNode(Balance):
    """A community's energy in one bucket, and what its members shared."""

    shared_wh: WattHours | None = wh("Given by members and received by members")
    from_outside_wh: WattHours | None = wh("Taken from outside the community")
    to_outside_wh: WattHours | None = wh("Given to outside the community")


@inside
class CommunityEnergyColumns(BalanceColumns):
    """A community's energy, one list for each value."""

    shared_wh: list[WattHours | None] = wh_column("Given by members and received by members")
    from_outside_wh: list[WattHours | None] = wh_column("Taken from outside the community")
    to_outside_wh: list[WattHours | None] = wh_column("Given to outside the community")


@inside
class CommunityEnergy(Spanned):
    """A community's energy over a window: the sums of its members."""

    @told
    def nodes(self) -> list[CommunityEnergyNode]:
        """One node for each bucket."""
        return self.series.nodes(CommunityEnergyNode)

    @told
    def columns(self) -> CommunityEnergyColumns:
        """The same as columns, for long series."""
        return self.series.columns(CommunityEnergyColumns)

    @told
    def total(self) -> CommunityEnergyNode:
        """The whole window in one node."""
        return self.series.total(CommunityEnergyNode)


@inside
class GridEnergyNode(Balance):
    """The whole grid's energy in one bucket."""


@inside
class GridEnergy(Spanned):
    """The whole grid's energy over a window: the sums of all households."""

    @told
    def nodes(self) -> list[GridEnergyNode]:
        """One node for each bucket."""
        return self.series.nodes(GridEnergyNode)

    @told
    def columns(self) -> BalanceColumns:
        """The same as columns, for long series."""
        return self.series.columns(BalanceColumns)

    @told
    def total(self) -> GridEnergyNode:
        """The whole window in one node."""
        return self.series.total(GridEnergyNode)


async def household_series(
    context: Context, household: HouseholdRow, window: Window, as_of: datetime | None
) -> Series:
    """A household's energy as it is known now, or as it was known then."""
    if as_of is None:
        sums, spans = await context.parts.reads.energy(household.number, window.edges)
    else:
        sums = await context.read(energy_as_of, household.number, window.edges, as_of)
        spans = await context.read(read_energy.household_span, household.number)
    return Series(window, sums, expected(spans, window.edges, window.clock.slot))


async def device_series(context: Context, device: DeviceRow, window: Window) -> Series:
    """A device's own readings."""
    sums = await context.read(read_energy.device_energy, device.number, window.edges)
    attached = Span(slot_of(device.since), None if device.until is None else slot_of(device.until))
    return Series(window, sums, expected([attached], window.edges, window.clock.slot))


async def community_series(context: Context, community_id: UUID, window: Window) -> Series:
    """A community's energy."""
    sums = await context.read(read_energy.community_energy, community_id, window.edges)
    spans = await context.read(read_energy.member_spans, community_id)
    return Series(window, sums, expected(spans, window.edges, window.clock.slot))


async def grid_series(context: Context, window: Window) -> Series:
    """The grid's energy."""
    sums = await context.read(read_energy.grid_energy, window.edges)
    spans = await context.read(read_energy.grid_spans)
    return Series(window, sums, expected(spans, window.edges, window.clock.slot))


async def _shares(
    context: Context, household: HouseholdRow, series: Series, as_of: datetime | None
) -> list[DeviceShare]:
    from gateway.devices import Device

    there = await context.parts.reads.breakdown(context.scope, household.household_id, series.window.edges)
    named = {row.device_id: row for row, _ in there}
    if as_of is None:
        used = ranked(sums for _, sums in there if sums is not None)
    else:
        used = await context.read(ranking_as_of, household.number, series.window.edges, as_of)
    whole = series.sums.total("consumption_wh") or 0
    return [
        DeviceShare(
            device=Device(device_id=entry.device_id, row=named[entry.device_id]),
            energy_wh=entry.energy_wh,
            share_percent=percent(entry.energy_wh, whole),
            energy_by_bucket_wh=entry.columns,
        )
        for entry in used
        if entry.device_id in named
    ]
