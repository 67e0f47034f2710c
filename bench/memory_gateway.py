"""The gateway with its hot reads answered from memory: same schema, same door, same process model.

It takes a gateway's environment, reads each home and each window once, and has no database to ask after that.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import psycopg
import uvicorn

from gateway.application import application, parts_of
from gateway.database import Database
from gateway.reads import Reads
from gateway.server import configuration
from projections import read_together
from projections.expected_readings import Span
from projections.read_clock import ClockRow, clock
from projections.read_devices import DeviceRow
from projections.read_energy import DeviceSum, Sums
from projections.read_households import HouseholdRow
from projections.visibility import Scope
from write_side.settings import Settings


class Memory:
    """Answers what `gateway.reads.Reads` answers, from what was read before."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clock: ClockRow | None = None
        self._households: dict[UUID, HouseholdRow] = {}
        self._devices: dict[UUID, list[DeviceRow]] = {}
        self._spans: dict[int, list[Span]] = {}
        self._energies: dict[tuple[int, ...], dict[int, Sums]] = {}
        self._rankings: dict[tuple[int, ...], dict[UUID, list[DeviceSum]]] = {}

    async def clock(self) -> ClockRow | None:
        if self._clock is None:
            self._clock = await self._database.read(clock)
            await self._fill()
        return self._clock

    async def _fill(self) -> None:
        async def ids(db: psycopg.AsyncConnection[Any]) -> list[UUID]:
            cursor = await db.execute("select household_id from household")
            return [row[0] for row in await cursor.fetchall()]

        everybody = await self._database.read(ids)
        self._households = await self._database.read(read_together.households, everybody)
        self._devices = await self._database.read(read_together.devices, everybody)
        numbers = [row.number for row in self._households.values()]
        self._spans = await self._database.read(read_together.spans, numbers)

    async def household(self, scope: Scope, household_id: UUID) -> HouseholdRow | None:
        if not self._households:
            await self.clock()
        if not (scope.everything or scope.household_id == household_id):
            return None
        return self._households.get(household_id)

    async def devices(self, scope: Scope, household_id: UUID) -> list[DeviceRow]:
        del scope
        return self._devices[household_id]

    async def spans(self, number: int) -> list[Span]:
        return self._spans[number]

    async def energy(self, number: int, edges: Sequence[int]) -> Sums:
        window = tuple(edges)
        if window not in self._energies:
            numbers = [row.number for row in self._households.values()]
            self._energies[window] = await self._database.read(read_together.energies, numbers, window)
        return self._energies[window][number]

    async def ranking(self, household_id: UUID, edges: Sequence[int]) -> list[DeviceSum]:
        window = tuple(edges)
        if window not in self._rankings:
            everybody = list(self._households)
            self._rankings[window] = await self._database.read(read_together.rankings, everybody, window)
        return self._rankings[window][household_id]


def main() -> None:
    """Serves until it is told to stop."""
    settings = Settings.from_environment()
    parts = parts_of(settings)
    parts = replace(parts, reads=cast(Reads, Memory(parts.database)))
    uvicorn.Server(configuration(application(parts), settings)).run()


if __name__ == "__main__":
    main()
