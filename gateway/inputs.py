"""How inputs become their classes: what strawberry finds out of a field at each value is found out once.

It is a sixth of what a mutation costs the gateway: names and types looked for again, field by field.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from strawberry.relay import GlobalID
from strawberry.relay.types import GlobalIDValueError, InvalidGlobalIDError
from strawberry.types.arguments import InputContext
from strawberry.types.base import StrawberryObjectDefinition, StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField

T = TypeVar("T")
Read = Callable[[Any, InputContext], Any]
_TAKEN_AS_THEY_ARE = frozenset((str, int, bool, float, Decimal, datetime, UUID))


def read_at_once(cls: type[T]) -> type[T]:
    """An input class whose values are built by what is known of its fields."""
    definition: StrawberryObjectDefinition = cls.__strawberry_definition__  # type: ignore[attr-defined]
    known: list[tuple[str, str, Read | None]] = []
    null_by_default = {
        field.python_name: None
        for field in definition.fields
        if field.default_value is MISSING and field.default_factory is MISSING
    }

    def built(_type: type, value: Mapping[str, Any], context: InputContext) -> Any:
        if not known:
            known.extend(_known(definition, field, context) for field in definition.fields)
        given = {
            name: value[told] if read is None else read(value[told], context)
            for name, told, read in known
            if told in value
        }
        return cls(**(null_by_default | given))

    definition.from_input = built
    return cls


def _known(
    definition: StrawberryObjectDefinition, field: StrawberryField, context: InputContext
) -> tuple[str, str, Read | None]:
    """Its name here and in the schema, and how it is read; None where graphql-core has read it already."""
    told = context.config.name_converter.from_field(field)
    whole = field.resolve_type(type_definition=definition)
    inner = whole.of_type if type(whole) is StrawberryOptional else whole
    if inner in _TAKEN_AS_THEY_ARE or isinstance(inner, StrawberryEnumDefinition):
        return field.python_name, told, None

    def read(value: Any, context: InputContext) -> Any:
        return context.convert(value, whole, told)

    return field.python_name, told, _global_id if inner is GlobalID else read


def _global_id(value: Any, _context: InputContext) -> Any:
    try:
        return GlobalID.from_id(value) if type(value) is str else value
    except GlobalIDValueError as error:
        raise InvalidGlobalIDError(f'Value cannot represent a GlobalID: "{value}".') from error
