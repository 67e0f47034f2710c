"""A measured figure beside what it is measured against, as a line of the table and of the JSON file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

NARROWEST = 136  # columns; a narrower terminal breaks the lines, which is better than broken words


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. `rival` says what `beside` is: the limit or rival measured in the same run, same unit.

    `at_least` or `at_most` is the goal, neither where the figure is only stated.
    """

    name: str
    figure: float
    unit: str
    beside: float | None = None
    rival: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        reached = self.at_least is None or self.figure >= self.at_least
        return reached and (self.at_most is None or self.figure <= self.at_most)

    @property
    def goal(self) -> float | None:
        """The number to reach, or not to exceed."""
        return self.at_most if self.at_least is None else self.at_least

    def row(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "name": self.name,
            "figure": self.figure,
            "unit": self.unit,
            "beside": self.beside,
            "rival": self.rival,
            "goal": self.goal,
            "goal_is": None if self.goal is None else "at most" if self.at_least is None else "at least",
            "met": self.met,
        }


class WrongAnswer(Exception):
    """A bench's totals differ from the independent sum: its speed is worth nothing."""


def print_figures(figures: Sequence[Figure], machine: str) -> None:
    """The table, under the machine it was measured on; wide enough to be read where there is no terminal."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("", min_width=40)
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("beside", justify="right", no_wrap=True)
    table.add_column("", min_width=26)
    table.add_column("goal", justify="right", no_wrap=True)
    table.add_column("met", no_wrap=True)
    for each in figures:
        goal = "" if each.goal is None else f"{'≤' if each.at_least is None else '≥'} {number(each.goal)}"
        met = {True: "yes", False: "NO", None: ""}[each.met]
        beside = "" if each.beside is None else number(each.beside)
        table.add_row(each.name, number(each.figure), each.unit, beside, each.rival, goal, met)
    console = Console()
    console.width = max(console.width, NARROWEST)
    console.print(f"\n{machine}")
    console.print(table)


def number(value: float) -> str:
    """Three significant digits at least, thousands apart."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
