"""One role of the grid as a process: `python -m deploy.role NAME [--index I]`, told the rest by its
environment."""

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

from write_side.settings import Settings

# Each is `module:function`, called with the settings and the index; imported only in its own process.
ROLES = {
    "relay": "write_side.relay:run",
    "metering": "projections.metering_worker:run",
    "views": "projections.fact_worker:run",
    "standing-orders": "gateway.standing_orders.process:run",
    "gateway": "gateway.server:run",
    "device-access": "deploy.device_access:run",
}
# They begin with what PostgreSQL holds and look for it every 0.3 to 0.5 s; at a start that is looked for here
# so often that none of them, and what follows from its work, comes late.
_BEGIN_WITH_POSTGRES = ("relay", "metering", "views", "standing-orders")
_WITHIN_SECONDS = 5.0
_GRACE_SECONDS = 4.0


def main(arguments: Sequence[str]) -> None:
    """Runs the role until it is told to stop or its parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m deploy.role")
    parser.add_argument("name", choices=ROLES)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--supervised", action="store_true", help="end when standard input closes")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, _stop)
    if chosen.supervised:
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    module, function = ROLES[chosen.name].split(":")
    run = getattr(importlib.import_module(module), function)
    settings = Settings.from_environment()
    if chosen.name in _BEGIN_WITH_POSTGRES:
        _await_postgres(settings.database_url)
    run(settings, chosen.index)


def _await_postgres(database_url: str) -> None:
    from deploy.health import wait_for_postgres

    with contextlib.suppress(TimeoutError):
        wait_for_postgres(database_url, _WITHIN_SECONDS)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _end_with_parent() -> None:
    """Standard input is a pipe whose other end the parent holds: it ends when the parent does. Read below
    Python's buffer, whose lock would hold up the interpreter's own end."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
