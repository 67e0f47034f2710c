"""The bench of totals rebuilt from readings, in small."""

from bench.rebuilding_readings import run
from bench.run import SMOKE


def test_bench_rebuilding_readings_answers_both_forms_and_finds_its_totals_right() -> None:
    figures = run(SMOKE)
    assert [figure.name for figure in figures] == [
        "rebuild: totals from open readings",
        "rebuild: totals from sealed readings",
    ]
    assert all(figure.unit == "readings/s" and figure.figure > 0 and figure.beside for figure in figures)
    assert [figure.goal for figure in figures] == [None, 1_000_000]
