"""The project's tests: style, types, import rules, then pytest; with arguments pytest alone, with them."""

import signal
import subprocess
import sys
from collections.abc import Sequence

from deploy.grid import REPOSITORY

_STEPS = (
    ("ruff", ("-m", "ruff", "check", "--quiet")),
    ("ruff format", ("-m", "ruff", "format", "--check", "--quiet")),
    ("mypy", ("-m", "mypy", "--no-error-summary")),
    ("import rules", ("-c", "from importlinter.cli import lint_imports_command as run; run()")),
    ("pytest", ("-m", "pytest", "-n", "2", "--dist", "loadfile", "--tb", "short")),
)
_PYTEST_USAGE = 4


def run_checks(pytest_arguments: Sequence[str]) -> int:
    """Every step runs, so one run shows everything: 0 when all held, else 1, and 2 for wrong arguments."""
    if pytest_arguments:
        status = _run(("-m", "pytest", *pytest_arguments))
        return {0: 0, _PYTEST_USAGE: 2}.get(status, 1)
    failed = []
    for name, command in _STEPS:
        print(f"== {name}", flush=True)
        if _run(command) != 0:
            failed.append(name)
    print("failed: " + ", ".join(failed) if failed else "everything holds", flush=True)
    return 1 if failed else 0


def _run(command: tuple[str, ...]) -> int:
    """Passes an order to stop on to the step and waits: tests need a moment to end the servers they started.
    Ctrl-C in a terminal reaches the step by itself."""
    step = subprocess.Popen((sys.executable, *command), cwd=REPOSITORY)
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    signal.signal(signal.SIGTERM, lambda _number, _frame: step.send_signal(signal.SIGINT))
    return step.wait()
