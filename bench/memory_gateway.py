"""The gateway with its hot reads answered from memory: same schema, same door, same process model.

It takes a gateway's environment, reads each home and each window once, and has no database to ask after that.
"""

import asyncio
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
from projections.read_clock import ClockRow, clock
from projections.read_together import Breakdown, Energy, Found
from projections.visibility import Scope
from write_side.settings import Settings


class Memory:
    """Answers what `gateway.reads.Reads` answers, from what was read before."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._households: dict[UUID, Found] = {}
        self._energies: dict[tuple[int, ...], dict[int, Energy]] = {}
        self._breakdowns: dict[tuple[int, ...], dict[UUID, Breakdown]] = {}
        self._filling = asyncio.Lock()

    async def close(self) -> None:
        """Nothing of its own is open."""

    async def clock(self) -> ClockRow | None:
        """As Reads; from the database."""
        return await self._database.read(clock)

    async def household(self, scope: Scope, household_id: UUID) -> Found | None:
        """As Reads."""
        if not self._households:
            self._households = await self._database.read(read_together.households, await self._everybody())
        if not (scope.everything or scope.household_id == household_id):
            return None
        return self._households.get(household_id)

    async def energy(self, number: int, edges: Sequence[int]) -> Energy:
        """As Reads."""
        window = tuple(edges)
        async with self._filling:
            if window not in self._energies:
                numbers = [row.number for row, _ in self._households.values()]
                self._energies[window] = await self._database.read(read_together.energies, numbers, window)
        return self._energies[window][number]

    async def breakdown(self, scope: Scope, household_id: UUID, edges: Sequence[int]) -> Breakdown:
        """As Reads."""
        del scope
        window = tuple(edges)
        async with self._filling:
            if window not in self._breakdowns:
                everybody = list(self._households)
                found = await self._database.read(read_together.breakdowns, everybody, window)
                self._breakdowns[window] = found
        return self._breakdowns[window][household_id]

    async def _everybody(self) -> list[UUID]:
        async def ids(db: psycopg.AsyncConnection[Any]) -> list[UUID]:
            cursor = await db.execute("select household_id from household")
            return [row[0] for row in await cursor.fetchall()]

        return await self._database.read(ids)


def main() -> None:
    """Serves until it is told to stop."""
    settings = Settings.from_environment()
    parts = parts_of(settings)
    parts = replace(parts, reads=cast(Reads, Memory(parts.database)))
    uvicorn.Server(configuration(application(parts), settings)).run()


if __name__ == "__main__":
    main()
