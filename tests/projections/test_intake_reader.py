"""Reading the intake on and on: portions of any size end, and only one's own partitions come."""

import asyncio
import contextlib
from collections.abc import Iterator

import nats
import pytest

from deploy.grid import Grid
from deploy.servers import servers
from projections import intake_reader
from projections.intake_reader import IntakeReader
from projections.intake_stream import ensure_streams, stream_state
from projections.metered_homes import partition_of
from projections.metering_batch import StreamMessage

AREAS = [f"area{number}" for number in range(8)]
MESSAGES = 500


@pytest.fixture(scope="module")
def filled() -> Iterator[Grid]:
    """A stream of MESSAGES messages, in turns of each area."""
    with servers() as grid:
        asyncio.run(_fill(grid))
        yield grid


async def _fill(grid: Grid) -> None:
    client = await nats.connect(grid.nats_url)
    await ensure_streams(client, grid.mqtt_url)
    for number in range(MESSAGES):
        await client.jetstream().publish(f"intake.{AREAS[number % 8]}.all", b"x" * 1000)
    await client.close()


async def _read(grid: Grid, partitions: set[int]) -> list[StreamMessage]:
    """What comes of these partitions until it is all there; a portion that counts as broken is an error."""
    client = await nats.connect(grid.nats_url)
    arrived = asyncio.Event()
    reader = IntakeReader(client, await stream_state(client), arrived)
    await reader.start(partitions, 0)
    reading = asyncio.create_task(reader.run())
    found: list[StreamMessage] = []
    with contextlib.suppress(TimeoutError):
        while len(found) < MESSAGES:
            await asyncio.wait_for(arrived.wait(), 0.5)
            arrived.clear()
            found += reader.take(MESSAGES, 1 << 30)
    if reading.done():
        reading.result()
    reading.cancel()
    await reader.stop()
    await client.close()
    return found


@pytest.mark.parametrize(("messages", "size"), [(50, 8 << 20), (2000, 20_000), (MESSAGES, 8 << 20)])
def test_portions_complete_by_messages_or_bytes_follow_each_other(
    filled: Grid, monkeypatch: pytest.MonkeyPatch, messages: int, size: int
) -> None:
    monkeypatch.setattr(intake_reader, "PORTION_MESSAGES", messages)
    monkeypatch.setattr(intake_reader, "PORTION_BYTES", size)
    found = asyncio.run(_read(filled, set(range(16))))
    assert [message.sequence for message in found] == list(range(1, MESSAGES + 1))


def test_only_ones_own_partitions_come_in_the_streams_order(filled: Grid) -> None:
    own = partition_of(AREAS[0])
    found = asyncio.run(_read(filled, {own}))
    expected = [n + 1 for n in range(MESSAGES) if partition_of(AREAS[n % 8]) == own]
    assert [message.sequence for message in found] == expected
    assert asyncio.run(_read(filled, set(range(16)) - {partition_of(area) for area in AREAS})) == []
