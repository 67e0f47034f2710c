"""Fields that take no more than a look at their object: read and completed at once, as graphql-core would.

A field is plain where it is an attribute, or a method that needs nothing but its object, and its type is a
scalar, an enumeration or a list of these. Whatever is out of the ordinary raises here; the caller then lets
graphql-core resolve the field, which tells the error as it always does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast
from uuid import UUID

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
    get_nullable_type,
    is_leaf_type,
)
from strawberry.schema.schema_converter import CustomGraphQLEnumType
from strawberry.types.field import StrawberryField

from gateway.permission import access_of

Complete = Callable[[Any], Any]
_LARGEST_INT = 2**31
_COERCIONS: dict[Complete, Complete] = {}  # the scalar's own, of completions that ask no more of a value
_PLAIN_TYPES = {int, str, bool, datetime, Decimal, UUID}


class NotPlain(Exception):
    """The value is not what its type says; graphql-core is to tell."""


@dataclass(frozen=True, slots=True)
class PlainField:
    """How one field is read: from which attribute (None: by a method), and how its value is completed."""

    attribute: str | None
    read: Callable[[Any], Any]
    complete: Complete

    def column(self, values: Sequence[Any]) -> list[Any]:
        """Many values completed."""
        coerce = _COERCIONS.get(self.complete)
        types = {*map(type, values)}
        if coerce is None or len(types) != 1 or not types <= _PLAIN_TYPES:
            return [*map(self.complete, values)]
        coerced = [*map(coerce, values)]
        if None in coerced or Undefined in coerced:
            raise NotPlain
        return coerced


@dataclass(frozen=True, slots=True)
class PlainObject:
    """A field that answers an object, or a list of objects, of one type."""

    get: Callable[[Any], Any]
    object_type: GraphQLObjectType
    is_list: bool
    is_nullable: bool


@lru_cache(1024)
def plain_objects(graphql_type: GraphQLObjectType) -> dict[str, PlainObject]:
    """The fields of a type by name that answer objects and need nothing but their own; none of a root's."""
    if access_of(graphql_type) is None:
        return {}
    found = {name: _plain_object(field) for name, field in graphql_type.fields.items()}
    return {name: plain for name, plain in found.items() if plain is not None}


def _plain_object(field: GraphQLField) -> PlainObject | None:
    told = get_nullable_type(field.type)
    is_list = isinstance(told, GraphQLList)
    if isinstance(told, GraphQLList):
        told = told.of_type
        if not isinstance(told, GraphQLNonNull):
            return None
        told = told.of_type
    get = _getter(field)
    if get is None or not isinstance(told, GraphQLObjectType):
        return None
    return PlainObject(get[1], told, is_list, not isinstance(field.type, GraphQLNonNull))


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
    complete, getter = _completion(field.type), _getter(field)
    if complete is None or getter is None:
        return None
    attribute, get = getter
    return PlainField(attribute, lambda source: complete(get(source)), complete)


def _getter(field: GraphQLField) -> tuple[str | None, Callable[[Any], Any]] | None:
    """How a field is got from its object: the attribute's name (None for a method), and the way."""
    definition = field.extensions.get("strawberry-definition")
    if not isinstance(definition, StrawberryField) or definition.extensions:
        return None
    resolver = definition.base_resolver
    if resolver is None:
        return definition.python_name, attrgetter(definition.python_name)
    if resolver.is_async or list(resolver.signature.parameters) != ["self"]:
        return None
    method: Callable[[Any], Any] = resolver.wrapped_func  # type: ignore[assignment]
    return None, method


def _completion(graphql_type: GraphQLOutputType) -> Complete | None:
    is_nullable = not isinstance(graphql_type, GraphQLNonNull)
    inner = _completion_of_value(cast(GraphQLOutputType, get_nullable_type(graphql_type)))
    if inner is None:
        return None
    complete = _or_null(inner) if is_nullable else _never_null(inner)
    if inner in _COERCIONS:
        _COERCIONS[complete] = _COERCIONS[inner]
    return complete


def _or_null(complete: Complete) -> Complete:
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
            raise NotPlain
        coerced = coerce(value)
        if coerced is None or coerced is Undefined:
            raise NotPlain
        return coerced

    _COERCIONS[completed] = coerce
    return completed
