"""A short soak: every process is looked at, and all that was asked was answered."""

from bench import soak


def test_a_short_run_tells_its_figures() -> None:
    figures = {figure.name: figure for figure in soak.run(0.005)}
    for part in ("postgres", "nats", "gateway", "metering-0", "views", "standing-orders", "relay"):
        held = figures[f"soak: {part}, memory over the second half"]
        assert held.unit == "MiB/min"
        assert held.beside is not None
    assert {"soak: reads, p99", "soak: commands, p99"} <= figures.keys()
