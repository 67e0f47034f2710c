"""A small run of the bench of latencies."""

from bench import latency


def test_a_small_run_tells_its_figures() -> None:
    told, own = latency.run(0.03)
    assert (told.at_most, own.at_most) == (250.0, 50.0)
    assert told.figure >= (told.beside or 0) > 0
    assert own.figure >= (own.beside or 0) > 0
