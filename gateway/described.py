"""What the code says of itself is what the schema says: descriptions are docstrings."""

import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar, dataclass_transform

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.types.field import StrawberryField

from gateway.inputs import read_at_once

T = TypeVar("T")
E = TypeVar("E", bound=type[Enum])


def description_of(described: object) -> str:
    """The docstring, its lines joined; ValueError where there is none."""
    text = inspect.getdoc(described)
    if not text:
        raise ValueError(f"{described!r} says nothing of itself")
    return " ".join(text.split())


def told(resolver: Callable[..., Any]) -> Any:
    """A field that is described by its resolver."""
    return strawberry.field(resolver, description=description_of(resolver))


def told_with(*extensions: FieldExtension) -> Callable[[Callable[..., Any]], Any]:
    """A field that is described by its resolver and resolved through these extensions."""

    def field(resolver: Callable[..., Any]) -> Any:
        return strawberry.field(resolver, description=description_of(resolver), extensions=[*extensions])

    return field


def pushed(resolver: Callable[..., Any]) -> Any:
    """A subscription that is described by its resolver."""
    return strawberry.subscription(resolver, description=description_of(resolver))


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field, StrawberryField))
def taken(cls: type[T]) -> type[T]:
    """An input that is described by its class."""
    return read_at_once(strawberry.input(cls, description=description_of(cls)))


def listed(cls: E) -> E:
    """An enumeration that is described by its class."""
    return strawberry.enum(cls, description=description_of(cls))
