"""The folder a grid lives in: held by one run at a time, cleared of what a killed run left behind."""

import fcntl
import json
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from deploy.process import Identity, end
from deploy.run_folder import remove_outside
from deploy.setup_error import SetupError

_TEMPORARY_PREFIX = "smartrix-grid-home-"
_LOCK_WITHIN_SECONDS = 1.0


class Home:
    """A home held by this process until `close`; without a path a temporary one, deleted at the end."""

    def __init__(self, path: Path | None) -> None:
        remove_abandoned_homes()
        self.is_temporary = path is None
        self.path = _made(path)
        self._lock: int | None = _patiently_locked(self.path)
        end_what_was_left(self.path)

    def close(self) -> None:
        """Lets go of the home, and deletes it when it is temporary."""
        if self.is_temporary:
            delete_home(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def is_in_use(home: Path) -> bool:
    """Whether a run holds the home now."""
    try:
        lock = _locked_as_it_stands(home / "lock")
    except FileNotFoundError:
        return False
    if lock is not None:
        os.close(lock)
    return lock is None


def delete_home(home: Path) -> None:
    """Deletes a home with all its data, also what PostgreSQL had to keep elsewhere."""
    remove_outside(home)
    shutil.rmtree(home)


def end_what_was_left(home: Path) -> None:
    """Ends the processes that a run killed by SIGKILL left behind: those run.json names, if number, start
    time and executable agree."""
    with suppress(FileNotFoundError, ValueError):
        run = json.loads((home / "run.json").read_text())
        for part in run["parts"]:
            if part["pid"] is not None:
                end(Identity(part["pid"], part["startTime"], part["executable"]))
    (home / "run.json").unlink(missing_ok=True)


def remove_abandoned_homes() -> None:
    """Ends and deletes the temporary homes of this account whose run is gone."""
    for home in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY_PREFIX}*"):
        with suppress(FileNotFoundError):
            # lstat: nobody else's link leads us to delete what it points to.
            is_ours = stat.S_ISDIR(home.lstat().st_mode) and home.lstat().st_uid == os.geteuid()
            lock = _locked_as_it_stands(home / "lock") if is_ours else None
            if lock is not None:
                end_what_was_left(home)
                delete_home(home)
                os.close(lock)


def _made(path: Path | None) -> Path:
    # As root PostgreSQL runs as another account, which must pass through.
    mode = 0o711 if os.geteuid() == 0 else 0o700
    if path is None:
        home = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX)).resolve()
        home.chmod(mode)
        return home
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"the home {path} cannot be made: {error.strerror}") from error
    return path.resolve()


def _patiently_locked(home: Path) -> int:
    """A run that is just ending, or a look at whether one is there, holds the lock for moments."""
    deadline = time.monotonic() + _LOCK_WITHIN_SECONDS
    while (lock := _locked(home / "lock")) is None:
        if time.monotonic() > deadline:
            raise SetupError(f"another run of the grid uses {home}: end it first, or choose another --home")
        time.sleep(0.1)
    return lock


def _locked(file: Path) -> int | None:
    """A held lock, or None when another process holds it. A new file appears locked from the first moment, so
    nobody takes a home that is just being made for an abandoned one."""
    if not file.exists():
        draft = file.with_name(f"lock.{os.getpid()}")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            os.link(draft, file)
            return descriptor
        except FileExistsError:
            os.close(descriptor)
        finally:
            draft.unlink()
    return _locked_as_it_stands(file)


def _locked_as_it_stands(file: Path) -> int | None:
    """The same for a file that is there; FileNotFoundError when it is not, or no longer."""
    descriptor = os.open(file, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
