"""bench workers: the intake with 1, 2 and 4 metering workers, and with one of two killed in the middle."""

import time

from bench.figures import Figure, WrongAnswer
from bench.intake import HOMES
from bench.intake_client import IntakeClient, Report
from bench.intake_grid import intake_grid
from bench.metered_load import DEVICES, Community, communities

COMMUNITIES = 100
SECONDS, WARM_SECONDS = 10.0, 1.5
LEAD = 1_600  # messages: each of four workers has a batch of 200 under way and one before it
_SMOKE_COMMUNITIES, _SMOKE_HOMES = 6, 5


def run(scale: float) -> list[Figure]:
    """The figures; WrongAnswer where a total is not what was sent or the killed worker is not replaced."""
    is_smoke = scale < 0.1
    made = communities(
        max(_SMOKE_COMMUNITIES, round(COMMUNITIES * scale)), _SMOKE_HOMES if is_smoke else HOMES
    )
    seconds = SECONDS * scale
    one, _ = _measured(made, 1, seconds, kill=False)
    two, killed = _measured(made, 2, seconds, kill=True)
    four, _ = _measured(made, 4, seconds, kill=False)
    return [
        Figure(name="workers: 1", figure=one, unit="readings/s"),
        Figure(
            name="workers: 2", figure=two, unit="readings/s", beside=one, rival="1 worker",
            at_least=1.3 * one,
        ),
        Figure(
            name="workers: 4", figure=four, unit="readings/s", beside=two, rival="2 workers", at_least=two
        ),
        Figure(
            name="workers: 2, one killed in the middle, totals exact", figure=killed, unit="readings/s",
            beside=two, rival="2 workers",
        ),
    ]  # fmt: skip


def _measured(made: list[Community], workers: int, seconds: float, *, kill: bool) -> tuple[float, float]:
    """Readings a second, and those of a second stretch in which a worker is killed (0 without)."""
    readings = len(made[0].homes) * DEVICES
    with intake_grid(workers, made) as grid, IntakeClient(grid, made, LEAD) as client:
        client.send(min(WARM_SECONDS, seconds))
        plain = _per_second(client.send(seconds), readings)
        killed = 0.0
        if kill:
            before = grid.pids()["metering-0"]
            client.begin(seconds)
            time.sleep(seconds / 2)
            grid.kill("metering-0")
            killed = _per_second(client.report(), readings)
            if grid.pids().get("metering-0") in (None, before):
                raise WrongAnswer("the killed worker was not replaced")
        client.expected.check(grid.database_url)
    return plain, killed


def _per_second(report: Report, readings: int) -> float:
    return report.messages * readings / report.visible_s
