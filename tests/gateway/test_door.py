"""The door itself: limits, codes, media types, health and metrics, with nobody behind it."""

import time
from base64 import b64encode
from uuid import UUID

import httpx
import pytest

from gateway.limits import LIMITS
from tests.gateway.conftest import Door

OWN = UUID("00000000-0000-4000-8000-000000000000")
HOUSEHOLD = b64encode(f"Household:{OWN}".encode()).decode()


def _codes(answer: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in answer.json()["errors"]]


def test_a_long_body_is_refused_unread(door: Door) -> None:
    def body() -> object:
        yield b'{"query": "'
        for _ in range(LIMITS.body // 4096 + 1):
            yield b"#" * 4096

    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{door.url}/graphql", content=body(), headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, _codes(answer)) == (413, ["TOO_LARGE"])


def test_a_slash_behind_it_leads_there_too(door: Door) -> None:
    answer = httpx.post(f"{door.url}/graphql/", json={"query": "{ __typename }"})
    assert answer.json() == {"data": {"__typename": "Query"}}


def test_a_bad_token_is_refused_as_a_whole(door: Door) -> None:
    answer = door.ask("{ __typename }", token="nonsense")
    assert (answer.status_code, _codes(answer)) == (401, ["UNAUTHENTICATED"])
    assert answer.headers["www-authenticate"] == "Bearer"
    assert door.ask("{ __typename }").json() == {"data": {"__typename": "Query"}}


def test_no_token_where_one_is_needed(door: Door) -> None:
    answer = door.ask("{ me { role } }")
    assert (answer.status_code, _codes(answer)) == (401, ["UNAUTHENTICATED"])


def test_without_a_database_a_mutation_is_not_ready_within_two_seconds(door: Door) -> None:
    register = """mutation($input: RegisterHouseholdInput!) {
        registerHousehold(input: $input) { __typename } }"""
    house = {"name": "A", "latitude": "48.85", "longitude": "2.35"}
    for query, variables in ((register, {"input": house}), ("{ households { totalCount } }", {})):
        began = time.perf_counter()
        answer = door.ask(query, token=door.token(), **variables)
        assert time.perf_counter() - began < 2.0
        assert (answer.status_code, _codes(answer)) == (503, ["NOT_READY"])


def test_without_nats_readings_are_not_ready(door: Door) -> None:
    door.parts.areas[OWN] = UUID("00000000-0000-4000-8000-000000000002")
    record = "mutation($input: RecordReadingsInput!) { recordReadings(input: $input) { __typename } }"
    sent = {"householdId": HOUSEHOLD, "readings": [{"slot": "2026-01-05T10:15:00Z", "devices": []}]}
    answer = door.ask(record, token=door.token("device", str(OWN), household=str(OWN)), input=sent)
    assert (answer.status_code, _codes(answer)) == (503, ["NOT_READY"])


@pytest.mark.parametrize(
    ("query", "status"),
    [("{", 400), ("{ nothing }", 400), ("query($n: Int!) { households(first: $n) { totalCount } }", 400)],
)
def test_what_cannot_be_asked_is_bad_input(door: Door, query: str, status: int) -> None:
    accept = {"Accept": "application/graphql-response+json"}
    answer = httpx.post(f"{door.url}/graphql", json={"query": query}, headers=accept)
    assert (answer.status_code, set(_codes(answer))) == (status, {"BAD_USER_INPUT"})
    assert "data" not in answer.json()


@pytest.mark.parametrize(
    "asked",
    [
        "households(first: 0) { totalCount }",
        "households(first: 101) { totalCount }",
        'households(after: "x") { totalCount }',
        'notifications(after: "WzFd") { totalCount }',
        'facts(after: "nowhere") { nodes { name } }',
        'node(id: "not an id") { id }',
    ],
)
def test_arguments_that_fit_nothing_are_bad_input(door: Door, asked: str) -> None:
    answer = door.ask(f"{{ {asked} }}", token=door.token())
    assert _codes(answer) == ["BAD_USER_INPUT"]


def test_a_role_that_may_not_is_refused_as_data(door: Door) -> None:
    advance = """mutation { advanceClock(input: {to: "2026-02-01T00:00:00Z"}) {
        __typename ... on Refusal { message code } } }"""
    for role in ("household", "aggregator", "partner"):
        answer = door.ask(advance, token=door.token(role)).json()["data"]["advanceClock"]
        assert answer["__typename"] == answer["code"] == "NotPermitted"
        assert answer["message"] == "this is for: operator"


def test_mutations_and_methods_that_get_may_not(door: Door) -> None:
    mutation = {"query": 'mutation { markRead(input: {householdId: "x", upTo: "p1"}) { __typename } }'}
    assert httpx.get(f"{door.url}/graphql", params=mutation).status_code == 405
    assert httpx.get(f"{door.url}/graphql", params=mutation).headers["allow"] == "POST"
    answer = httpx.put(f"{door.url}/graphql")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert httpx.get(f"{door.url}/graphql", headers={"Accept": "text/html"}).status_code == 400


def test_health_is_down_without_a_database_and_says_why(door: Door) -> None:
    answer = httpx.get(f"{door.url}/health", timeout=2)
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    parts = {part["name"]: part for part in answer.json()["parts"]}
    assert parts["database"]["status"] == parts["messages"]["status"] == "down"
    assert parts["database"]["error"]
    one = httpx.get(f"{door.url}/health/messages", timeout=2)
    assert (one.status_code, [part["name"] for part in one.json()["parts"]]) == (503, ["messages"])
    assert httpx.get(f"{door.url}/health/nothing", timeout=2).status_code == 404


def test_metrics_count_what_was_answered(door: Door) -> None:
    def answered() -> int:
        lines = httpx.get(f"{door.url}/metrics", timeout=30).text.splitlines()
        return int(
            next(line for line in lines if line.startswith("smartrix_request_seconds_count")).split()[1]
        )

    before = answered()
    door.ask("{ __typename }")
    assert answered() == before + 1


def test_too_many_requests_at_once_are_asked_to_come_back(door: Door) -> None:
    door.parts.metrics.in_flight += 256
    try:
        answer = door.ask("{ __typename }")
    finally:
        door.parts.metrics.in_flight -= 256
    assert (answer.status_code, _codes(answer), answer.headers["retry-after"]) == (503, ["NOT_READY"], "1")


def test_an_unforeseen_fault_is_masked_and_numbered(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    record = """mutation($input: RecordReadingsInput!) { recordReadings(input: $input) { __typename } }"""
    reading = {"slot": "2026-01-05T00:00:00Z", "devices": []}
    body = {"query": record, "variables": {"input": {"householdId": HOUSEHOLD, "readings": [reading]}}}
    headers = {"Authorization": f"Bearer {door.token()}", "X-Correlation-Id": "walk-42"}
    remembered = door.parts.__dict__["areas"]
    door.parts.__dict__["areas"] = None
    try:
        answer = httpx.post(f"{door.url}/graphql", json=body, headers=headers)
    finally:
        door.parts.__dict__["areas"] = remembered
    assert answer.json()["errors"][0]["extensions"] == {"code": "INTERNAL", "correlationId": "walk-42"}
    assert "TypeError" not in answer.text
    assert "TypeError" in caplog.text
    assert "walk-42" in caplog.text
