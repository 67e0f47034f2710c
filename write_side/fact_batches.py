"""Facts on their way over NATS: a batch with the position before it, so that a gap shows."""

from collections.abc import Iterator, Sequence

import msgspec

from write_side.log import StoredRow

SUBJECT = "facts"
LARGEST_BATCH = 200
LARGEST_BATCH_BYTES = 512 * 1024


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Stored facts in order; `previous` is the position of the fact before the first.

    Without any it says that they are to be read from the log, up to `previous` and on.
    """

    previous: int
    rows: list[StoredRow]


_batches = msgspec.msgpack.Decoder(Batch)


def pack(previous: int, rows: Sequence[StoredRow]) -> Iterator[bytes]:
    """The rows as one or more messages, each small enough to be published."""
    batch: list[StoredRow] = []
    size = 0
    for row in rows:
        if batch and (len(batch) == LARGEST_BATCH or size + len(row[4]) > LARGEST_BATCH_BYTES):
            yield msgspec.msgpack.encode(Batch(previous, batch))
            previous, batch, size = batch[-1][0], [], 0
        batch.append(row)
        size += len(row[4])
    if batch:
        yield msgspec.msgpack.encode(Batch(previous, batch))


def pack_nothing(position: int) -> bytes:
    """Says that the log has facts up to a position, which nobody sends."""
    return msgspec.msgpack.encode(Batch(position, []))


def unpack(message: bytes) -> Batch:
    """A batch as it was packed; msgspec.DecodeError for anything else."""
    return _batches.decode(message)
