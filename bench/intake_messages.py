"""What the clients of the intake benches send, in which order, and what every total must be after it."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg

from bench.figures import WrongAnswer
from bench.metered_load import FIRST, TERMS, VARIANTS, Community, Ints

_SUMS = ", ".join(f"sum({name}_wh)::bigint" for name in TERMS)
_NOT_SENT = -1


@dataclass(frozen=True, slots=True)
class Sent:
    """What one message says: of which homes, the slot, which values, its revision; and what comes next."""

    community: int
    home: int | None  # None: all homes of the community
    slot: int
    variant: int
    revision: int
    next_number: int


def from_concentrators(made: int, first: int, revisit: bool = False) -> Iterator[Sent]:
    """The messages from number `first` on: slot by slot, one a community.

    With `revisit` every tenth is one of the slot before, in turns the same again and with other values.
    """
    for number in itertools.count(first):
        slot, community = FIRST + number // made, number % made
        if revisit and number % 9 == 8 and slot > FIRST:
            is_correction = number % 2
            yield Sent(community, None, slot - 1, slot - 1 + is_correction, is_correction, number)
        yield Sent(community, None, slot, slot, 0, number + 1)


def from_homes(made: int, homes: int, first: int) -> Iterator[Sent]:
    """The homes' own messages from number `first` on: slot by slot, one a home."""
    for number in itertools.count(first):
        slot, home = FIRST + number // (made * homes), number % (made * homes)
        yield Sent(home // homes, home % homes, slot, slot, 0, number + 1)


class Expected:
    """What was sent so far, by community, slot and home: the number of the values that count, or none."""

    def __init__(self, made: list[Community]) -> None:
        self._made = made
        self._homes = len(made[0].homes)
        self._current: dict[tuple[int, int], Ints] = {}
        self.messages = 0

    def add(self, messages: Iterable[Sent]) -> None:
        """These were sent, in this order; a correction never comes before what it corrects."""
        for sent in messages:
            key = sent.community, sent.slot
            if key not in self._current:
                self._current[key] = np.full(self._homes, _NOT_SENT)
            self._current[key][slice(None) if sent.home is None else sent.home] = sent.variant % VARIANTS
            self.messages += 1

    def check(self, database_url: str) -> int:
        """Compares the totals of grid, communities and households with the sums; the number of homes' slots.

        WrongAnswer where one differs.
        """
        communities, grid, households = self._sums()
        with psycopg.connect(database_url, options="-csearch_path=metering,intake") as connection:
            grids = f"select slot, sum(reporting)::bigint, {_SUMS} from grid_energy group by slot"
            _compare("grid", grid, connection.execute(grids).fetchall(), 1)
            of_communities = f"""select community_id, slot, sum(reporting)::bigint, {_SUMS}
                                 from community_energy group by 1, 2"""
            _compare("community", communities, connection.execute(of_communities).fetchall(), 2)
            of_homes = f"""select household_id, count(*), {_SUMS} from household_energy
                           join meter_household using (household) group by 1"""
            _compare("household", households, connection.execute(of_homes).fetchall(), 1)
            readings = connection.execute("select count(*) from reading").fetchone()
        homes = sum(int(line[0]) for line in grid.values())
        devices = len(self._made[0].homes[0].devices)
        if readings != (homes * devices,):
            raise WrongAnswer(f"{homes * devices} readings were sent, {readings} are stored")
        return homes

    def _sums(self) -> tuple[dict[Any, Ints], dict[Any, Ints], dict[Any, Ints]]:
        communities: dict[Any, Ints] = {}
        grid: dict[Any, Ints] = {}
        households: dict[Any, Ints] = {}
        for (number, slot), variants in self._current.items():
            community = self._made[number]
            lines = community.sums[variants, np.arange(self._homes)]
            lines = np.concatenate([np.ones((self._homes, 1), dtype=np.int64), lines], axis=1)
            lines = np.where((variants == _NOT_SENT)[:, np.newaxis], 0, lines)
            communities[community.community, slot] = total = lines.sum(axis=0)
            grid[slot] = grid.get(slot, 0) + total
            households[number] = households.get(number, 0) + lines
        return communities, grid, _by_id(self._made, households)


def _by_id(made: list[Community], households: dict[Any, Ints]) -> dict[Any, Ints]:
    return {
        home.household: line
        for number, lines in households.items()
        for home, line in zip(made[number].homes, lines, strict=True)
        if line[0]
    }


def _compare(name: str, expected: dict[Any, Ints], found: list[tuple[Any, ...]], width: int) -> None:
    seen = {row[0] if width == 1 else row[:width]: row[width:] for row in found}
    if seen.keys() != expected.keys():
        raise WrongAnswer(f"{name}: {len(expected)} rows were expected, {len(seen)} are there")
    for key, line in expected.items():
        if tuple(line.tolist()) != seen[key]:
            raise WrongAnswer(f"{name} {key}: {line.tolist()} was sent, {seen[key]} is there")
