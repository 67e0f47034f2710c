"""Starts the parts of the grid, watches them, starts again what ends, and writes down what runs."""

import json
import math
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from deploy.adopted import Adopted
from deploy.nursery import Nursery
from deploy.process import Identity, Part, Program

_SHORTEST_DELAY_SECONDS = 0.1
_HEALTHY_AFTER_SECONDS = 10.0
_LOOK_EVERY_SECONDS = 0.05


class Supervisor:
    """Keeps programs running. Thread-safe; one look every 50 ms finds what has ended."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._addresses: dict[str, str] = {}
        self._parts: dict[str, Part] = {}
        self._nursery: Nursery | None = None
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self, programs: Sequence[Program], addresses: dict[str, str]) -> None:
        """Starts the programs all at once, then watches them; the addresses go into run.json."""
        self._addresses = addresses
        roles = [program for program in programs if program.is_role]
        if len(roles) > 1 and sys.platform == "linux":
            self._nursery = Nursery(roles)
            self._parts = {role.name: Part(role, start_at=math.inf) for role in roles}
        self.add(*(program for program in programs if program.name not in self._parts))
        self._thread.start()

    def stop(self) -> None:
        """Stops the roles, then the servers they need, and forgets what ran."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._nursery is not None:
            self._nursery.kill()
        self._await_births()
        parts = list(self._parts.values())
        for is_server in (False, True):
            group = [part for part in parts if part.program.is_server == is_server]
            for part in group:
                part.ask_to_stop()
            for part in group:
                part.await_stop()
        if self._nursery is not None:
            self._nursery.let_go()
        (self._home / "run.json").unlink(missing_ok=True)

    def add(self, *programs: Program) -> None:
        """Starts programs and watches them too."""
        with self._lock:
            for program in programs:
                part = self._parts[program.name] = Part(program)
                self._try_start(part)
            self._write_run()

    def pids(self) -> dict[str, int]:
        """The process number of every part that runs now."""
        with self._lock:
            parts = self._parts.items()
            return {name: p.process.pid for name, p in parts if p.process is not None and p.is_running}

    def kill(self, name: str) -> None:
        """SIGKILL; the part is started again as after any other end."""
        with self._lock:
            self._await_births()
            process = self._parts[name].process
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    def hold(self, name: str) -> None:
        """Stops a part and leaves it stopped until `release`."""
        with self._lock:
            self._await_births()
            part = self._parts[name]
            part.is_held = True
            part.ask_to_stop()
            part.await_stop()
            part.forget()
            self._write_run()

    def release(self, name: str) -> None:
        """Starts a part again that was held."""
        with self._lock:
            part = self._parts[name]
            part.is_held = False
            if not part.is_running:
                self._try_start(part)
            self._write_run()

    def _watch(self) -> None:
        while not self._ending.wait(_LOOK_EVERY_SECONDS):
            with self._lock:
                try:
                    self._look_at_all()
                except OSError as error:
                    print(f"supervisor: {error}", file=sys.stderr, flush=True)

    def _look_at_all(self) -> None:
        born = self._take_born()
        changed = [part for part in self._parts.values() if self._look(part)]
        if born or changed:
            self._write_run()

    def _take_born(self) -> bool:
        """Whether the nursery, while it is at work, had something new: a birth, or its end."""
        if self._nursery is None or self._nursery.has_ended:
            return False
        born = self._nursery.born()
        for name, process in born:
            self._try_start(self._parts[name], process)
        if self._nursery.has_ended:
            for part in self._parts.values():
                part.start_at = min(part.start_at, time.monotonic())
        return bool(born) or self._nursery.has_ended

    def _await_births(self) -> None:
        """Until every part lives that the nursery will bear, about a second after the start."""
        while self._nursery is not None and not self._nursery.has_ended:
            self._take_born()
            time.sleep(_LOOK_EVERY_SECONDS / 10)

    def _look(self, part: Part) -> bool:
        """Whether there is something new to tell of the part."""
        part.bound_log()
        if part.is_held:
            return False
        if part.is_running:
            return self._count_as_healthy(part)
        if part.process is not None:
            self._plan_restart(part)
            return True
        return time.monotonic() >= part.start_at and self._try_start(part)

    def _count_as_healthy(self, part: Part) -> bool:
        has_lasted = (datetime.now(UTC) - part.since).total_seconds() >= _HEALTHY_AFTER_SECONDS
        if has_lasted and part.failures:
            part.failures, part.error = 0, None
            return True
        return part.status != part.told_status

    def _plan_restart(self, part: Part) -> None:
        assert part.process is not None
        assert part.process.returncode is not None
        part.restarts += 1
        part.error = f"{_how_it_ended(part.process.returncode)}; its log ends: {part.last_words()}"
        part.forget()
        delay = min(part.program.longest_delay, _SHORTEST_DELAY_SECONDS * 2**part.failures)
        part.start_at = time.monotonic() + delay
        part.failures = min(part.failures + 1, 16)

    def _try_start(self, part: Part, born: Adopted | None = None) -> bool:
        try:
            part.start() if born is None else part.adopt(born)
        except (OSError, psutil.NoSuchProcess) as error:
            part.error = str(error)
        return True

    def _write_run(self) -> None:
        """Replaced whole, so a reader never sees half of it."""
        draft = self._home / "run.json.new"
        content: dict[str, Any] = {"supervisor": _plain(Identity.of(psutil.Process().pid)), **self._addresses}
        content["parts"] = [_state(part) for part in self._parts.values()]
        draft.write_text(json.dumps(content, indent=1))
        draft.chmod(0o600)
        draft.replace(self._home / "run.json")


def _how_it_ended(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"ended with status {status}"


def _state(part: Part) -> dict[str, Any]:
    part.told_status = part.status
    since = part.since.isoformat().replace("+00:00", "Z")
    known = {"name": part.program.name, "status": part.told_status, "since": since, "restarts": part.restarts}
    identity = (
        _plain(part.identity) if part.identity else {"pid": None, "startTime": None, "executable": None}
    )
    return known | {"error": part.error} | identity


def _plain(identity: Identity) -> dict[str, Any]:
    return {"pid": identity.pid, "startTime": identity.start_time, "executable": identity.executable}
