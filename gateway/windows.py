"""The slots a question is about: `from` and `to`, or the `last` so many, in buckets of a resolution."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated

import strawberry

from gateway.context import MOST_SLOTS, Context, operation
from gateway.faults import Fault, not_ready
from projections.read_clock import ClockRow
from write_side.rules.timeslots import (
    SLOT_SECONDS,
    Resolution,
    bucket_edges,
    day_slots,
    local_day,
    month_slots,
    slot_of,
    slot_start,
)

From = Annotated[
    datetime | None,
    strawberry.argument(name="from", description="The first slot asked for begins here or before."),
]
To = Annotated[
    datetime | None,
    strawberry.argument(description="The last slot asked for ends here; by default the grid's time."),
]
Last = Annotated[
    int | None,
    strawberry.argument(description="So many buckets that end with the newest passed slot; not with `from`."),
]
AsOf = Annotated[
    datetime | None,
    strawberry.argument(description="As known at this wall time; later readings and corrections left out."),
]
LAST_BY_DEFAULT = 96
_LONGEST_BUCKET = {
    Resolution.QUARTER_HOUR: 1,
    Resolution.HOUR: 4,
    Resolution.DAY: 92,
    Resolution.MONTH: 28 * 96 - 4,
}


@dataclass(frozen=True, kw_only=True)
class Window:
    """Buckets between neighbouring edges, in slots, and the clock they were seen at."""

    edges: list[int]
    resolution: Resolution
    clock: ClockRow

    @cached_property
    def starts(self) -> list[datetime]:
        """When each bucket begins."""
        return [slot_start(slot) for slot in self.edges[:-1]]

    @property
    def start(self) -> datetime:
        """When the first bucket begins."""
        return slot_start(self.edges[0])

    @property
    def end(self) -> datetime:
        """When the last bucket ends."""
        return slot_start(self.edges[-1])

    def is_closed(self, bucket: int) -> bool:
        """Whether every slot of a bucket has closed, or lies before the grid's first."""
        last_closed = self.clock.last_closed
        return self.edges[bucket + 1] <= max(
            self.clock.first_slot, 0 if last_closed is None else last_closed + 1
        )


async def founded_clock(context: Context) -> ClockRow:
    """The grid's clock; NOT_READY before the grid is founded."""
    found = await context.parts.reads.clock()
    if found is None:
        raise not_ready("the grid is being founded")
    return found


async def window(
    context: Context,
    start: datetime | None,
    end: datetime | None,
    last: int | None,
    resolution: Resolution = Resolution.QUARTER_HOUR,
) -> Window:
    """The buckets asked for; BAD_USER_INPUT where the question contradicts itself, TOO_COMPLEX where it is
    too long. With `last`, or nothing, they end with the newest slot that has passed."""
    now = operation().clock or await founded_clock(context)
    if start is not None or end is not None:
        edges = _between(start, end, last, now.slot, resolution)
    else:
        edges = _latest(LAST_BY_DEFAULT if last is None else last, now.slot, resolution)
    operation().spend_slots(edges[-1] - edges[0])
    return Window(edges=edges, resolution=resolution, clock=now)


def _between(
    start: datetime | None, end: datetime | None, last: int | None, now_slot: int, resolution: Resolution
) -> list[int]:
    if start is None or last is not None:
        raise Fault("BAD_USER_INPUT", "give `from` and `to`, or `last` alone")
    first = slot_of(start)
    beyond = now_slot if end is None else -(-int(end.timestamp()) // SLOT_SECONDS)
    if beyond <= first:
        raise Fault("BAD_USER_INPUT", "`to` (the grid's time where it is not given) lies behind `from`")
    if beyond - first > MOST_SLOTS:
        raise Fault("TOO_COMPLEX", f"a query reads at most {MOST_SLOTS} slots: ask for less at a time")
    edges = bucket_edges(first, beyond, resolution)
    return [first, *edges[1:-1], beyond]


def _latest(last: int, now_slot: int, resolution: Resolution) -> list[int]:
    if not 1 <= last <= MOST_SLOTS // _LONGEST_BUCKET[resolution]:
        raise Fault(
            "BAD_USER_INPUT", f"last: 1 to {MOST_SLOTS // _LONGEST_BUCKET[resolution]} at this resolution"
        )
    newest = now_slot - 1
    return bucket_edges(_first_of_last(last, newest, resolution), newest + 1, resolution)


def _first_of_last(last: int, newest: int, resolution: Resolution) -> int:
    """A slot, never behind the newest, of the first of the `last` buckets that end with the newest's."""
    if resolution in (Resolution.QUARTER_HOUR, Resolution.HOUR):
        return newest - (last - 1) * _LONGEST_BUCKET[resolution]
    day = local_day(newest)
    if resolution is Resolution.DAY:
        return day_slots(day - timedelta(days=last - 1)).start
    months = day.year * 12 + day.month - 1 - (last - 1)
    return month_slots(months // 12, months % 12 + 1).start
