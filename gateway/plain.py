"""Fields that take no more than a look at their object: read and completed at once, as graphql-core would.

A field is plain where it is an attribute, or a method that needs nothing but its object, and its type is a
scalar, an enumeration or a list of these. Whatever is out of the ordinary raises here; the caller then lets
graphql-core resolve the field, which tells the error as it always does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    Undefined,
    is_leaf_type,
)
from strawberry.schema.schema_converter import CustomGraphQLEnumType
from strawberry.types.field import StrawberryField

from gateway.permission import access_of

Complete = Callable[[Any], Any]
_LARGEST_INT = 2**31


class NotPlain(Exception):
    """The value is not what its type says; graphql-core is to tell."""


@dataclass(frozen=True, slots=True)
class PlainField:
    """How one field is read: from which attribute (None: by a method), and how its value is completed."""

    attribute: str | None
    read: Callable[[Any], Any]
    complete: Complete


@lru_cache(1024)
def plain_fields(graphql_type: GraphQLObjectType) -> dict[str, PlainField]:
    """The plain fields of a type by name, and its own name; none of a root's."""
    if access_of(graphql_type) is None:
        return {}
    found = {name: _plain(field) for name, field in graphql_type.fields.items()}
    name = graphql_type.name
    fields = {"__typename": PlainField(None, lambda _source: name, lambda value: value)}
    return fields | {name: plain for name, plain in found.items() if plain is not None}


def _plain(field: GraphQLField) -> PlainField | None:
    definition = field.extensions.get("strawberry-definition")
    complete = _completion(field.type)
    if not isinstance(definition, StrawberryField) or complete is None or definition.extensions:
        return None
    resolver = definition.base_resolver
    if resolver is None:
        attribute = definition.python_name
        return PlainField(attribute, lambda source: complete(getattr(source, attribute)), complete)
    if resolver.is_async or list(resolver.signature.parameters) != ["self"]:
        return None
    method: Callable[[Any], Any] = resolver.wrapped_func  # type: ignore[assignment]
    return PlainField(None, lambda source: complete(method(source)), complete)


def _completion(graphql_type: GraphQLOutputType) -> Complete | None:
    if isinstance(graphql_type, GraphQLNonNull):
        inner = _completion_of_value(graphql_type.of_type)
        return None if inner is None else _never_null(inner)
    inner = _completion_of_value(graphql_type)
    if inner is None:
        return None
    complete = inner
    return lambda value: None if value is None else complete(value)


def _never_null(complete: Complete) -> Complete:
    def completed(value: Any) -> Any:
        if value is None:
            raise NotPlain
        return complete(value)

    return completed


def _completion_of_value(graphql_type: GraphQLOutputType) -> Complete | None:
    """Completes what is not null."""
    if isinstance(graphql_type, GraphQLList):
        entry = _completion(graphql_type.of_type)
        return None if entry is None else _each(entry)
    if graphql_type is GraphQLInt:
        return _int
    if graphql_type is GraphQLString:
        return _of_type(str)
    if graphql_type is GraphQLBoolean:
        return _of_type(bool)
    if isinstance(graphql_type, CustomGraphQLEnumType):
        return _looked_up(graphql_type)
    return _coerced(graphql_type.coerce_output_value) if is_leaf_type(graphql_type) else None


def _each(complete: Complete) -> Complete:
    def completed(values: Any) -> list[Any]:
        if type(values) is not list:
            raise NotPlain
        return [complete(value) for value in values]

    return completed


def _int(value: Any) -> int:
    if type(value) is int and -_LARGEST_INT <= value < _LARGEST_INT:
        return value
    raise NotPlain


def _of_type(python_type: type) -> Complete:
    def completed(value: Any) -> Any:
        if type(value) is python_type:
            return value
        raise NotPlain

    return completed


def _looked_up(enumeration: CustomGraphQLEnumType) -> Complete:
    members: Any = enumeration.wrapped_cls
    names: dict[Any, str] = {}
    for member in members:
        names[member] = enumeration.coerce_output_value(member)

    def completed(value: Any) -> str:
        if type(value) is members:
            return names[value]
        raise NotPlain

    return completed


def _coerced(coerce: Complete) -> Complete:
    def completed(value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        coerced = coerce(value)
        if coerced is None or coerced is Undefined:
            raise NotPlain
        return coerced

    return completed
