"""A connection for groups of commands, whose statements go out one behind the other in a pipeline."""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait

T = TypeVar("T")


class WriterConnection(psycopg.Connection[Any]):
    """Sends statements of a pipeline without asking each time whether the socket takes them.

    Every such question lets go of the interpreter's lock, and in a busy gateway it takes milliseconds to
    get it back, twice for each statement. What the socket does not take at once goes out with the next
    wait for an answer.
    """

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Runs a conversation with the server to its end, and waits only where there is nothing to send."""
        if self._pipeline is not None:
            try:
                wanted = next(gen)
                while wanted == Wait.RW:
                    wanted = gen.send(Ready.W)
            except StopIteration as ended:
                result: T = ended.value
                return result
        return super().wait(gen, *args, **kwargs)
