"""Every type says who may read it: anybody, whoever its object lets, or whoever reached what it lies in."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Protocol, TypeVar, cast, dataclass_transform

import strawberry
from graphql import GraphQLObjectType, GraphQLSchema
from strawberry.extensions import FieldExtension
from strawberry.types.field import StrawberryField

from gateway.access import Principal
from gateway.context import Context, Info
from gateway.described import description_of

T = TypeVar("T")
G = TypeVar("G", bound="Guarded")
Resolve = Callable[..., Any]
ROOTS = ("Query", "Mutation", "Subscription")


class Access(Enum):
    """How the fields of a type are protected."""

    PUBLIC = "public"  # the same for everybody
    GUARDED = "guarded"  # each object is asked at each of its fields
    INSIDE = "inside"  # part of a guarded object or root field, and reached through nothing else


class Guarded(Protocol):
    """An object that knows who may see it."""

    def seen_by(self, principal: Principal) -> bool:
        """Whether the object exists for this principal."""
        ...


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field, StrawberryField))
def public(cls: type[T]) -> type[T]:
    """A type that holds nothing of anybody, described by its class."""
    return _marked(cls, Access.PUBLIC)


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field, StrawberryField))
def guarded(cls: type[G]) -> type[G]:
    """A type whose objects decide who may see them, described by its class."""
    return _marked(cls, Access.GUARDED)


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field, StrawberryField))
def inside(cls: type[T]) -> type[T]:
    """A type whose objects are parts of something guarded, described by its class."""
    return _marked(cls, Access.INSIDE)


def _marked(cls: type[T], access: Access) -> type[T]:
    cls.__access__ = access  # type: ignore[attr-defined]
    return strawberry.type(cls, description=description_of(cls))


class Asks(FieldExtension):
    """Protects a query of the root: whoever asks needs a token that holds."""

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: object, info: Info, **kwargs: object
    ) -> object:
        """Resolves for whoever has a token; UNAUTHENTICATED otherwise."""
        assert info.context.asker
        return await next_(source, info, **kwargs)


class ForAll(FieldExtension):
    """Says that a field of the root is public."""


def access_of(graphql_type: GraphQLObjectType) -> Access | None:
    """How a type is marked, None where it is not (the roots are marked field by field)."""
    definition = graphql_type.extensions.get("strawberry-definition")
    access: Access | None = getattr(getattr(definition, "origin", None), "__access__", None)
    return access


def enforce(schema: GraphQLSchema) -> None:
    """Has each field of each guarded type ask its object first."""
    for graphql_type in schema.type_map.values():
        if isinstance(graphql_type, GraphQLObjectType) and access_of(graphql_type) is Access.GUARDED:
            for field in graphql_type.fields.values():
                field.resolve = _asking(cast(Resolve, field.resolve))


def _asking(resolve: Resolve) -> Resolve:
    def asked(source: Guarded, info: Any, **arguments: object) -> object:
        context: Context = info.context
        if not source.seen_by(context.asker):
            raise PermissionError(f"{type(source).__name__} reached by {context.asker.name}")
        return resolve(source, info, **arguments)

    return asked
