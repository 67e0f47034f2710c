"""The garbage collector beside ten thousand sockets.

A full collection looks at all that they hold, 0.15 ms a socket, and stops the process meanwhile: longer than
a push may take. What is there to stay is therefore set apart, where it is freed like anything else once
nobody refers to it; cycles among it are looked for after many sockets have closed, or an hour.
"""

import asyncio
import gc

from gateway.connections import BoundedSocket

_LOOK_EVERY_S = 1.0
_LOOKS_A_COLLECTION = 60  # once a minute what is new; once an hour everything
_LOOKS_AT_ALL = 3_600
_WORTH_SETTING_APART = 200
_CLOSED_BEFORE_ALL_IS_LOOKED_AT = 20_000
_YOUNG, _MIDDLE, _OLD = 10_000, 20, 1_000_000_000


async def keep_collections_short() -> None:
    """Takes over the collection of what has grown old, for as long as the process serves."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    try:
        await _collect_for_ever()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


async def _collect_for_ever() -> None:
    apart = looks = 0
    closed = BoundedSocket.closed
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        looks += 1
        if looks % _LOOKS_AT_ALL == 0 or BoundedSocket.closed - closed > _CLOSED_BEFORE_ALL_IS_LOOKED_AT:
            closed, apart = BoundedSocket.closed, 0
            gc.unfreeze()
        there = BoundedSocket.opened - BoundedSocket.closed
        if there - apart > _WORTH_SETTING_APART or looks % _LOOKS_A_COLLECTION == 0:
            apart = there
            gc.collect()
            gc.freeze()
        apart = min(apart, there)
