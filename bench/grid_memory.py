"""How much memory all processes of a grid take together, memory they share counted once."""

import threading
from collections.abc import Mapping
from contextlib import suppress

import psutil

_EVERY_S = 3.0


class GridMemory(threading.Thread):
    """Looks every three seconds: the sum of each process's proportional set size (a page that n processes
    share counts as 1/n in each), of the parts and of their children. Elsewhere than on Linux the resident
    sizes."""

    def __init__(self, parts: Mapping[str, int]) -> None:
        super().__init__(daemon=True)
        self._parts = dict(parts)
        self._ended = threading.Event()
        self.peak_gb = 0.0
        self.peak_by_part: dict[str, float] = {}
        self.start()

    def run(self) -> None:
        """Until it is closed, and once more then."""
        while not self._ended.wait(_EVERY_S):
            self._look()
        self._look()

    def close(self) -> None:
        """Ends looking."""
        self._ended.set()
        self.join()

    @property
    def largest(self) -> tuple[str, float]:
        """The part that took most at the peak, and how much, GB."""
        return max(self.peak_by_part.items(), key=lambda part: part[1], default=("", 0.0))

    def _look(self) -> None:
        by_part = {name: _size_gb(pid) for name, pid in self._parts.items()}
        if sum(by_part.values()) > self.peak_gb:
            self.peak_gb, self.peak_by_part = sum(by_part.values()), by_part


def _size_gb(pid: int) -> float:
    found = 0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                memory = process.memory_full_info()
                found += getattr(memory, "pss", memory.rss)
    return found / 1e9
