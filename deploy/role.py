"""One role of the grid as a process: `python -m deploy.role NAME [--index I]`, told the rest by its
environment."""

import argparse
import importlib
import logging
import os
import signal
import threading
import time
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
_GRACE_SECONDS = 4.0


def main() -> None:
    """Runs the role until it is told to stop or its parent is gone."""
    arguments = argparse.ArgumentParser(prog="python -m deploy.role")
    arguments.add_argument("name", choices=ROLES)
    arguments.add_argument("--index", type=int, default=0)
    arguments.add_argument("--supervised", action="store_true", help="end when standard input closes")
    chosen = arguments.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, _stop)
    if chosen.supervised:
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    module, function = ROLES[chosen.name].split(":")
    getattr(importlib.import_module(module), function)(Settings.from_environment(), chosen.index)


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
    main()
