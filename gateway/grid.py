"""The grid as a whole: its energy over a window, and now, for the control room."""

from datetime import datetime

import strawberry

from gateway.access import Principal
from gateway.context import Context, Info
from gateway.described import told
from gateway.energy import GridEnergy, GridEnergyNode, grid_series
from gateway.permission import guarded
from gateway.positions import Place
from gateway.scalars import WattHours
from gateway.series import wh
from gateway.windows import From, Last, To, Window, founded_clock, window
from projections.read_communities import count_communities
from projections.read_devices import count_devices
from projections.read_energy import grid_reporting
from projections.read_households import count_households
from write_side.rules.timeslots import Resolution


@guarded
class Grid:
    """All households together."""

    after: strawberry.Private[Place | None] = None

    def seen_by(self, principal: Principal) -> bool:
        """In a small grid its sums tell about single homes: whoever sees those sees these."""
        return principal.sees_every_household

    @told
    async def energy(
        self,
        info: Info,
        from_: From = None,
        to: To = None,
        last: Last = None,
        resolution: Resolution = Resolution.QUARTER_HOUR,
    ) -> GridEnergy:
        """Energy of all households together; by default the last 96 buckets."""
        await info.context.reached("metering", self.after)
        asked = await window(info.context, from_, to, last, resolution)
        return GridEnergy(series=await grid_series(info.context, asked))

    @told
    async def household_count(self, info: Info) -> int:
        """How many households have signed up."""
        return await info.context.read(count_households, info.context.scope)

    @told
    async def community_count(self, info: Info) -> int:
        """How many communities there are."""
        return await info.context.read(count_communities, info.context.scope)

    @told
    async def device_count(self, info: Info) -> int:
        """How many devices are attached."""
        return await info.context.read(count_devices)


@guarded
class GridNow:
    """The newest slot that has passed, as far as it has been reported."""

    slot_start: datetime = strawberry.field(description="The newest slot that has passed.")
    consumption_wh: WattHours | None = wh("Consumption reported so far")
    production_wh: WattHours | None = wh("Production reported so far")
    grid_import_wh: WattHours | None = wh("Taken from the grid at the meters, so far")
    grid_export_wh: WattHours | None = wh("Given to the grid at the meters, so far")
    households: int = strawberry.field(description="How many households there are.")
    reporting: int = strawberry.field(description="How many of them have reported anything for the slot.")
    last_closed: GridEnergyNode | None = strawberry.field(
        description="The newest slot that has closed; null before any."
    )

    def seen_by(self, principal: Principal) -> bool:
        """As for the grid."""
        return principal.sees_every_household


async def grid_now(context: Context) -> GridNow:
    """The control room's line."""
    newest = await window(context, None, None, 1)
    sums = (await grid_series(context, newest)).sums
    return GridNow(
        slot_start=newest.start,
        consumption_wh=sums.total("consumption_wh"),
        production_wh=sums.total("production_wh"),
        grid_import_wh=sums.total("grid_import_wh"),
        grid_export_wh=sums.total("grid_export_wh"),
        households=await context.read(count_households, context.scope),
        reporting=await context.read(grid_reporting, newest.edges[0]),
        last_closed=await _last_closed(context),
    )


async def _last_closed(context: Context) -> GridEnergyNode | None:
    now = await founded_clock(context)
    if now.last_closed is None:
        return None
    closed = Window(
        edges=[now.last_closed, now.last_closed + 1], resolution=Resolution.QUARTER_HOUR, clock=now
    )
    return (await grid_series(context, closed)).total(GridEnergyNode)
