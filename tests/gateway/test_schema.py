"""The schema: printed as it stands in the repository, and every word of it described."""

from pathlib import Path

from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType

from gateway.schema import schema

PRINTED = Path(__file__).parents[2] / "schema.graphql"
BUILT_IN = ("String", "Int", "Float", "Boolean", "ID")
TYPES = [
    graphql_type
    for name, graphql_type in schema._schema.type_map.items()
    if not name.startswith("__") and name not in BUILT_IN
]


def test_schema_stands_printed_in_the_repository() -> None:
    assert PRINTED.read_text() == schema.as_str() + "\n", (
        "print it: python -m gateway.schema > schema.graphql"
    )


def test_every_type_and_field_is_described() -> None:
    undescribed = [graphql_type.name for graphql_type in TYPES if not graphql_type.description]
    for graphql_type in TYPES:
        if isinstance(graphql_type, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            fields = graphql_type.fields.items()
            undescribed += [f"{graphql_type.name}.{name}" for name, field in fields if not field.description]
    assert undescribed == []


def test_an_energy_says_its_unit_in_name_and_description() -> None:
    for graphql_type in TYPES:
        if isinstance(graphql_type, GraphQLObjectType | GraphQLInputObjectType):
            for name, field in graphql_type.fields.items():
                if name.endswith("Wh"):
                    assert "Wh" in (field.description or ""), f"{graphql_type.name}.{name}"
