"""bench intake: readings acknowledged on disk and then visible in household, community and grid totals.

A concentrator sends one message a slot for its community: 100 households of five devices, about 45 kB of the
public JSON. The messages lie ready, only the slot is stamped in; values come round again after eight slots.
"""

from bench.copy_rival import copied_per_second
from bench.figures import Figure
from bench.intake_client import IntakeClient
from bench.intake_grid import intake_grid
from bench.machine import flush_seconds
from bench.metered_load import DEVICES, communities

COMMUNITIES, HOMES, WORKERS = 200, 100, 2
SECONDS, REVISIT_SECONDS, COPY_SECONDS = 60.0, 15.0, 8.0
LEAD = 600  # messages, 300,000 readings: the totals are at most about a second behind
_SMOKE_COMMUNITIES, _SMOKE_HOMES = 6, 5


def run(scale: float) -> list[Figure]:
    """The figures; WrongAnswer where a total is not what was sent."""
    is_smoke = scale < 0.1
    made = communities(
        max(_SMOKE_COMMUNITIES, round(COMMUNITIES * scale)), _SMOKE_HOMES if is_smoke else HOMES
    )
    readings = len(made[0].homes) * DEVICES
    with intake_grid(WORKERS, made) as grid, IntakeClient(grid, made, LEAD) as client:
        client.send(SECONDS * scale / 20)
        plain = client.send(SECONDS * scale)
        revisited = client.send(REVISIT_SECONDS * scale, revisit=True)
        client.expected.check(grid.database_url)
        for part in [name for name in grid.pids() if name.startswith("metering")]:
            grid.stop_part(part)
        copied = copied_per_second(grid.database_url, COPY_SECONDS * scale)
    per_second = plain.messages * readings / plain.visible_s
    again = revisited.messages * readings / revisited.visible_s
    flush = flush_seconds() * 1e6
    size = len(made[0].message(0, 0))
    return [
        Figure(
            name=f"intake: readings visible, {plain.visible_s:.0f} s, messages of {size / 1000:.0f} kB",
            figure=per_second, unit="readings/s", beside=copied, rival="bare COPY of the same rows",
            at_least=300_000,
        ),
        Figure(
            name="intake: share of bare COPY", figure=per_second / copied, unit="", beside=1,
            rival="bare COPY", at_least=0.4,
        ),
        Figure(
            name="intake: every tenth message a repeat or a correction", figure=again, unit="readings/s",
            beside=per_second, rival="all of them new",
        ),
        Figure(
            name="intake: from acknowledged to visible, median", figure=plain.visible_after_s * 1000,
            unit="ms", beside=flush / 1000, rival="the disk's flush",
        ),
        Figure(
            name="intake: CPU of the client", figure=plain.cpu_s / plain.visible_s * 100, unit="% of a core",
        ),
    ]  # fmt: skip
