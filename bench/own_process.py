"""A bench in a process of its own.

In the one where the bench of commands had run, what it leaves of the memory made rebuilding the views a sixth
slower.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection

from bench.figures import Figure, WrongAnswer
from deploy.interruption import raise_when_interrupted

Bench = Callable[[float], Sequence[Figure]]

_ENDING_S = 60.0


class Died(Exception):
    """The process ended without figures; what it died of stands above on the terminal."""


def in_own_process(run: Bench, scale: float) -> Sequence[Figure]:
    """What `run` answers, or the WrongAnswer it stops at; Died where it stops at anything else.

    An interruption here ends the process there in order.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, run, scale))
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
        process.join(_ENDING_S)
    except EOFError:
        raise Died("its process ended without figures") from None
    finally:
        receiver.close()
        process.terminate()
        process.join(_ENDING_S)
    if isinstance(answer, WrongAnswer):
        raise answer
    return list(answer)


def _send(sender: Connection, run: Bench, scale: float) -> None:
    raise_when_interrupted()
    with suppress(KeyboardInterrupt):
        try:
            sender.send(run(scale))
        except WrongAnswer as error:
            sender.send(error)
