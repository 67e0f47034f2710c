"""Ten times what the gateway carries: it answers or asks to come back, lives, and keeps its memory."""

import json
import random
import time

import httpx
import psutil
import pytest

from bench.mutations import check, homes, mixed
from bench.open_loop import Load, offer
from deploy.grid import Grid
from gateway.positions import read

OFFERED_PER_SECOND, SECONDS = 10_000, 2.0
LARGEST_GROWTH = 100 * 2**20


@pytest.mark.slow
def test_under_ten_times_the_load_everybody_is_answered_or_asked_to_come_back() -> None:
    chance = random.Random(1)
    count = int(OFFERED_PER_SECOND * SECONDS)
    newcomers = mixed(count, [], iter(homes(count, chance)), chance, {"register": 1.0})
    with Grid(parts=["device-access", "relay", "views", "gateway"]) as grid:
        grid.wait_for_servers()
        _await_gateway(grid)
        gateway = psutil.Process(grid.pids()["gateway"])
        before = gateway.memory_info().rss
        load = Load(
            url=grid.url,
            requests=[each.request(grid.url, grid.tokens["operator"]) for each in newcomers],
            count=count,
            per_second=OFFERED_PER_SECOND,
            connections=600,
            patience_s=30,
            keeps_bodies=True,
        )
        offered = offer(load)
        assert set(offered.statuses) == {200, 503}
        refusals = {
            body for body, status in zip(offered.bodies, offered.statuses, strict=True) if status == 503
        }
        codes = {json.loads(body)["errors"][0]["extensions"]["code"] for body in refusals}
        assert codes == {"NOT_READY"}
        assert grid.pids()["gateway"] == gateway.pid
        assert gateway.memory_info().rss - before < LARGEST_GROWTH
        told = {}
        for each, status, body in zip(newcomers, offered.statuses, offered.bodies, strict=True):
            if status == 200:
                told[each.key] = read(json.loads(body)["data"]["registerHousehold"]["position"]).position
        check(grid.database_url, told, newcomers)


def _await_gateway(grid: Grid) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx.get(f"{grid.url}/graphql", params={"query": "{ __typename }"})
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
