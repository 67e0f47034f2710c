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
from projections.intake_stream import FLUSH, ensure_streams, flush_mqtt, idle_partitions, stream_state
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
    await reader.start(dict.fromkeys(partitions, 0))
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
    assert sorted(message.sequence for message in found) == list(range(1, MESSAGES + 1))
    for area in AREAS:
        own = [message.sequence for message in found if area in message.subject]
        assert own == sorted(own)


def test_only_ones_own_partitions_come_in_the_streams_order(filled: Grid) -> None:
    own = partition_of(AREAS[0])
    found = asyncio.run(_read(filled, {own}))
    expected = [n + 1 for n in range(MESSAGES) if partition_of(AREAS[n % 8]) == own]
    assert [message.sequence for message in found] == expected
    assert asyncio.run(_read(filled, set(range(16)) - {partition_of(area) for area in AREAS})) == []


def test_what_fits_no_route_comes_with_partition_0_and_a_partition_is_idle_behind_its_last(
    filled: Grid,
) -> None:
    async def told() -> tuple[list[int], list[int], list[int]]:
        client = await nats.connect(filled.nats_url)
        assert await flush_mqtt(client, 5)
        strays = ["intake.nowhere", "intake.too.many.tokens"]
        sent = [(await client.jetstream().publish(subject, b"{}")).seq for subject in strays]
        own = partition_of(AREAS[0])
        last = max(n + 1 for n in range(MESSAGES) if partition_of(AREAS[n % 8]) == own)
        stream, idle = await idle_partitions(client, {0: sent[-1] - 1, own: last})
        _, busy = await idle_partitions(client, {own: last - 1})
        assert stream.last_sequence == sent[-1]
        await client.close()
        return sent, idle, busy

    sent, idle, busy = asyncio.run(told())
    found = [(message.sequence, message.subject) for message in asyncio.run(_read(filled, {0}))]
    assert found[-3:] == [
        (sent[0] - 1, FLUSH),
        (sent[0], "intake.nowhere"),
        (sent[1], "intake.too.many.tokens"),
    ]
    assert (idle, busy) == ([partition_of(AREAS[0])], [])
