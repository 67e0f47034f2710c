"""A small run of the bench of questions: what it tells, with its answers checked."""

from bench import reads


def test_a_small_run_tells_its_figures() -> None:
    figures = {figure.name: figure for figure in reads.run(0.01)}
    assert figures["reads: a day with devices, 1,000/s offered to two gateways, p99"].at_most == 25.0
    share = figures["reads: share of the same from memory"]
    assert (share.at_least, share.unit) == (0.6, "")
    most = figures["reads: a day with devices, the most of one gateway"]
    assert most.figure > 0
    assert most.beside
    assert {"reads: communities by autarky", "reads: a month by day"} <= figures.keys()
