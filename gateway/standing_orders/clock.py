"""Moving the simulated clock: stride by stride, each with its readings, marks, closings and judgements.

Every step is derived from what the views say has been done, so that a successor goes on where this
one stopped and repeats names, never deeds.
"""

import asyncio

from gateway.standing_orders import slots
from gateway.standing_orders.autarky import Judge
from gateway.standing_orders.clock_sources import Sources
from gateway.standing_orders.desk import Desk
from gateway.standing_orders.device_orders import Post
from write_side.clock import stride_end
from write_side.commands import FinishAdvance, StepClock
from write_side.events import Stride
from write_side.rules.timeslots import slot_of, slot_start

IDLE_S = 0.02


async def run_simulated(desk: Desk, judge: Judge, sources: Sources, post: Post) -> None:
    """Carries out ordered advances for as long as the process serves."""
    await slots.judge_closed(desk, judge)
    while True:
        if not await _stride(desk, judge, sources, post):
            await slots.correct(desk)
            await asyncio.sleep(IDLE_S)


async def _stride(desk: Desk, judge: Judge, sources: Sources, post: Post) -> bool:
    """One stride of the order at hand; False where no advance is ordered."""
    found = desk.rows("select now, target, stride from clock")
    if not found or found[0][1] is None:
        return False
    now, target, stride = found[0]
    if slots.first_open(desk) < slot_of(now):  # a stride was begun and not finished
        await _account(desk, judge, sources)
    elif now < target:
        await post.settled()
        to = stride_end(now, target, Stride(stride))
        key = f"clock/{to.isoformat()}"
        receipt = await desk.send(StepClock(to=to), key=key, correlation=f"stride/{to.isoformat()}")
        await desk.reached("slots", receipt.position)
        await _account(desk, judge, sources)
    else:
        await slots.correct(desk)
        await post.settled()  # an order whose time passed with the last stride is given up before the answer
        finish = FinishAdvance(at=target)
        name = f"advanced/{target.isoformat()}"
        receipt = await desk.send(finish, key=name, correlation=name)
        await desk.reached("slots", receipt.position)
    return True


async def _account(desk: Desk, judge: Judge, sources: Sources) -> None:
    """The readings of the open stride, the marks behind them, and the closing."""
    now = desk.value("select now from clock")
    first, end = slots.first_open(desk), slot_of(now)
    silent = await sources.stride(slot_start(first), slot_start(end))
    missing = await slots.mark(desk, end - 1, slots.LONGEST_MARK_S, slots.LONGEST_SETTLING_S)
    await slots.close(desk, judge, first, end, missing, silent)
