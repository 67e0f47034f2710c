"""With a foreign household's token every field answers what it answers for an object that is not there."""

import json
import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from graphql import GraphQLField, GraphQLObjectType

from deploy.grid import Grid
from gateway.schema import schema
from tests.gateway.conftest import ATTACH, REGISTER
from tests.gateway.sample_values import operation_for

ID_ARGUMENTS = {
    "householdId": "Household",
    "deviceId": "Device",
    "communityId": "Community",
}
NODES = ("Household", "Device", "Community", "Notification")
_POSITION = re.compile(r'"position": "[^"]*"')


@dataclass(frozen=True)
class Strangers:
    """A household with a device, and another's token."""

    url: str
    token: str
    theirs: dict[str, str]
    missing: dict[str, str]

    def ask(self, query: str, variables: dict[str, Any]) -> str:
        """The whole answer as text, without the receipt, which differs from call to call."""
        body = {"query": query, "variables": variables}
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.post(f"{self.url}/graphql", json=body, headers=headers, timeout=30)
        return _POSITION.sub('"position": ...', json.dumps(answer.json(), sort_keys=True))


def _global_id(kind: str, raw: object) -> str:
    return b64encode(f"{kind}:{raw}".encode()).decode()


@pytest.fixture(scope="module")
def strangers(grid: Grid) -> Strangers:
    def ask(token: str, query: str, values: dict[str, object]) -> Any:
        body = {"query": query, "variables": {"input": values}}
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"{grid.url}/graphql", json=body, headers=headers, timeout=30).json()
        return answer["data"][next(iter(answer["data"]))]

    operator = grid.tokens["operator"]
    them, us = (
        ask(operator, REGISTER, {"name": name, "latitude": latitude, "longitude": "5.7"})
        for name, latitude in (("Them", "45.1"), ("Us", "48.5"))
    )
    device = ask(them["token"], ATTACH, {"householdId": them["householdId"], "kind": "BATTERY",
                                         "name": "battery", "capacityWh": 5000})["device"]  # fmt: skip
    household = them["household"]
    theirs = {
        "Household": them["householdId"],
        "Device": device["id"],
        "Community": household["community"]["id"],
        "Notification": _global_id("Notification", f"1.{household['uuid']}.AUTARKY_REACHED"),
    }
    missing = {kind: _global_id(kind, uuid4()) for kind in ("Household", "Device", "Community")}
    missing["Notification"] = _global_id("Notification", f"1.{uuid4()}.AUTARKY_REACHED")
    return Strangers(grid.url, us["token"], theirs, missing)


def _operations() -> list[tuple[str, str, GraphQLField]]:
    found = []
    for root in ("Query", "Mutation"):
        graphql_type = schema._schema.type_map[root]
        assert isinstance(graphql_type, GraphQLObjectType)
        found += [(root, name, field) for name, field in graphql_type.fields.items()]
    return found


@pytest.mark.parametrize("kind", NODES)
def test_a_foreign_node_is_as_good_as_none(strangers: Strangers, kind: str) -> None:
    field = schema._schema.query_type.fields["node"]  # type: ignore[union-attr]
    query, _ = operation_for("Query", "node", field, {})
    foreign = strangers.ask(query, {"id": strangers.theirs[kind]})
    assert foreign == strangers.ask(query, {"id": strangers.missing[kind]})
    assert json.loads(foreign) == {"data": {"node": None}}


@pytest.mark.parametrize(("root", "name", "field"), _operations(), ids=lambda value: str(value)[:40])
def test_a_foreign_object_is_as_good_as_none(
    strangers: Strangers, root: str, name: str, field: GraphQLField
) -> None:
    answers = []
    for ids in (strangers.theirs, strangers.missing):
        given = {argument: ids[kind] for argument, kind in ID_ARGUMENTS.items()}
        given["id"] = ids["Community" if name == "community" else "Household"]
        if name == "setAutarkyRule":
            del given["communityId"]
        query, variables = operation_for(root, name, field, given)
        answers.append(strangers.ask(query, variables))
    assert answers[0] == answers[1]
    assert not any(code in answers[0] for code in ("BAD_USER_INPUT", "TOO_COMPLEX", "INTERNAL"))
    for raw in strangers.theirs.values():
        assert raw not in answers[0]


@pytest.mark.parametrize("kind", ["Household", "Device", "Community"])
def test_whoever_may_see_it_gets_it(strangers: Strangers, grid: Grid, kind: str) -> None:
    operator = Strangers(strangers.url, grid.tokens["operator"], strangers.theirs, strangers.missing)
    field = schema._schema.query_type.fields["node"]  # type: ignore[union-attr]
    query, _ = operation_for("Query", "node", field, {})
    answer = json.loads(operator.ask(query, {"id": strangers.theirs[kind]}))
    assert answer == {"data": {"node": {"__typename": kind, "id": strangers.theirs[kind]}}}
