"""Pushes of one subscription: written at once where only plain fields are asked, its selection read once."""

import json
from typing import Any, cast

import msgspec
from graphql import GraphQLObjectType, get_named_type
from graphql.execution.collect_fields import collect_fields

from gateway.execution import PlainFieldsFirst, Selection


class Pushes:
    """Writes the messages of one operation."""

    def __init__(self, operation_id: str, executor: PlainFieldsFirst) -> None:
        root = executor.schema.subscription_type
        assert root is not None
        fields = collect_fields(
            executor.schema, executor.fragments, executor.variable_values, root, executor.operation
        ).grouped_field_set
        name, details = next(iter(fields.items()))
        told = get_named_type(root.fields[details[0].node.name.value].type)
        self._executor = executor
        self._type = cast(GraphQLObjectType, told)
        self._selection: Selection | None = executor.plain_selection(self._type, details)
        head = f'{{"id":{json.dumps(operation_id)},"type":"next","payload":{{"data":{{"{name}":'
        self._head = head.encode()

    def text(self, event: Any) -> bytes | None:
        """The whole message for an event; None where it is to be executed by graphql-core."""
        told = self._executor.plain_object(self._type, self._selection, event)
        return None if told is None else self._head + msgspec.json.encode(told) + b"}}}"
