"""Roles born together: one process loads what they share once and forks each (deploy/born_together.py), which
is twice as fast as seven that load it each for itself. It is there for the start alone: each role is a child
of this process from its birth on, and what ends is started again by itself, as it would be without this."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from deploy.adopted import Adopted
from deploy.process import Program

_PR_SET_CHILD_SUBREAPER = 36


_at_work: "set[Nursery]" = set()


class Nursery:
    """Gives birth to programs of the form `python -m deploy.role ...` that have the same options.

    Whoever of them is not among those born when it has ended, for whatever reason, does not live."""

    def __init__(self, programs: Sequence[Program]) -> None:
        wanted = [(each.name, each.command, str(each.log)) for each in programs]
        self._adopt_orphans(True)
        self._process = subprocess.Popen(
            (sys.executable, "-m", "deploy.born_together", str(os.getpid()), json.dumps(wanted)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            **programs[0].options,
        )
        assert self._process.stdout is not None
        self._reports = self._process.stdout.fileno()
        os.set_blocking(self._reports, False)
        self._begun = b""
        self.has_ended = False

    def born(self) -> list[tuple[str, Adopted]]:
        """Who was born since the last call, by name. Each tells it itself, before it does anything else."""
        try:
            more = os.read(self._reports, 65_536)
        except BlockingIOError:
            return []
        if not more:
            self._end()
        *lines, self._begun = (self._begun + more).split(b"\n")
        told = (line.decode().split() for line in lines)
        return [(name, Adopted(int(pid))) for name, pid in told]

    def kill(self) -> None:
        """No further births; `born` tells of those that were, then it has ended."""
        self._process.kill()

    def let_go(self) -> None:
        """Closes the standard input of all its children: whoever still lives ends now."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _end(self) -> None:
        """The last copy of its output is closed: it has ended, and so has each child that has not told."""
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._adopt_orphans(False)
        self.has_ended = True

    def _adopt_orphans(self, is_working: bool) -> None:
        """While there is one at work, this process becomes the parent of what its descendants leave alone."""
        (_at_work.add if is_working else _at_work.discard)(self)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(bool(_at_work)), 0, 0, 0)
