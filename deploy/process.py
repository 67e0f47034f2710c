"""One part of the grid as an operating-system process: started, named beyond doubt, stopped in time."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from deploy.adopted import Adopted

# A process number is reused, and the boot time that start times are counted from is corrected by the clock.
_START_TIME_TOLERANCE_SECONDS = 2.0
_LOG_LIMIT_BYTES = 1_000_000
_SETTLED_AFTER_SECONDS = 2.0


@dataclass(frozen=True)
class Identity:
    """What tells a process from every later one with the same number."""

    pid: int
    start_time: float
    executable: str

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """The running process with this number; psutil.NoSuchProcess when there is none."""
        process = psutil.Process(pid)
        try:
            executable = process.exe()
        except psutil.AccessDenied:
            executable = ""
        return cls(pid, process.create_time(), executable)

    def process(self) -> psutil.Process | None:
        """The process if it still runs and is the same one."""
        try:
            now = Identity.of(self.pid)
        except psutil.NoSuchProcess:
            return None
        is_near = abs(now.start_time - self.start_time) <= _START_TIME_TOLERANCE_SECONDS
        return psutil.Process(self.pid) if is_near and now.executable == self.executable else None


@dataclass(frozen=True)
class Program:
    """How a part is started and stopped: servers after the roles; restarts wait at most `longest_delay`
    seconds."""

    name: str
    command: tuple[str, ...]
    options: dict[str, Any]
    log: Path
    is_server: bool = False
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 5.0
    longest_delay: float = 5.0
    before_start: Callable[[], None] | None = None
    is_role: bool = False


@dataclass
class Part:
    """A program with its present process and its history since the grid's start."""

    program: Program
    process: subprocess.Popen[bytes] | Adopted | None = None
    identity: Identity | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    restarts: int = 0
    error: str | None = None
    is_held: bool = False
    failures: int = 0
    told_status: str = ""
    start_at: float = 0.0

    @property
    def is_running(self) -> bool:
        """Whether its process is alive now."""
        return self.process is not None and self.process.poll() is None

    @property
    def status(self) -> str:
        """`ok` or `down`; what has failed is well again once it has lived longer than a failing start."""
        age_seconds = (datetime.now(UTC) - self.since).total_seconds()
        is_well = self.is_running and (self.failures == 0 or age_seconds >= _SETTLED_AFTER_SECONDS)
        return "ok" if is_well else "down"

    def start(self) -> None:
        """Starts it with a pipe as standard input: the pipe closes when this process ends, however it ends.

        A session of its own keeps the terminal's Ctrl-C from it."""
        if self.program.before_start is not None:
            self.program.before_start()
        with self.program.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.program.command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.program.options,
            )
        self._note_start(self.process.pid)

    def adopt(self, process: Adopted) -> None:
        """Takes a process that was started otherwise for this part's own."""
        self.process = process
        self._note_start(process.pid)

    def _note_start(self, pid: int) -> None:
        self.identity = Identity.of(pid)
        self.since = datetime.now(UTC)

    def ask_to_stop(self) -> None:
        """Sends the part's stop signal."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.program.stop_signal)

    def await_stop(self) -> None:
        """Waits as long as the part may take, then kills it."""
        if self.process is None:
            return
        try:
            self.process.wait(self.program.stop_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def forget(self) -> None:
        """Lets go of a process that has ended."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process, self.identity, self.since = None, None, datetime.now(UTC)

    def bound_log(self) -> None:
        """Keeps at most the last two megabytes: the file is copied aside and emptied, its writers append."""
        log = self.program.log
        if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
            older = log.with_name(f"{log.name}.1")
            older.write_bytes(log.read_bytes()[-_LOG_LIMIT_BYTES:])
            os.truncate(log, 0)

    def last_words(self) -> str:
        """The last line of its log, at most 300 characters."""
        if not self.program.log.exists():
            return ""
        with self.program.log.open("rb") as log:
            log.seek(max(0, self.program.log.stat().st_size - 2_000))
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def end(identity: Identity, seconds: float = 5.0) -> None:
    """Ends a process of an earlier run, if it is the same one: SIGINT, which every part takes as the order to
    stop quickly, then SIGKILL."""
    process = identity.process()
    if process is None:
        return
    deadline = time.monotonic() + seconds
    _signal(process, signal.SIGINT)
    while identity.process() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    if identity.process() is not None:
        _signal(process, signal.SIGKILL)
        psutil.wait_procs([process], timeout=seconds)


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
