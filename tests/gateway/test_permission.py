"""Every field of every type is public or guarded, and what is guarded asks."""

from collections.abc import Iterator

import pytest
from graphql import GraphQLField, GraphQLNamedType, GraphQLObjectType, GraphQLUnionType, get_named_type
from strawberry.types.field import StrawberryField

from gateway.access import Principal
from gateway.permission import ROOTS, Access, Asks, ForAll, access_of
from gateway.schema import schema
from gateway.sending import Answers
from tests.gateway.conftest import Door
from tests.gateway.sample_values import operation_for

OBJECTS = [
    graphql_type
    for name, graphql_type in schema._schema.type_map.items()
    if isinstance(graphql_type, GraphQLObjectType) and not name.startswith("__")
]
PUBLIC_ROOT_FIELDS = {"clock"}


def _root_fields() -> Iterator[tuple[str, str, GraphQLField]]:
    for root in ROOTS:
        graphql_type = schema._schema.type_map[root]
        assert isinstance(graphql_type, GraphQLObjectType)
        for name, field in graphql_type.fields.items():
            yield root, name, field


def _returned(field: GraphQLField) -> list[GraphQLObjectType]:
    found: GraphQLNamedType = get_named_type(field.type)
    members = found.types if isinstance(found, GraphQLUnionType) else [found]
    return [member for member in members if isinstance(member, GraphQLObjectType)]


@pytest.mark.parametrize("graphql_type", OBJECTS, ids=lambda graphql_type: graphql_type.name)
def test_a_type_says_who_may_read_its_fields(graphql_type: GraphQLObjectType) -> None:
    assert graphql_type.name in ROOTS or access_of(graphql_type) is not None


@pytest.mark.parametrize(("root", "name", "field"), list(_root_fields()))
def test_a_root_field_says_who_may_ask(root: str, name: str, field: GraphQLField) -> None:
    definition = field.extensions["strawberry-definition"]
    assert isinstance(definition, StrawberryField)
    marks = [mark for mark in definition.extensions if isinstance(mark, Asks | Answers | ForAll)]
    assert len(marks) == (root != "Subscription")
    is_public = any(isinstance(mark, ForAll) for mark in marks)
    assert is_public == (name in PUBLIC_ROOT_FIELDS)


@pytest.mark.parametrize("graphql_type", OBJECTS, ids=lambda graphql_type: graphql_type.name)
def test_what_lies_inside_is_reached_through_what_is_guarded(graphql_type: GraphQLObjectType) -> None:
    for name, field in graphql_type.fields.items():
        if any(access_of(found) is Access.INSIDE for found in _returned(field)):
            if graphql_type.name in ROOTS:
                assert name not in PUBLIC_ROOT_FIELDS
            else:
                assert access_of(graphql_type) in (Access.GUARDED, Access.INSIDE), (
                    f"{graphql_type.name}.{name}"
                )


def test_a_guarded_object_is_asked_at_each_of_its_fields() -> None:
    class Hidden:
        def seen_by(self, principal: Principal) -> bool:
            assert principal.subject == "somebody"
            return False

    class Info:
        class context:  # noqa: N801
            asker = Principal(role="household", subject="somebody", expires_at=0)

    guarded = [found for found in OBJECTS if access_of(found) is Access.GUARDED]
    assert {found.name for found in guarded} >= {"Household", "Device", "Community", "Notification", "Grid"}
    for graphql_type in guarded:
        for field in graphql_type.fields.values():
            assert field.resolve is not None
            with pytest.raises(PermissionError):
                field.resolve(Hidden(), Info())


@pytest.mark.parametrize(
    ("root", "name", "field"), [entry for entry in _root_fields() if entry[0] != "Subscription"]
)
def test_without_a_token_only_what_is_public_answers(
    door: Door, root: str, name: str, field: GraphQLField
) -> None:
    query, variables = operation_for(root, name, field, {})
    errors = door.ask(query, **variables).json()["errors"]
    expected = "NOT_READY" if name in PUBLIC_ROOT_FIELDS else "UNAUTHENTICATED"
    assert [error["extensions"]["code"] for error in errors] == [expected]
