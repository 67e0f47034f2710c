"""A bench in a process of its own: what it answers, what it stops at, and that an interruption ends it."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from bench.figures import Figure, WrongAnswer
from bench.own_process import Died, in_own_process


def test_the_figures_come_from_another_process() -> None:
    (figure,) = in_own_process(_its_process, 0.5)
    assert figure.beside == 0.5
    assert figure.figure != os.getpid()


def test_a_wrong_answer_is_told_as_one() -> None:
    with pytest.raises(WrongAnswer, match="7 instead of 8"):
        in_own_process(_wrong, 1.0)


def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(Died):
        in_own_process(_dying, 1.0)


def test_an_interruption_ends_the_bench_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    monkeypatch.setenv("BENCH_TOLD", str(tmp_path))

    def interrupt() -> None:
        deadline = time.monotonic() + 20
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        in_own_process(_lasting, 1.0)
    assert ended.exists()
    assert not psutil.pid_exists(int(begun.read_text()))


def _its_process(scale: float) -> Sequence[Figure]:
    return [Figure(name="process", figure=os.getpid(), unit="", beside=scale)]


def _wrong(_scale: float) -> Sequence[Figure]:
    raise WrongAnswer("7 instead of 8")


def _dying(_scale: float) -> Sequence[Figure]:
    os._exit(1)


def _lasting(_scale: float) -> Sequence[Figure]:
    folder = Path(os.environ["BENCH_TOLD"])
    try:
        (folder / "begun.draft").write_text(str(os.getpid()))
        (folder / "begun.draft").rename(folder / "begun")
        time.sleep(60)
    finally:
        (folder / "ended").touch()
    return []
