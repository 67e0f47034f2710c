"""Bench `start`: from `./run.sh serve` to a grid that is well, in a fresh home and in one that has run."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx

from bench.figures import Figure, WrongAnswer
from deploy.grid import REPOSITORY
from deploy.ports import HOST, free_port

STARTS = 5
WITHIN_S = 3.0
_PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.01
_PORTS = ("SMARTRIX_PORT", "SMARTRIX_NATS_PORT", "SMARTRIX_MQTT_PORT")


def run(scale: float) -> list[Figure]:
    """The median start of each kind; WrongAnswer where a started grid does not name all its parts as well."""
    fresh, again = [], []
    # All are deleted at the end: where files were deleted a moment ago, ext4 is slow to make others.
    with tempfile.TemporaryDirectory() as folder:
        # As root PostgreSQL runs as another account, which must pass through.
        Path(folder).chmod(0o711)
        for number in range(max(round(STARTS * scale), 1)):
            fresh.append(_start(Path(folder) / str(number)))
            again.append(_start(Path(folder) / str(number)))
    bare_s = _bare()
    return [
        Figure(
            name=f"start, {which}: ./run.sh serve to healthy",
            figure=median(seconds),
            unit="s",
            beside=bare_s,
            rival="s for Python to import the gateway",
            at_most=WITHIN_S,
        )
        for which, seconds in (("a fresh home", fresh), ("a home that has run", again))
    ]


def _start(home: Path) -> float:
    """Seconds until /health says ok; the grid is ended again."""
    ports = {name: str(free_port()) for name in _PORTS}
    begin = time.perf_counter()
    grid = subprocess.Popen(
        ["./run.sh", "serve", "--home", str(home)],
        cwd=REPOSITORY,
        env=os.environ | ports,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return _until_well(f"http://{HOST}:{ports['SMARTRIX_PORT']}/health", grid) - begin
    finally:
        grid.send_signal(signal.SIGINT)
        grid.wait(_PATIENCE_S)


def _until_well(url: str, grid: "subprocess.Popen[bytes]") -> float:
    """The time at which it first said so."""
    deadline = time.perf_counter() + _PATIENCE_S
    with httpx.Client(timeout=5) as client:
        while time.perf_counter() < deadline:
            if grid.poll() is not None:
                raise WrongAnswer(f"serve ended with status {grid.returncode}")
            try:
                health = client.get(url).json()
            except (httpx.HTTPError, ValueError):
                health = {"status": "down", "parts": []}
            if health["status"] == "ok":
                _check(health["parts"])
                return time.perf_counter()
            time.sleep(_LOOK_EVERY_S)
    raise WrongAnswer(f"the grid is not well after {_PATIENCE_S:.0f} s")


def _check(parts: list[dict[str, object]]) -> None:
    wanted = {"postgres", "nats", "relay", "views", "standing-orders", "gateway", "view metering", "clock"}
    well = {part["name"] for part in parts if part["status"] == "ok"}
    if not wanted <= well:
        raise WrongAnswer(f"said to be well, but without {sorted(map(str, wanted - well))}")


def _bare() -> float:
    """What one process of the grid needs to be there at all, seconds."""
    begin = time.perf_counter()
    subprocess.run([".venv/bin/python", "-c", "import gateway.server"], cwd=REPOSITORY, check=True)
    return time.perf_counter() - begin
