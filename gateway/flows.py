"""Where a household's energy came from and went to, and what its battery holds, by colour."""

from datetime import datetime
from decimal import Decimal

import strawberry

from gateway.context import Context
from gateway.described import told
from gateway.permission import inside
from gateway.scalars import WattHours
from gateway.series import Bucket, Columns, Series, Spanned, percent, wh, wh_column
from gateway.windows import Window
from projections import read_energy
from projections.expected_readings import expected
from projections.read_devices import devices, reported_stock
from projections.read_households import HouseholdRow
from write_side.rules.timeslots import slot_start

_OWN_TO_LOAD = "Out of batteries to load, of own production"
_LOCAL_TO_LOAD = "Out of batteries to load, received from the community before"
_OWN_TO_GRID = "Out of batteries to the grid, of own production"


@inside
class FlowNode(Bucket):
    """A household's flows in one bucket: settled slots with every term only."""

    pv_to_load_wh: WattHours | None = wh("Production to load")
    pv_to_battery_wh: WattHours | None = wh("Production into batteries")
    pv_to_grid_wh: WattHours | None = wh("Production to the grid")
    grid_to_battery_wh: WattHours | None = wh("Grid into batteries")
    battery_to_load_wh: WattHours | None = wh("Out of batteries to load")
    battery_to_grid_wh: WattHours | None = wh("Out of batteries to the grid")
    grid_to_load_wh: WattHours | None = wh("Grid to load")
    own_battery_to_load_wh: WattHours | None = wh(_OWN_TO_LOAD)
    local_battery_to_load_wh: WattHours | None = wh(_LOCAL_TO_LOAD)
    own_battery_to_grid_wh: WattHours | None = wh(_OWN_TO_GRID)
    received_wh: WattHours | None = wh("Received from the community, within what came from the grid")
    given_wh: WattHours | None = wh("Given to the community, within what went to the grid")
    stock_own_wh: WattHours | None = wh("Stored at the end, of own production")
    stock_local_wh: WattHours | None = wh("Stored at the end, received from the community")
    stock_grid_wh: WattHours | None = wh("Stored at the end, from the grid")


@inside
class FlowColumns(Columns):
    """A household's flows, one list for each value."""

    pv_to_load_wh: list[WattHours | None] = wh_column("Production to load")
    pv_to_battery_wh: list[WattHours | None] = wh_column("Production into batteries")
    pv_to_grid_wh: list[WattHours | None] = wh_column("Production to the grid")
    grid_to_battery_wh: list[WattHours | None] = wh_column("Grid into batteries")
    battery_to_load_wh: list[WattHours | None] = wh_column("Out of batteries to load")
    battery_to_grid_wh: list[WattHours | None] = wh_column("Out of batteries to the grid")
    grid_to_load_wh: list[WattHours | None] = wh_column("Grid to load")
    own_battery_to_load_wh: list[WattHours | None] = wh_column(_OWN_TO_LOAD)
    local_battery_to_load_wh: list[WattHours | None] = wh_column(_LOCAL_TO_LOAD)
    own_battery_to_grid_wh: list[WattHours | None] = wh_column(_OWN_TO_GRID)
    received_wh: list[WattHours | None] = wh_column("Received from the community")
    given_wh: list[WattHours | None] = wh_column("Given to the community")
    stock_own_wh: list[WattHours | None] = wh_column("Stored at the end, of own production")
    stock_local_wh: list[WattHours | None] = wh_column("Stored at the end, received from the community")
    stock_grid_wh: list[WattHours | None] = wh_column("Stored at the end, from the grid")


@inside
class HouseholdFlows(Spanned):
    """A household's flows over a window."""

    @told
    def nodes(self) -> list[FlowNode]:
        """One node for each bucket."""
        return self.series.nodes(FlowNode)

    @told
    def columns(self) -> FlowColumns:
        """The same as columns, for long series."""
        return self.series.columns(FlowColumns)

    @told
    def total(self) -> FlowNode:
        """The whole window in one node; stocks are those at its end."""
        return self.series.total(FlowNode)


@inside
class BatteryState:
    """What a household's batteries hold together."""

    capacity_wh: WattHours = strawberry.field(description="What they can hold, Wh.")
    stock_wh: WattHours | None = wh("What they hold, accounted from charge and discharge")
    own_wh: WattHours | None = wh("Of that, own production")
    local_wh: WattHours | None = wh("Of that, received from the community")
    grid_wh: WattHours | None = wh("Of that, from the grid")
    accounted_at: datetime | None = strawberry.field(
        description="The end of the last settled slot the account stands at; null before any."
    )
    soc_percent: Decimal | None = strawberry.field(
        description="The state of charge they reported last, percent of capacity; null before any report."
    )
    reported_at: datetime | None = strawberry.field(
        description="The end of the slot of that report; null before any."
    )


async def flow_series(context: Context, household: HouseholdRow, window: Window) -> Series:
    """A household's flows."""
    sums = await context.read(read_energy.household_flows, household.number, window.edges)
    spans = await context.read(read_energy.household_span, household.number)
    return Series(window, sums, expected(spans, window.edges, window.clock.slot))


async def battery_state(context: Context, household: HouseholdRow) -> BatteryState | None:
    """What the household's batteries hold, None where it has none."""
    attached = await context.read(devices, context.scope, household.household_id, include_detached=False)
    batteries = [device for device in attached if device.kind == "BATTERY"]
    if not batteries:
        return None
    capacity = sum(battery.capacity_wh for battery in batteries)
    stock = await context.read(read_energy.last_stock, household.number)
    report = await context.read(reported_stock, household.household_id)
    return BatteryState(
        capacity_wh=capacity,
        stock_wh=None if stock is None else stock.own_wh + stock.local_wh + stock.grid_wh,
        own_wh=None if stock is None else stock.own_wh,
        local_wh=None if stock is None else stock.local_wh,
        grid_wh=None if stock is None else stock.grid_wh,
        accounted_at=None if stock is None else slot_start(stock.slot + 1),
        soc_percent=None if report is None else percent(report.soc_wh, capacity),
        reported_at=None if report is None else slot_start(report.slot + 1),
    )
