"""The README's table of figures, from docs/bench.json: `python -m docs.bench_table` prints it.

The file holds `machine`, and in `rows` what `./run.sh bench --json` writes.
"""

import json
from typing import Any

from bench.figures import number
from docs.build import FOLDER

MEASURED = FOLDER / "bench.json"


def table() -> str:
    """The figures that have a goal, as Markdown; those that are only stated are in the report."""
    measured = json.loads(MEASURED.read_text())
    lines = [
        f"{measured['machine']}.",
        "",
        "| | measured | goal | beside, in the same run |",
        "|---|---:|---:|---|",
    ]
    lines += [_line(row) for row in measured["rows"] if row["goal"] is not None]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    sign = "≥" if row["goal_is"] == "at least" else "≤"
    missed = "" if row["met"] else " (missed)"
    beside = "" if row["beside"] is None else f"{number(row['beside'])} {row['rival']}"
    figure, goal = f"{number(row['figure'])} {row['unit']}", f"{sign} {number(row['goal'])}{missed}"
    return f"| {row['name']} | {figure.strip()} | {goal} | {beside} |"


if __name__ == "__main__":
    print(table(), end="")
