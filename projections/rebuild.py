"""`./run.sh rebuild NAME` and `./run.sh check`: projections afresh, swapped in or compared with live ones."""

import os
import time
from collections.abc import Sequence

from projections import metering_rebuild, view_rebuild
from projections.metering_tables import NAME as METERING
from projections.views import VIEWS

NAMES = (*VIEWS, METERING)
MOST_SHOWN = 20


def main(arguments: Sequence[str]) -> int:
    """Runs `rebuild NAME` or `check` on DATABASE_URL; 0 when it held, 1 for a difference, 2 for usage."""
    database_url = os.environ["DATABASE_URL"]
    if list(arguments) == ["check"]:
        return check(database_url)
    if len(arguments) == 2 and arguments[0] == "rebuild" and arguments[1] in NAMES:
        started = time.monotonic()
        rebuild(database_url, arguments[1])
        print(f"{arguments[1]}: built afresh and swapped in, {time.monotonic() - started:.1f} s")
        return 0
    print(f"a projection is one of: {', '.join(NAMES)}")
    return 2


def rebuild(database_url: str, name: str) -> None:
    """Builds one projection afresh and swaps it in."""
    if name == METERING:
        metering_rebuild.rebuild(database_url)
    else:
        view_rebuild.rebuild(database_url, VIEWS[name])


def check(database_url: str) -> int:
    """Holds every live table against a rebuilt one; prints what differs, answers 1 then, else 0."""
    failed = False
    for name in NAMES:
        started = time.monotonic()
        differences = compare(database_url, name)
        verdict = "equal" if not differences else f"{len(differences)} rows differ"
        print(f"{name:14} {verdict:18} {time.monotonic() - started:6.1f} s")
        for line in differences[:MOST_SHOWN]:
            print(f"   {line}")
        failed = failed or bool(differences)
    return 1 if failed else 0


def compare(database_url: str, name: str) -> list[str]:
    """The rows in which the live tables of a projection differ from rebuilt ones."""
    if name == METERING:
        return metering_rebuild.compare(database_url)
    return view_rebuild.compare(database_url, VIEWS[name])
