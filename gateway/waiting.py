"""Waiting for a view: woken by what the workers announce, and looking for itself where nobody does."""

import asyncio
import json
import time

from gateway.database import Database
from projections.read_positions import VIEWS, view_position

LONGEST_WAIT_S = 2.0
_LOOK_EVERY_S = 0.1
_MANY_PARTITIONS = frozenset(("metering",))


class Views:
    """How far each view is known to be, and who waits for it to move."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._positions = dict.fromkeys(VIEWS, 0)
        self._moves = dict.fromkeys(VIEWS, 0)
        self._moved = {view: asyncio.Event() for view in VIEWS}

    def hear(self, announcement: bytes) -> None:
        """Takes {"view", "position"} in; anything else is no announcement."""
        try:
            told = json.loads(announcement)
            view, position = str(told["view"]), int(told["position"])
        except (ValueError, KeyError, TypeError):
            return
        if view not in self._positions:
            return
        # One partition's word is not the whole view's: it wakes, and the table tells.
        if view not in _MANY_PARTITIONS:
            self._positions[view] = max(self._positions[view], position)
        self._moves[view] += 1
        self._moved[view].set()
        self._moved[view] = asyncio.Event()

    def moves(self, view: str) -> int:
        """A number that changes with each announcement, to be given to `moved`."""
        return self._moves[view]

    async def moved(self, view: str, since: int, within: float) -> None:
        """Until the view has announced something since then, at most `within` seconds."""
        if self._moves[view] == since:
            try:
                await asyncio.wait_for(self._moved[view].wait(), within)
            except TimeoutError:
                return

    async def reached(self, view: str, position: int, within: float = LONGEST_WAIT_S) -> bool:
        """Whether the view has every fact up to a position, waiting for it at most `within` seconds."""
        deadline = time.monotonic() + within
        while self._positions[view] < position:
            since = self._moves[view]
            await self.moved(view, since, _LOOK_EVERY_S)
            if self._positions[view] < position and (view in _MANY_PARTITIONS or self._moves[view] == since):
                await self.look(view)
            if time.monotonic() >= deadline:
                break
        return self._positions[view] >= position

    async def look(self, view: str) -> int:
        """How far the view's own table says it is."""
        position = await self._database.read(view_position, view)
        self._positions[view] = max(self._positions[view], position)
        return position
