"""What nearly every question reads, asked for all who ask at the same time together."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from gateway.batches import Batch
from gateway.database import Database
from projections import read_autarky, read_together
from projections.expected_readings import Span
from projections.read_autarky import HourSums, StateRow
from projections.read_clock import ClockRow, clock
from projections.read_together import Breakdown, Energy, Found
from projections.visibility import Scope
from write_side.rules.autarky import AutarkyRule

Edges = tuple[int, ...]
B = TypeVar("B", bound=Batch[Any, Any])
_MOST_WINDOWS = 256


class Reads:
    """One for a gateway process, on connections of its own. None of it is remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clock: Batch[None, ClockRow | None] = Batch(self._ask_clock, _none)
        self._households: Batch[UUID, Found | None] = Batch(
            lambda ids: database.read(read_together.households, ids), _none
        )
        self._states: Batch[UUID, StateRow | None] = Batch(
            lambda ids: database.read(read_autarky.states, ids), _none
        )
        self._rules: Batch[UUID, AutarkyRule] = Batch(
            lambda ids: database.read(read_autarky.rules, ids), AutarkyRule
        )
        self._memberships: Batch[UUID, list[Span]] = Batch(
            lambda ids: database.read(read_autarky.memberships, ids), list
        )
        self._household_hours: OrderedDict[Edges, Batch[int, list[HourSums]]] = OrderedDict()
        self._community_hours: OrderedDict[Edges, Batch[UUID, list[HourSums]]] = OrderedDict()
        self._energies: OrderedDict[Edges, Batch[int, Energy | None]] = OrderedDict()
        self._breakdowns: OrderedDict[Edges, Batch[UUID, Breakdown]] = OrderedDict()

    async def close(self) -> None:
        """Closes its connections."""
        await self._database.close()

    async def clock(self) -> ClockRow | None:
        """The clock, None before the grid is founded."""
        return await self._clock.answer(None)

    async def household(self, scope: Scope, household_id: UUID) -> Found | None:
        """One household and the clock at the same moment, None where there is none in the scope."""
        if not (scope.everything or scope.household_id == household_id):
            return None
        return await self._households.answer(household_id)

    async def energy(self, number: int, edges: Sequence[int]) -> Energy:
        """A household's balance and its untracked rest, Wh; and since when it is measured."""

        def asking(window: Edges) -> Batch[int, Energy | None]:
            return Batch(lambda numbers: self._database.read(read_together.energies, numbers, window), _none)

        found = await _of_window(self._energies, tuple(edges), asking).answer(number)
        assert found is not None
        return found

    async def breakdown(self, scope: Scope, household_id: UUID, edges: Sequence[int]) -> Breakdown:
        """All devices a household ever had, with what each consumed, Wh; none outside the scope."""
        if not (scope.everything or scope.household_id == household_id):
            return []

        def asking(window: Edges) -> Batch[UUID, Breakdown]:
            return Batch(lambda ids: self._database.read(read_together.breakdowns, ids, window), list)

        return await _of_window(self._breakdowns, tuple(edges), asking).answer(household_id)

    async def autarky_state(self, subject_id: UUID) -> StateRow | None:
        """The state of a household or community, None before its first change."""
        return await self._states.answer(subject_id)

    async def autarky_rule(self, subject_id: UUID) -> AutarkyRule:
        """The rule a household or community is judged by, the default where none was set."""
        return await self._rules.answer(subject_id)

    async def memberships(self, community_id: UUID) -> list[Span]:
        """When each household was a member of a community."""
        return await self._memberships.answer(community_id)

    async def household_hours(self, number: int, first: int, end: int) -> list[HourSums]:
        """A household's sums of the slots first <= slot < end, by local hour."""

        def asking(window: Edges) -> Batch[int, list[HourSums]]:
            return Batch(
                lambda numbers: self._database.read(read_autarky.household_hours, numbers, *window), list
            )

        return await _of_window(self._household_hours, (first, end), asking).answer(number)

    async def community_hours(self, community_id: UUID, first: int, end: int) -> list[HourSums]:
        """A community's sums of the slots first <= slot < end, by local hour."""

        def asking(window: Edges) -> Batch[UUID, list[HourSums]]:
            return Batch(lambda ids: self._database.read(read_autarky.community_hours, ids, *window), list)

        return await _of_window(self._community_hours, (first, end), asking).answer(community_id)

    async def _ask_clock(self, _keys: Sequence[None]) -> dict[None, ClockRow | None]:
        return {None: await self._database.read(clock)}


def _none() -> None:
    return None


def _of_window(windows: OrderedDict[Edges, B], edges: Edges, made: Callable[[Edges], B]) -> B:
    """The batch of one window: a long one is not to hold up a short one."""
    found = windows.get(edges)
    if found is None:
        found = windows[edges] = made(edges)
        if len(windows) > _MOST_WINDOWS:
            windows.popitem(last=False)
    else:
        windows.move_to_end(edges)
    return found
