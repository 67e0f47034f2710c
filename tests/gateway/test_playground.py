"""The playground in a real browser that knows no name but this machine, and its ready questions."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, parse, validate

from deploy.grid import Grid
from gateway.access import mint
from gateway.playground.build import DIST, HERE, is_built
from tests.gateway.browser import CHROMIUM, Page, PageError, opened

SCHEMA = HERE.parents[1] / "schema.graphql"
QUESTIONS = sorted((HERE / "questions").glob("*/*.graphql"))
ROLES_WITH_THREE = ("household", "operator", "aggregator")
SLOT = timedelta(minutes=15)
ANSWER_SECONDS = 10.0

RUN = "document.querySelector('.graphiql-execute-button')"
ANSWER = """[...document.querySelectorAll('.graphiql-response .view-line')]
    .sort((one, other) => parseFloat(one.style.top) - parseFloat(other.style.top))
    .map((line) => line.textContent.replaceAll('\\u00a0', ' ')).join('\\n')"""
CHOOSE = """[...document.querySelectorAll('.questions button')]
    .find((item) => item.textContent.startsWith(%s)).click()"""

in_browser = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(not is_built(), reason="not built: python -m gateway.playground.build"),
]


def title(question: Path) -> str:
    """What the list calls a question: its first line."""
    return question.read_text().split("\n", 1)[0].removeprefix("# ")


def ask(grid: Grid, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    """The data of an operation asked as the operator, past the browser."""
    answer = httpx.post(
        f"{grid.url}/graphql",
        json={"query": query, "variables": variables or {}},
        headers={"Authorization": f"Bearer {grid.tokens['operator']}"},
        timeout=ANSWER_SECONDS,
    ).json()
    assert "errors" not in answer, answer
    return dict(answer["data"])


@pytest.fixture
def page(grid: Grid) -> Iterator[Page]:
    """The playground, opened through the operator's link and ready to be asked."""
    with opened() as page:
        page.call("Page.navigate", {"url": f"{grid.url}/#token={grid.tokens['operator']}"})
        page.wait_for(f"{RUN} && document.querySelector('.graphiql-query-editor .view-line') && true", 30.0)
        yield page


def choose(page: Page, question: Path) -> None:
    """Chooses a question from the list and waits until the editor has taken it."""
    page.run(CHOOSE % json.dumps(title(question)))
    operation = re.search(r"^(?:query|subscription) (\w+)", question.read_text(), re.MULTILINE)
    assert operation is not None
    page.wait_for(
        f"document.querySelector('.graphiql-tab-button').textContent === '{operation[1]}'", ANSWER_SECONDS
    )


def answer(page: Page, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """The answer on the screen, once it is there whole."""
    whole = f"(() => {{ const said = {ANSWER}; return said.trim().endsWith('}}') && said }})()"
    return dict(json.loads(page.wait_for(whole, seconds)))


def pushed(page: Page, grid: Grid) -> tuple[dict[str, Any], list[str]]:
    """The first push and the slots closed for it: the first may close before the server has subscribed us."""
    page.wait_for("document.querySelector('.graphiql-spinner') && true", ANSWER_SECONDS)
    closed: list[str] = []
    while True:
        closed.append(close_a_slot(grid))
        try:
            return answer(page, 3.0), closed
        except PageError:
            if len(closed) == 3:
                raise


def assert_nothing_left(page: Page, grid: Grid) -> None:
    """The page and its workers asked the grid and nobody else, and their own policy held nothing back."""
    assert page.requested
    assert {urlsplit(address).netloc for address in page.requested} == {urlsplit(grid.url).netloc}
    assert page.complaints == []


class TestInBrowser:
    pytestmark = in_browser

    def test_a_query_is_answered(self, page: Page, grid: Grid) -> None:
        question = HERE / "questions" / "everyone" / "1-who-and-when.graphql"
        choose(page, question)
        page.run(f"{RUN}.click()")
        assert answer(page)["data"] == ask(grid, question.read_text())
        assert_nothing_left(page, grid)

    def test_a_subscription_shows_what_is_pushed(self, page: Page, grid: Grid) -> None:
        choose(page, HERE / "questions" / "operator" / "3-slot-closed.graphql")
        page.run(f"{RUN}.click()")
        shown, closed = pushed(page, grid)
        assert shown["data"]["slotClosed"]["slotStart"] in closed
        assert any("connection_ack" in frame for frame in page.frames)
        assert any(urlsplit(address).scheme == "ws" for address in page.requested)
        assert_nothing_left(page, grid)

    def test_the_token_leaves_the_address(self, page: Page, grid: Grid) -> None:
        assert page.run("location.href") == f"{grid.url}/"
        assert page.run("document.querySelector('#token').value") == grid.tokens["operator"]
        assert page.run("document.querySelector('#person').value") == "operator"
        household = str(uuid4())
        token = mint(grid.signing_key, "household", household, household=household)
        page.run(f"location.hash = 'token={token}'")
        page.wait_for("document.querySelector('#person').value === 'household'", ANSWER_SECONDS)
        assert page.run("location.href") == f"{grid.url}/"
        assert page.run("localStorage.length > 0 && !JSON.stringify(localStorage).includes('eyJ')")


def close_a_slot(grid: Grid) -> str:
    """Advances the clock by one slot and answers the start of the slot that closed last."""
    now = datetime.fromisoformat(ask(grid, "{ clock { now } }")["clock"]["now"])
    advance = """mutation ($input: AdvanceClockInput!) {
        advanceClock(input: $input) {
            __typename
            ... on AdvanceClockPayload { clock { lastClosedSlotStart } }
        }
    }"""
    said = ask(grid, advance, {"input": {"to": (now + SLOT).isoformat()}})["advanceClock"]
    assert said["__typename"] == "AdvanceClockPayload", said
    return str(said["clock"]["lastClosedSlotStart"])


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    if not SCHEMA.is_file():
        pytest.skip("schema.graphql is not printed yet")
    return build_schema(SCHEMA.read_text())


class TestQuestions:
    @pytest.mark.parametrize("question", QUESTIONS, ids=lambda path: f"{path.parent.name}/{path.stem}")
    def test_fits_the_schema(self, question: Path, schema: GraphQLSchema) -> None:
        assert [error.message for error in validate(schema, parse(question.read_text()))] == []

    @pytest.mark.parametrize("question", QUESTIONS, ids=lambda path: f"{path.parent.name}/{path.stem}")
    def test_has_a_title_and_one_named_operation_that_changes_nothing(self, question: Path) -> None:
        (operation,) = parse(question.read_text()).definitions
        assert question.read_text().startswith("# ")
        assert isinstance(operation, OperationDefinitionNode)
        assert operation.name is not None
        assert operation.operation.value in ("query", "subscription")

    def test_each_role_has_three_at_least(self) -> None:
        found = [question.parent.name for question in QUESTIONS]
        assert [role for role in ROLES_WITH_THREE if found.count(role) < 3] == []
        assert len({title(question) for question in QUESTIONS}) == len(QUESTIONS)


def test_the_lock_names_no_registry() -> None:
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"].items()
    assert [name for name, package in packages if "resolved" in package] == []
    assert [name for name, package in packages if name and "integrity" not in package] == []


@pytest.mark.skipif(not is_built(), reason="not built: python -m gateway.playground.build")
def test_the_page_may_fetch_from_its_own_host_only() -> None:
    html = (DIST / "index.html").read_text()
    assert re.search(r'http-equiv="Content-Security-Policy"\s+content="default-src \'self\';', html)
    assert re.findall(r'(?:src|href)="(?!\./)[^"]*"', html) == []
    styles = "".join(sheet.read_text() for sheet in DIST.glob("assets/*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles) == []
