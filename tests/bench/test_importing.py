"""A smoke run of the import bench: its figures' shape, and that its check finds what is missing."""

import pytest

from bench import importing
from bench.figures import WrongAnswer


def test_a_small_import_is_right_and_measured() -> None:
    figures = importing.run(0.002)
    assert [figure.unit for figure in figures] == ["1/s", "s", "s"]
    assert all(figure.figure > 0 for figure in figures)


def test_a_file_that_is_refused_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_DEVICES", (("TOASTER", "toaster", "", "", "", "", "", "", ""),))
    with pytest.raises(WrongAnswer, match="TOASTER"):
        importing.run(0.002)
