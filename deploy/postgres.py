"""The embedded PostgreSQL: its cluster made once, whole or not at all, and the command that serves it."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deploy.kept_secret import kept_secret, write_private
from deploy.ports import HOST
from deploy.process import Program
from deploy.run_folder import RunFolder, run_folder
from deploy.setup_error import SetupError

_NAME = "smartrix"
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "2GB",
    "password_encryption": "scram-sha-256",
    "TimeZone": "UTC",
    "jit": "off",
}


@dataclass(frozen=True)
class PostgresServer:
    """What to start, how, and the URL it then answers at."""

    command: tuple[str, ...]
    started_as: dict[str, Any]
    url: str
    place: RunFolder

    def program(self, logs: Path) -> Program:
        """The part `postgres`. SIGINT closes connections and stops."""
        log = logs / "postgres.log"
        return Program(
            "postgres",
            self.command,
            self.started_as,
            log,
            is_server=True,
            stop_signal=signal.SIGINT,
            stop_seconds=20.0,
            longest_delay=0.5,
            before_start=self._end_orphans,
        )

    def _end_orphans(self) -> None:
        """A busy backend outlives a killed server and keeps its memory: no other can start meanwhile."""
        executable = os.path.realpath(self.command[0])
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name().startswith("postgres") and _is_orphan(process, executable):
                    process.kill()


def postgres_server(home: Path, port: int, temporary: bool) -> PostgresServer:
    """The server of the home's cluster; SetupError when no folder allows it.

    Before it is started `make_cluster` is to be called."""
    place = run_folder(home, temporary)
    password = kept_secret(home / "postgres-password")
    settings = (f"-c{name}={value}" for name, value in (_SETTINGS | {"port": str(port)}).items())
    return PostgresServer(
        command=(str(place.programs / "postgres"), "-D", str(place.data), *settings),
        started_as=place.started_as(),
        url=f"postgresql://{_NAME}:{password}@{HOST}:{port}/{_NAME}",
        place=place,
    )


def make_cluster(server: PostgresServer, home: Path) -> None:
    """The home's cluster where there is none, which takes a second or two. SetupError when initdb fails."""
    if not server.place.data.exists():
        _make_cluster(server.place, kept_secret(home / "postgres-password"))
    _forget_stale_lock(server.place.data / "postmaster.pid")


def _is_orphan(process: psutil.Process, executable: str) -> bool:
    """Whether it is a server's child (they rename themselves) whose parent is no server any more."""
    parent = process.parent()
    is_child = process.exe() == executable and process.cmdline()[0].startswith("postgres: ")
    return is_child and (parent is None or not parent.name().startswith("postgres"))


def _make_cluster(place: RunFolder, password: str) -> None:
    """Built under another name and renamed when whole: a start that is interrupted begins again."""
    draft = place.folder / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    place.give(draft)
    password_file = place.folder / "password"
    write_private(password_file, password)
    place.give(password_file)
    try:
        _initdb(place, draft, password_file)
    finally:
        password_file.unlink()
    # The empty database that initdb has made: another would be three hundred files more.
    single: list[str | Path] = [place.programs / "postgres", "--single", "-D", draft, "template1"]
    _run(place, single, f"ALTER DATABASE postgres RENAME TO {_NAME};\n")
    draft.rename(place.data)


def _initdb(place: RunFolder, draft: Path, password_file: Path) -> None:
    locale = ["-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    access: list[str | Path] = ["-U", _NAME, "-A", "scram-sha-256", "--pwfile", password_file]
    _run(place, [place.programs / "initdb", "-D", draft, *locale, *access], "")


def _run(place: RunFolder, command: list[str | Path], text: str) -> None:
    ended = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=120, **place.started_as()
    )
    if ended.returncode != 0:
        raise SetupError(f"{Path(command[0]).name} failed in {place.folder}: {ended.stderr.strip()[-500:]}")


def _forget_stale_lock(lock: Path) -> None:
    """After a SIGKILL the lock names a process that is gone; in a container the same number soon belongs to
    another program, which PostgreSQL would take for its own."""
    if not lock.exists():
        return
    try:
        pid = int(lock.read_text().split()[0])
        is_postgres = psutil.Process(pid).name().startswith("postgres")
    except (psutil.NoSuchProcess, ValueError, IndexError):
        is_postgres = False
    if not is_postgres:
        lock.unlink(missing_ok=True)
