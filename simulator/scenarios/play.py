"""Plays acceptance scenarios against a grid that runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from simulator.box_links import LinkDown
from simulator.client import GridError
from simulator.scenarios import scenario_1, scenario_3
from simulator.scenarios.narrative import Narrative, StepFailed
from simulator.scenarios.stage import Addresses, Stage

SCENARIOS: dict[int, Callable[[Stage], Awaitable[None]]] = {1: scenario_1.play, 3: scenario_3.play}


def main(url: str, mqtt_url: str, nats_url: str, tokens: dict[str, str], numbers: list[int]) -> int:
    """Plays the scenarios in order and stops at the first step that does not hold.

    `tokens` by role, `operator` and `aggregator` among them.
    0: all held; 1: one did not; 2: there is no such scenario."""
    return asyncio.run(_play(Addresses(url, mqtt_url, nats_url), tokens, numbers))


async def _play(addresses: Addresses, tokens: dict[str, str], numbers: list[int]) -> int:
    told = Narrative()
    if unknown := [number for number in numbers if number not in SCENARIOS]:
        told.title(f"There is no scenario {unknown[0]} yet; there are {', '.join(map(str, SCENARIOS))}.")
        return 2
    began = time.perf_counter()
    for number in numbers:
        try:
            async with Stage(f"scenario-{number}", addresses, tokens) as stage:
                await SCENARIOS[number](stage)
        except StepFailed:
            told.title(f"Scenario {number} does not hold: it stopped at the step above.")
            return 1
        except (GridError, LinkDown) as error:
            told.title(f"Scenario {number} does not hold: {error}")
            return 1
    played = f"Scenario{'s' if len(numbers) > 1 else ''} {' and '.join(map(str, numbers))}"
    told.title(f"{played}: every step held, in {time.perf_counter() - began:.1f} s.")
    return 0
