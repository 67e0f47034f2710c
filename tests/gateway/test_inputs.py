"""Inputs read at once are those that strawberry makes, value by value, and refused alike."""

from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    is_required_input_field,
)
from graphql.utilities import coerce_input_value
from strawberry.relay.types import InvalidGlobalIDError
from strawberry.types.arguments import convert_argument

from gateway.registration import RenameHouseholdInput
from gateway.schema import schema

SCALARS: dict[str, Any] = {
    "ID": "SG91c2Vob2xkOjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMA==",
    "String": "a name",
    "Int": 1,
    "Boolean": True,
    "Decimal": "45.5",
    "DateTime": "2026-01-05T10:15:00Z",
    "Position": "p1",
}
INPUTS = {
    name: graphql_type
    for name, graphql_type in schema._schema.type_map.items()
    if isinstance(graphql_type, GraphQLInputObjectType)
}


def sample(graphql_type: GraphQLInputType, given: str) -> Any:
    """A value of a type: with every field (`all`), with null wherever it may be, or with `required` ones."""
    if isinstance(graphql_type, GraphQLNonNull):
        return sample(graphql_type.of_type, given)
    if isinstance(graphql_type, GraphQLList):
        return [sample(graphql_type.of_type, given)] * 2
    if isinstance(graphql_type, GraphQLEnumType):
        return next(iter(graphql_type.values))
    if not isinstance(graphql_type, GraphQLInputObjectType):
        return SCALARS[graphql_type.name]
    return {
        name: None
        if given == "null" and not isinstance(field.type, GraphQLNonNull)
        else sample(field.type, given)
        for name, field in graphql_type.fields.items()
        if given != "required" or is_required_input_field(field)
    }


def converted(value: Any, cls: type) -> Any:
    """A value as strawberry has it converted for a resolver."""
    return convert_argument(value, cls, schema.schema_converter.scalar_registry, schema.config)


@pytest.mark.parametrize("given", ["all", "null", "required"])
@pytest.mark.parametrize("name", INPUTS)
def test_an_input_is_what_strawberry_makes_of_it(
    name: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = coerce_input_value(sample(INPUTS[name], given), INPUTS[name])
    definitions = [each.extensions["strawberry-definition"] for each in INPUTS.values()]
    own = INPUTS[name].extensions["strawberry-definition"]
    found = converted(value, own.origin)
    assert own.from_input is not None
    for definition in definitions:
        monkeypatch.setattr(definition, "from_input", None)
    assert found == converted(value, own.origin)
    assert repr(found) == repr(converted(value, own.origin))  # of the same types


def test_what_is_no_global_id_is_refused_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    definition: Any = RenameHouseholdInput.__strawberry_definition__  # type: ignore[attr-defined]
    words = []
    for from_input in (definition.from_input, None):
        monkeypatch.setattr(definition, "from_input", from_input)
        with pytest.raises(InvalidGlobalIDError) as refused:
            converted({"householdId": "nobody", "name": "A"}, RenameHouseholdInput)
        words.append(str(refused.value))
    assert words[0] == words[1]
