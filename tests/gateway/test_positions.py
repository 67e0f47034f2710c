"""Positions and cursors: opaque, and nothing but what was answered before."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.faults import Fault
from gateway.pages import cursor, key_of
from gateway.positions import Place, read, written


@given(
    st.integers(0, 2**63 - 1),
    st.lists(
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20), max_size=3
    ),
)
def test_a_position_comes_back_as_it_went(position: int, row: list[str]) -> None:
    assert read(written(position, *row)) == Place(position, tuple(row))


@given(st.text(max_size=40))
def test_anything_else_is_bad_input(text: str) -> None:
    with contextlib.suppress(Fault):
        assert 0 <= read(text).position < 2**63


@pytest.mark.parametrize("text", ["", "p", "12", "p-1", "p1.!", "q1", "p" + "z" * 20, "p1." + "A" * 400])
def test_these_are_not_positions(text: str) -> None:
    with pytest.raises(Fault):
        read(text)


def test_a_cursor_comes_back_part_by_part() -> None:
    assert key_of(cursor(7, "x"), int, str) == (7, "x")
    assert key_of(None, int) is None


@pytest.mark.parametrize("text", ["", "x", cursor(1), cursor("a", "b"), cursor(1, 2, 3), "bnVsbA=="])
def test_a_cursor_of_another_list_is_bad_input(text: str) -> None:
    with pytest.raises(Fault) as refused:
        key_of(text, int, str)
    assert refused.value.code == "BAD_USER_INPUT"
