"""Questions asked together: each is answered by what was read after it was put."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.batches import LARGEST_BATCH, Batch


def test_what_comes_meanwhile_is_asked_together_and_never_answered_by_what_was_read_before() -> None:
    asked: list[list[int]] = []
    now = 0

    async def ask(keys: Sequence[int]) -> dict[int, int]:
        read = now
        asked.append([*keys])
        await asyncio.sleep(0.01)
        return dict.fromkeys(keys, read)

    async def play() -> None:
        nonlocal now
        batch = Batch(ask, lambda: -1)
        first = asyncio.create_task(batch.answer(1))
        await asyncio.sleep(0.005)
        now = 1
        others = await asyncio.gather(*(batch.answer(key % 5) for key in range(20)))
        assert await first == 0
        assert others == [1] * 20
        assert asked == [[1], [0, 1, 2, 3, 4]]

    asyncio.run(play())


def test_what_is_left_out_is_nothing_and_a_batch_has_an_end() -> None:
    sizes = []

    async def ask(keys: Sequence[int]) -> dict[int, str]:
        sizes.append(len(keys))
        return {key: str(key) for key in keys if key % 2}

    async def play() -> None:
        batch = Batch(ask, lambda: "")
        answers = await asyncio.gather(*(batch.answer(key) for key in range(300)))
        assert answers == [str(key) if key % 2 else "" for key in range(300)]
        assert max(sizes) == LARGEST_BATCH

    asyncio.run(play())


def test_an_error_is_everybodys_and_the_next_question_is_asked_anew() -> None:
    fails = True

    async def ask(keys: Sequence[int]) -> dict[int, int]:
        if fails:
            raise ConnectionError
        return dict.fromkeys(keys, 1)

    async def play() -> None:
        nonlocal fails
        batch = Batch(ask, int)
        told = await asyncio.gather(*(batch.answer(key) for key in range(3)), return_exceptions=True)
        assert [type(error) for error in told] == [ConnectionError] * 3
        fails = False
        gone = asyncio.create_task(batch.answer(1))
        stays = asyncio.create_task(batch.answer(1))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 1
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(play())
