"""Loads the roles' modules one after the other and forks each role as soon as it has what it needs:
`python -m deploy.born_together SUPERVISOR [[NAME, COMMAND, LOG], ...]`, started by deploy/nursery.py."""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy import role

_ARG_START, _ARG_END = 45, 46  # in /proc/self/stat, counted behind the name


def main(supervisor: int, wanted: Sequence[tuple[str, Sequence[str], str]]) -> None:
    """Returns never in the forking process, and in each child when its role ends."""
    gc.disable()  # what is loaded is there to stay
    for name, command, log in wanted:
        arguments = command[command.index("deploy.role") + 1 :]
        with contextlib.suppress(Exception):  # the child meets it again, and its log tells
            importlib.import_module(role.ROLES[arguments[0]].split(":")[0])
        if len(os.listdir("/proc/self/task")) > 1:
            break  # a lock that a thread holds would stay held in the child: each is started by itself
        if _is_child(supervisor):
            os.setsid()
            _show(" ".join(command))
            os.write(1, f"{name} {os.getpid()}\n".encode())
            _write_to(log)
            role.main(arguments)
            return
    os._exit(0)


def _is_child(supervisor: int) -> bool:
    """Forks a child of the supervisor: the process between them ends at once, which leaves it to that one."""
    gc.freeze()
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return False
    between = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == between:
        time.sleep(0.001)
    if os.getppid() != supervisor:  # it is gone
        os._exit(1)
    gc.enable()
    return True


def _write_to(log: str) -> None:
    """What it says goes to its own log; standard input, which ends with the supervisor, serves all."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _show(title: str) -> None:
    """Writes over the arguments this process was started with, which are longer than those of any role. That
    is where `ps` reads, up to the first zero byte where the last byte is none."""
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(stat[_ARG_START]), int(stat[_ARG_END])
    length = end - start - 2
    if not start or length <= 0:
        return  # the kernel does not tell
    ctypes.memmove(start, title.encode()[:length].ljust(length, b"\0") + b"\0.", length + 2)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
