"""Operations made from the schema: every field selected, every argument given something that fits."""

from collections.abc import Mapping
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLUnionType,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)

DEPTH = 2
_SCALARS: dict[str, Any] = {
    "ID": "SG91c2Vob2xkOjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMA==",
    "String": "a name",
    "Int": 1,
    "Boolean": True,
    "Decimal": "45.5",
    "DateTime": "2026-01-05T10:15:00Z",
    "Position": "p1",
}
Ids = Mapping[str, str]


def operation_for(root: str, name: str, field: GraphQLField, ids: Ids) -> tuple[str, dict[str, Any]]:
    """The operation that asks one root field for all it has, and its variables.

    Arguments and input fields named in `ids` are given, as are required ones; the others are left out.
    """
    given = {
        argument: _value(definition.type, argument, ids)
        for argument, definition in field.args.items()
        if argument in ids or is_required_argument(definition)
    }
    declared = ", ".join(f"${argument}: {field.args[argument].type}" for argument in given)
    passed = ", ".join(f"{argument}: ${argument}" for argument in given)
    head = f"{root.lower()}({declared})" if declared else root.lower()
    call = f"{name}({passed})" if passed else name
    return f"{head} {{ {call} {selection(field.type, ids)} }}", given


def selection(graphql_type: GraphQLOutputType, ids: Ids, depth: int = DEPTH) -> str:
    """A selection of every field, so many levels deep; paged fields ask for one entry."""
    named = get_named_type(graphql_type)
    if isinstance(named, GraphQLUnionType):
        inner = " ".join(f"... on {member.name} {selection(member, ids, depth)}" for member in named.types)
        return f"{{ __typename {inner} }}"
    if not isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
        return ""
    parts = ["__typename"]
    for name, field in named.fields.items():
        is_leaf = isinstance(get_named_type(field.type), GraphQLScalarType | GraphQLEnumType)
        if is_leaf or depth > 0:
            parts.append(f"{name}{_arguments(field, ids)} {selection(field.type, ids, depth - 1)}")
    return f"{{ {' '.join(parts)} }}"


def _arguments(field: GraphQLField, ids: Ids) -> str:
    given = {"first": "1", "last": "1"}
    parts = [f"{name}: {value}" for name, value in given.items() if name in field.args]
    for name, argument in field.args.items():
        if is_required_argument(argument):
            parts.append(f'{name}: "{ids.get(name, _SCALARS["ID"])}"')
    return f"({', '.join(parts)})" if parts else ""


def _value(graphql_type: GraphQLInputType, name: str, ids: Ids) -> Any:
    if isinstance(graphql_type, GraphQLNonNull):
        return _value(graphql_type.of_type, name, ids)
    if isinstance(graphql_type, GraphQLList):
        return [_value(graphql_type.of_type, name, ids)]
    if isinstance(graphql_type, GraphQLEnumType):
        return next(iter(graphql_type.values))
    if isinstance(graphql_type, GraphQLInputObjectType):
        return {
            inner: _value(field.type, inner, ids)
            for inner, field in graphql_type.fields.items()
            if inner in ids or is_required_input_field(field)
        }
    assert isinstance(graphql_type, GraphQLScalarType)
    return ids.get(name, _SCALARS[graphql_type.name])
