"""Execution as graphql-core has it, except that plain fields are read without its ceremony.

A leaf costs graphql-core some 10 microseconds, and a day of a household has hundreds. What is plain is
read first; everything else, and whatever is not as it should be, goes the ordinary way.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from graphql import GraphQLList, GraphQLObjectType, GraphQLOutputType, get_nullable_type
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path
from graphql.type import GraphQLResolveInfo
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from gateway.permission import Access, access_of
from gateway.plain import PlainField, plain_fields
from gateway.series import Nodes

Selection = list[tuple[str, PlainField]]


class PlainFieldsFirst(StrawberryGraphQLCoreExecutionContext):
    """Reads plain fields of objects, and lists of objects of which only plain fields are asked for."""

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        """The fields of one object in the order of the query."""
        fields = plain_fields(parent_type)
        if not fields or not self._may_be_seen(parent_type, source_value):
            return super().execute_fields(
                parent_type, source_value, path, grouped_field_set, position_context
            )
        read: dict[str, Any] = {}
        left: GroupedFieldSet = {}
        for name, details in grouped_field_set.items():
            plain = fields.get(details[0].node.name.value)
            if plain is not None:
                with suppress(Exception):
                    read[name] = plain.read(source_value)
                    continue
            left[name] = details
        if not left:
            return read
        others = super().execute_fields(parent_type, source_value, path, left, position_context)
        if isinstance(others, dict):
            return _in_order(grouped_field_set, read, others)

        async def awaited() -> dict[str, Any]:
            return _in_order(grouped_field_set, read, await others)

        return awaited()

    def complete_list_value(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[list[Any]]:
        """The entries of a list; those of a series are read column by column."""
        item_type = get_nullable_type(return_type.of_type)
        if isinstance(item_type, GraphQLObjectType) and isinstance(result, list | Nodes):
            with suppress(Exception):
                selection = self.plain_selection(item_type, field_details_list)
                if selection is not None and access_of(item_type) is not Access.GUARDED:
                    return _entries(item_type, selection, result)
        return super().complete_list_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def plain_selection(
        self, graphql_type: GraphQLObjectType, field_details_list: FieldDetailsList
    ) -> Selection | None:
        """What is asked of a type, by response name; None where something of it is not plain."""
        fields = plain_fields(graphql_type)
        grouped = self.collect_subfields(graphql_type, field_details_list)[0]
        selection = [
            (name, fields[details[0].node.name.value])
            for name, details in grouped.items()
            if details[0].node.name.value in fields
        ]
        return selection if len(selection) == len(grouped) else None

    def plain_object(
        self, graphql_type: GraphQLObjectType, selection: Selection | None, source: Any
    ) -> dict[str, Any] | None:
        """What is asked of one object; None where graphql-core is to tell."""
        if selection is None or not self._may_be_seen(graphql_type, source):
            return None
        with suppress(Exception):
            return {name: plain.read(source) for name, plain in selection}
        return None

    def _may_be_seen(self, graphql_type: GraphQLObjectType, source: Any) -> bool:
        """Whether a guarded object lets the asker in; if not, each of its fields says so."""
        if access_of(graphql_type) is not Access.GUARDED:
            return True
        with suppress(Exception):
            return bool(source.seen_by(self.context_value.asker))
        return False


def _in_order(names: Iterable[str], read: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    return {
        name: read[name] if name in read else others[name] for name in names if name in read or name in others
    }


def _entries(
    item_type: GraphQLObjectType, selection: Selection, entries: list[Any] | Nodes[Any]
) -> list[dict[str, Any]]:
    names = [name for name, _ in selection]
    if isinstance(entries, Nodes) and all(plain.attribute for _, plain in selection):
        columns = [[*map(plain.complete, entries.column(plain.attribute or ""))] for _, plain in selection]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    origin = item_type.extensions["strawberry-definition"].origin
    if any(type(entry) is not origin for entry in entries):
        raise TypeError(f"not all of them are {origin.__name__}")
    return [{name: plain.read(entry) for name, plain in selection} for entry in entries]
