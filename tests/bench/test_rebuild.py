"""The bench `rebuild` on a small log: its figures, and that it notices a wrong table."""

import pytest

from bench import rebuilding
from bench.figures import WrongAnswer
from projections.views import VIEWS


def test_it_measures_every_view_and_finds_its_tables_right() -> None:
    figures = [figure for figure in rebuilding.run(0.01) if figure.unit == "facts/s"]
    assert {figure.name for figure in figures} == {
        "rebuild: households taken in live",
        *(f"rebuild: {name} afresh and swapped in" for name in VIEWS),
    }
    for figure in figures:
        assert figure.beside is not None
        assert figure.figure > 0
        assert figure.beside > 0
        assert figure.goal == 150_000


def test_a_table_that_lacks_a_row_is_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    write = rebuilding.write

    def written_but_one(url: str, plan: rebuilding.Plan) -> int:
        return write(url, rebuilding.Plan(**{**plan.__dict__, "corrections": plan.corrections - 1}))

    monkeypatch.setattr(rebuilding, "write", written_but_one)
    with pytest.raises(WrongAnswer, match="correction"):
        rebuilding.run(0.002)
