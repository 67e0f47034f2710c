"""The log as a view takes it in: in batches, the next ones read while PostgreSQL takes one in."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from queue import SimpleQueue
from typing import Any

import psycopg

from projections.schemas import connect
from projections.told_facts import Facts
from write_side.log import head

READ_AT_ONCE = 20_000
READERS = 2  # where little of the log is wanted, finding it is what takes the time


def batches(
    database_url: str, unused: Sequence[str], after: int, until: int | None
) -> Generator[Facts, None, None]:
    """What the log holds behind a position, up to another or to its end, without some kinds of facts.

    UnknownFact at a fact this code has no name for; all before it has been given by then.
    """
    with ExitStack() as stack:
        idle = SimpleQueue[psycopg.Connection[Any]]()
        first = stack.enter_context(connect(database_url))
        idle.put(first)

        def read(start: int, end: int) -> Facts:
            connection = idle.get()
            try:
                return Facts.read(connection, start, end, unused, READ_AT_ONCE)
            finally:
                idle.put(connection)

        last = head(first) if until is None else until
        starts = range(after, last, READ_AT_ONCE)
        for _ in starts[1:READERS]:
            idle.put(stack.enter_context(connect(database_url)))
        readers = stack.enter_context(ThreadPoolExecutor(READERS))
        stretches = ((start, min(start + READ_AT_ONCE, last)) for start in starts)
        ahead: deque[tuple[int, Future[Facts]]] = deque()
        for start, end in islice(stretches, READERS):
            ahead.append((end, readers.submit(read, start, end)))
        while ahead:
            behind, following = ahead.popleft()
            facts = following.result()
            for start, end in islice(stretches, 1):
                ahead.append((end, readers.submit(read, start, end)))
            yield facts
            while facts.position < behind:  # up to a fact without a name, which ends it here
                facts = read(facts.position, behind)
                yield facts
