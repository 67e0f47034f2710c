"""How large a query may be, measured in time linear in its text."""

import time

import pytest
from graphql import get_introspection_query, parse

from gateway.limits import Limits, page_sizes, too_complex
from gateway.schema import schema
from tests.gateway.conftest import Door

SIZES = page_sizes(schema._schema)


def _refusal(text: str, limits: Limits | None = None, **variables: object) -> str | None:
    error = too_complex(parse(text), variables, SIZES, limits or Limits())
    return None if error is None else error.message


def _nested_fragments(levels: int) -> str:
    """Each fragment spreads the next one twice: written out it has 2 ** levels fields."""
    inner = [f"fragment F{n} on Community {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels)]
    return " ".join(["{ community(id: 1) { ...F0 } }", *inner, f"fragment F{levels} on Community {{ area }}"])


def test_thirty_nested_fragments_are_measured_at_once() -> None:
    began = time.perf_counter()
    assert _refusal(_nested_fragments(30)) == "the query's cost is over 10^9, at most 10000 is answered"
    assert time.perf_counter() - began < 0.1


def test_time_grows_with_the_text_alone() -> None:
    def seconds(levels: int) -> float:
        document = parse(_nested_fragments(levels))
        began = time.perf_counter()
        too_complex(document, {}, SIZES, Limits())
        return time.perf_counter() - began

    assert min(seconds(120) for _ in range(5)) < 20 * min(seconds(30) for _ in range(5))


def test_the_gateway_refuses_nested_fragments_at_once(door: Door) -> None:
    began = time.perf_counter()
    answer = door.ask(_nested_fragments(30))
    assert time.perf_counter() - began < 1
    assert answer.json()["errors"][0]["extensions"] == {"code": "TOO_COMPLEX"}


def test_a_fragment_within_itself_is_left_to_validation(door: Door) -> None:
    text = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A clock { now } }"
    assert _refusal(text) is None
    errors = door.ask(text).json()["errors"]
    assert {error["extensions"]["code"] for error in errors} == {"BAD_USER_INPUT"}
    assert any("within itself" in error["message"] for error in errors)


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{ clock { now } }", 2),
        ("{ households(first: 7) { nodes { name } } }", 1 + 7 * 2),
        ("{ households { totalCount nodes { name } } }", 1 + 1 + 20 * 2),
        ("{ households(first: 3) { edges { node { name } } } }", 1 + 3 * 3),
        (
            "{ households(first: 2) { nodes { energy(last: 5) { nodes { start } } } } }",
            1 + 2 * (1 + 1 + 5 * 2),
        ),
        ("{ household { energy { nodes { start } } } }", 1 + 1 + 96 * 2),
        ("query($n: Int) { households(first: $n) { nodes { name } } }", 1 + 9 * 2),
        ("query($m: Int = 4) { households(first: $m) { nodes { name } } }", 1 + 4 * 2),
        (
            "{ a: households(first: 3) { ...P } b: households(first: 5) { ...P } } "
            "fragment P on HouseholdConnection { nodes { name } }",
            2 + 3 * 2 + 5 * 2,
        ),
    ],
)
def test_what_lies_in_a_page_costs_once_for_each_entry(text: str, cost: int) -> None:
    assert _refusal(text, Limits(cost=cost), n=9) is None
    assert (
        _refusal(text, Limits(cost=cost - 1), n=9)
        == f"the query's cost is {cost}, at most {cost - 1} is answered"
    )


def test_depth_counts_through_fragments() -> None:
    text = "{ household { ...H } } fragment H on Household { community { area } }"
    assert _refusal(text, Limits(depth=3)) is None
    assert _refusal(text, Limits(depth=2)) == "the query's depth is 3, at most 2 is answered"


def test_aliases_and_repeated_fields_count_alike() -> None:
    aliases = " ".join(f"a{n}: clock {{ now }}" for n in range(31))
    repeated = " ".join("clock { now }" for _ in range(32))
    assert _refusal(f"{{ {aliases} }}") == "the query's aliases is 31, at most 30 is answered"
    assert _refusal(f"{{ {repeated} }}") == "the query's aliases is 31, at most 30 is answered"


def test_directives_are_counted() -> None:
    fields = " ".join(f"clock @skip(if: false) {{ a{n}: now @skip(if: true) }}" for n in range(11))
    assert _refusal(f"{{ {fields} }}") == "the query's directives is 22, at most 20 is answered"


def test_the_playground_may_read_the_schema(door: Door) -> None:
    text = get_introspection_query(input_value_deprecation=True)
    answer = door.ask(text).json()
    assert "errors" not in answer
    assert answer["data"]["__schema"]["queryType"]["name"] == "Query"


@pytest.mark.parametrize("text", ["{ " + "clock " * 2000 + "}", "{a" * 900 + "}" * 900])
def test_too_many_words_or_levels_are_not_even_parsed(door: Door, text: str) -> None:
    error = door.ask(text).json()["errors"][0]
    assert error["extensions"]["code"] == "TOO_COMPLEX"


def test_limits_are_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTRIX_LIMIT_DEPTH", "5")
    assert Limits.from_environment() == Limits(depth=5)
