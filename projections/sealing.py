"""Sealing in the background: what a worker does for its partitions between batches of readings.

A day is sealed when `after_days` whole days of settled slots lie behind it. A step is one transaction of its
own, over one day of one group of devices.
"""

import time

from projections.binary_copy import Connection
from projections.day_codec import DAY_SLOTS
from projections.metering_batch import Partitions
from projections.metering_tables import NAME
from projections.schemas import hold_in_place
from projections.sealed_days import assign_groups, seal_next

BUSY_PAUSE_S = 1.0  # between steps while readings come: a step takes a tenth of that
IDLE_S = 0.1  # of steps one after the other while none come
LOOK_AGAIN_S = 60.0


class Sealing:
    """How far each of a worker's partitions is sealed, as it last saw."""

    def __init__(self, after_days: int) -> None:
        self._after_slots = after_days * DAY_SLOTS
        self._grouped: dict[int, int] = {}
        self._done: dict[int, int] = {}
        self._looked = self._worked = float("-inf")

    def work(self, connection: Connection, state: Partitions, is_idle: bool) -> None:
        """Seals for a moment: one step a second where readings wait, else one after the other."""
        begin = time.monotonic()
        if not is_idle and begin - self._worked < BUSY_PAUSE_S:
            return
        self._worked = begin
        while self.step(connection, state) and is_idle and time.monotonic() - begin < IDLE_S:
            pass

    def step(self, connection: Connection, state: Partitions) -> bool:
        """Seals a day of one group where one is due; whether there was anything to do."""
        now = time.monotonic()
        if now - self._looked > LOOK_AGAIN_S:  # late readings open days again
            self._looked = now
            self._done.clear()
        settled = state.settled_until()
        for partition in sorted(state.facts):
            before = (int(settled[partition]) + 1 - self._after_slots) // DAY_SLOTS * DAY_SLOTS
            if self._done.get(partition, 0) < before:
                self._step(connection, state, partition, before)
                return True
        return False

    def _step(self, connection: Connection, state: Partitions, partition: int, before: int) -> None:
        with connection.transaction():
            hold_in_place(connection, NAME)
            if self._grouped.get(partition, 0) < before:
                assign_groups(connection, state.homes, partition, before)
            elif seal_next(connection, partition, before) is None:
                self._done[partition] = before
        self._grouped[partition] = before
