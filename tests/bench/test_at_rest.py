"""The bench of what a reading takes on disk, in small."""

from bench.run import SMOKE, bench


def test_bench_at_rest_answers_its_figures_and_finds_its_answers_the_same() -> None:
    figures = {figure.name: figure for figure in bench("at-rest")(SMOKE)}
    sealed = next(figure for name, figure in figures.items() if name.startswith("at rest: a sealed reading"))
    assert sealed.unit == "bytes"
    assert sealed.goal == 3
    assert sealed.beside is not None
    assert 0 < figures["at rest: of it values"].figure < 10
    assert figures["at rest: an open reading"].figure > sealed.beside
