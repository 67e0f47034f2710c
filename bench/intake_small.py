"""bench intake-small: one household per message, over MQTT at QoS 1, until visible in the totals."""

from bench.figures import Figure
from bench.intake_client import IntakeClient
from bench.intake_grid import intake_grid
from bench.machine import flush_seconds
from bench.metered_load import DEVICES, communities

COMMUNITIES, HOMES, WORKERS = 50, 100, 2
SECONDS = 10.0
LEAD = 10_000  # messages: the totals are at most about two seconds behind
_SMOKE_COMMUNITIES, _SMOKE_HOMES = 4, 5


def run(scale: float) -> list[Figure]:
    """The figures; WrongAnswer where a total is not what was sent."""
    is_smoke = scale < 0.1
    made = communities(
        max(_SMOKE_COMMUNITIES, round(COMMUNITIES * scale)), _SMOKE_HOMES if is_smoke else HOMES
    )
    with intake_grid(WORKERS, made) as grid, IntakeClient(grid, made, LEAD, over_mqtt=True) as client:
        client.send(SECONDS * scale / 10)
        report = client.send(SECONDS * scale)
        client.expected.check(grid.database_url)
    flush = flush_seconds()
    per_second = report.messages / report.visible_s
    return [
        Figure(
            name=f"intake-small: messages of one household over MQTT, visible, {report.visible_s:.0f} s",
            figure=per_second, unit="messages/s", beside=1 / flush, rival="4 kB flushes/s of the disk",
            at_least=5_000,
        ),
        Figure(name="intake-small: readings", figure=per_second * DEVICES, unit="readings/s"),
        Figure(
            name="intake-small: from acknowledged to visible, median", figure=report.visible_after_s * 1000,
            unit="ms", beside=flush * 1000, rival="the disk's flush",
        ),
        Figure(
            name="intake-small: CPU of the client", figure=report.cpu_s / report.visible_s * 100,
            unit="% of a core",
        ),
    ]  # fmt: skip
