"""Every request the simulator makes is valid by the schema the gateway prints."""

from pathlib import Path

import pytest
from gql import GraphQLRequest
from graphql import build_schema, validate

from simulator import operations

SCHEMA = Path(__file__).resolve().parents[2] / "schema.graphql"
REQUESTS = {name: value for name, value in vars(operations).items() if isinstance(value, GraphQLRequest)}


@pytest.mark.parametrize("name", REQUESTS)
def test_request_is_valid(name: str) -> None:
    schema = build_schema(SCHEMA.read_text())
    assert [error.message for error in validate(schema, REQUESTS[name].document)] == []
