"""The benches by name, run one after the other; each answers its figures or stops at a wrong answer."""

import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.figures import Figure, WrongAnswer, print_figures
from bench.machine import describe
from bench.names import BENCHES, LONG
from bench.own_process import Died, in_own_process

FULL, SMOKE = 1.0, 0.01


def main(name: str | None, json_path: Path | None, scale: float = FULL) -> int:
    """Runs one bench, or all but the long ones; 0 when every goal is met and every total is right."""
    names = [name] if name else [each for each in BENCHES if each not in LONG]
    figures: list[Figure] = []
    is_right = True
    machine = describe()
    for each in names:
        begin = time.monotonic()
        try:
            found = in_own_process(bench(each), scale)
        except (WrongAnswer, Died) as error:
            print(f"bench {each}: {type(error).__name__}: {error}", file=sys.stderr)
            is_right = False
            continue
        print(f"bench {each}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        figures += found
    print_figures(figures, machine)
    if json_path is not None:
        json_path.write_text(json.dumps([each.row() for each in figures], indent=1) + "\n")
    return 0 if is_right and all(each.met is not False for each in figures) else 1


def bench(name: str) -> Callable[[float], Sequence[Figure]]:
    """The bench of this name: given a scale, 1.0 in full and less for a smoke run, it answers figures."""
    run: Callable[[float], Sequence[Figure]] = importlib.import_module(BENCHES[name]).run
    return run
