"""Commands: mutations over HTTP, each on disk before its answer, and the write side without HTTP."""

import gc
import json
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from bench.figures import Figure, WrongAnswer
from bench.machine import flush_seconds
from bench.mutations import MIX_TEXT, Home, Mutation, check, homes, mixed
from bench.open_loop import Load, Offered, offer
from deploy.grid import Grid
from deploy.servers import servers
from gateway.access import mint
from gateway.positions import read
from write_side.app import App
from write_side.command_group import Receipt
from write_side.commands import Command
from write_side.log import create_log

HOUSEHOLDS = 3_000
OFFERED_PER_SECOND, STEADY_S = 1_000, 15
MOST_COMMANDS, MOST_S = 20_000, 8.0
ALONE_HOUSEHOLDS, ALONE_COMMANDS = 15_000, 60_000
CONNECTIONS, CALLERS = 64, 1_000


def run(scale: float) -> list[Figure]:
    """Three figures: latency at a steady offer, the most over HTTP, the most of the write side alone."""
    return [*_over_http(scale), *_alone(scale)]


def _over_http(scale: float) -> list[Figure]:
    chance = random.Random(3)
    town = homes(max(int(HOUSEHOLDS * scale), 20), chance)
    with Grid() as grid:
        grid.wait_healthy()
        flush_ms = flush_seconds(grid.home) * 1000
        app = App(grid.database_url)
        _settle(app, town)
        app.close()
        newcomers = iter(homes(100_000, chance, first=len(town)))
        steady = mixed(max(int(OFFERED_PER_SECOND * STEADY_S * scale), 100), town, newcomers, chance)
        most = mixed(max(int(MOST_COMMANDS * scale), 100), town, newcomers, chance)
        warm = mixed(max(int(OFFERED_PER_SECOND * scale), 20), town, newcomers, chance)
        told = _told(warm, _offered(grid, warm, OFFERED_PER_SECOND / 2))
        at_rate = _offered(grid, steady, OFFERED_PER_SECOND)
        at_most = _offered(grid, most, 0)
        told |= _told(steady, at_rate) | _told(most, at_most)
        check(grid.database_url, told, [*warm, *steady, *most])
    if at_rate.answered() != len(steady):
        raise WrongAnswer(f"{len(steady) - at_rate.answered()} of {len(steady)} were not carried out")
    name = f"commands, {OFFERED_PER_SECOND:,}/s offered over HTTP"
    per_second = at_most.answered() / at_most.seconds
    return [
        Figure(
            name=f"{name} ({MIX_TEXT}): p99",
            figure=at_rate.latency_ms(99),
            unit="ms",
            at_most=50 if scale == 1 else None,
            beside=flush_ms,
            rival="ms to write and flush 4 kB",
        ),
        Figure(name=f"{name}: p50", figure=at_rate.latency_ms(50), unit="ms"),
        Figure(
            name="commands, the most over HTTP, each on disk",
            figure=per_second,
            unit="1/s",
            at_least=1_500 if scale == 1 else None,
            beside=1000 / flush_ms,
            rival="flushes of 4 kB a second",
        ),
        Figure(
            name="commands, the most over HTTP: its client",
            figure=at_most.cpu_seconds / at_most.seconds,
            unit="cores",
        ),
    ]


def _offered(grid: Grid, mutations: Sequence[Mutation], per_second: float) -> Offered:
    operator = grid.tokens["operator"]

    def token(mutation: Mutation) -> str:
        own = str(mutation.home.household_id)
        return (
            operator
            if mutation.kind == "register"
            else mint(grid.signing_key, "household", own, household=own)
        )

    return offer(
        Load(
            url=grid.url,
            requests=[mutation.request(grid.url, token(mutation)) for mutation in mutations],
            count=len(mutations),
            per_second=per_second,
            connections=128 if per_second else CONNECTIONS,
            longest_s=2 * STEADY_S if per_second else MOST_S,
            keeps_bodies=True,
        )
    )


def _told(mutations: Sequence[Mutation], offered: Offered) -> dict[str, int]:
    """The position that the client was told for each key; WrongAnswer at a refusal, as none breaks a rule."""
    told = {}
    for mutation, status, body in zip(mutations, offered.statuses, offered.bodies, strict=False):
        if status == 200:
            (answer,) = json.loads(body)["data"].values()
            if "position" not in answer:
                raise WrongAnswer(f"a {mutation.kind} was refused: {answer}")
            told[mutation.key] = read(answer["position"]).position
    return told


def _alone(scale: float) -> list[Figure]:
    chance = random.Random(4)
    town = homes(max(int(ALONE_HOUSEHOLDS * scale), 20), chance)
    newcomers = iter(homes(100_000, chance, first=len(town)))
    mutations = mixed(max(int(ALONE_COMMANDS * scale), 200), town, newcomers, chance)
    with servers() as grid:
        create_log(grid.database_url)
        flush_ms = flush_seconds(grid.home) * 1000
        app = App(grid.database_url)
        _settle(app, town)
        gc.freeze()
        gc.set_threshold(20_000)  # as in the gateway
        sent = [(mutation.by, mutation.key, mutation.command()) for mutation in mutations]
        used, begin = time.process_time(), time.perf_counter()
        receipts = called(app, sent, CALLERS)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - used
        app.close()
        told = {mutation.key: receipt.position for mutation, receipt in zip(mutations, receipts, strict=True)}
        check(grid.database_url, told, mutations)
    return [
        Figure(
            name=f"commands, the write side alone, {CALLERS:,} callers in one process",
            figure=len(mutations) / seconds,
            unit="1/s",
            at_least=10_000 if scale == 1 else None,
            beside=1000 / flush_ms,
            rival="flushes of 4 kB a second",
        ),
        Figure(name="commands, the write side alone: its process", figure=cpu / seconds, unit="cores"),
    ]


def _settle(app: App, town: Sequence[Home]) -> None:
    commands = [command for home in town for command in home.commands()]
    called(app, [("settler", f"settle/{number}", each) for number, each in enumerate(commands)], CALLERS)


def called(app: App, sent: Sequence[tuple[str, str, Command]], callers: int) -> list[Receipt]:
    """The receipts of commands (by, key, command) sent by so many callers, who each wait for their answer.

    A refusal is raised.
    """
    may_send = threading.Semaphore(callers)
    futures: list[Future[Receipt]] = []
    for by, key, command in sent:
        may_send.acquire()
        future = app.send(command, by=by, key=key)
        future.add_done_callback(lambda _: may_send.release())
        futures.append(future)
    return [future.result(10) for future in futures]
