"""What a scenario tells the person who watches: each step with its request, answer, facts and time."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text


class StepFailed(Exception):
    """Something in a step did not hold; the message says what was expected and what was seen."""


def is_terminal() -> bool:
    """Whether colours and moving bars are welcome."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


class Narrative:
    """Plain lines, coloured in a terminal."""

    def __init__(self) -> None:
        self._console = Console(
            no_color=not is_terminal(), force_terminal=is_terminal(), highlight=False, soft_wrap=True
        )

    def title(self, text: str) -> None:
        """A scenario begins."""
        self._console.print(Text(f"\n{text}", style="bold"))

    def line(self, label: str, text: str, style: str = "") -> None:
        """One line of a step: what kind of line, and the line."""
        for index, part in enumerate(text.splitlines() or [""]):
            head = Text(f"      {label if index == 0 else '':<9}", style="dim")
            self._console.print(head + Text(part, style=style))

    @contextmanager
    def step(self, number: int, sentence: str) -> Iterator[None]:
        """One step: its sentence before, its time after; a failure is told where it happened."""
        self._console.print(Text(f"{number:>4}  {sentence}", style="bold cyan"))
        began = time.perf_counter()
        try:
            yield
        except StepFailed as failure:
            self.line("FAILED", str(failure), "bold red")
            raise
        self.line("took", f"{time.perf_counter() - began:.2f} s", "dim")

    def asks(self, request: str) -> None:
        """The request of a step, in short."""
        self.line("asks", request)

    def answer(self, text: str) -> None:
        """The answer, in short: the figures that matter."""
        self.line("answer", text)

    def facts(self, names: Iterable[str]) -> None:
        """The facts the step caused, counted."""
        counted = Counter(names)
        told = ", ".join(name if count == 1 else f"{name} x{count}" for name, count in counted.items())
        self.line("facts", told or "none", "green")

    def holds(self, what: str, seen: Any, expected: Any) -> None:
        """Tells that a figure is as expected; StepFailed where it is not."""
        self.holds_that(what, seen == expected, str(expected), str(seen))
        self.line("holds", f"{what}: {seen}", "green")

    def holds_that(self, what: str, is_so: bool, expected: str, seen: str) -> None:
        """StepFailed unless it is so."""
        if not is_so:
            raise StepFailed(f"{what}: expected {expected}, seen {seen}")
