"""The bench `start`, one start of each kind."""

import pytest

from bench import start
from bench.figures import WrongAnswer


def test_it_starts_a_fresh_home_and_the_same_again() -> None:
    figures = start.run(0.01)
    assert len(figures) == 2
    for figure in figures:
        assert figure.unit == "s"
        assert figure.goal == 3
        assert figure.figure > 0
        assert figure.beside is not None


def test_a_grid_without_its_views_is_not_started() -> None:
    with pytest.raises(WrongAnswer, match="views"):
        start._check([{"name": "postgres", "status": "ok"}, {"name": "views", "status": "down"}])
