"""What machine it is, and what its disk does: a durable figure means nothing without the flush beside it."""

import os
import platform
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

_FLUSHES = 200
_BLOCK = bytes(4096)


def describe() -> str:
    """One line for people: processor, cores, memory, system, Python, and the disk's flush."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {_cores()} cores, {memory_gib:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, 4 kB written and flushed in "
        f"{flush_seconds() * 1e6:.0f} µs"
    )


def flush_seconds(folder: Path | None = None) -> float:
    """The median time to append 4 kB to a file and have it on disk, seconds."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(_FLUSHES):
            begin = time.perf_counter()
            os.write(file.fileno(), _BLOCK)
            os.fdatasync(file.fileno()) if hasattr(os, "fdatasync") else os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    return median(times)


def _cores() -> str:
    """Those this process and its servers may use, and of how many where not all."""
    there = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    return f"{usable}" if usable == there else f"{usable} of {there}"


def _processor() -> str:
    with_model = Path("/proc/cpuinfo")
    if with_model.exists():
        for line in with_model.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
