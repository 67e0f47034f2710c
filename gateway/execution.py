"""Execution as graphql-core has it, except that what is plain is read without its ceremony.

A leaf costs graphql-core some 10 microseconds, and a day of a household has hundreds. What is plain is
read first; everything else, and whatever is not as it should be, goes the ordinary way.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from graphql import GraphQLObjectType
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path
from graphql.type import GraphQLList, GraphQLOutputType, GraphQLResolveInfo, get_nullable_type
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from gateway.permission import Access, access_of
from gateway.plain import NotPlain, PlainField, PlainObject, plain_fields, plain_objects
from gateway.series import Nodes

Read = Callable[[Any], Any]


class Selection:
    """What is asked of one type, all of it plain: how to read it off an object, or off many."""

    def __init__(
        self, graphql_type: GraphQLObjectType, fields: dict[str, Read], leaves: list[PlainField]
    ) -> None:
        self._origin = graphql_type.extensions["strawberry-definition"].origin
        self._fields = list(fields.items())
        self._leaves = leaves if len(leaves) == len(fields) else None

    def of_object(self, source: Any) -> dict[str, Any]:
        """Of one object; NotPlain for one of another type."""
        if type(source) is not self._origin:
            raise NotPlain
        return {name: read(source) for name, read in self._fields}

    def of_all(self, sources: Any) -> list[dict[str, Any]]:
        """Of each of a list; of the nodes of a series column by column."""
        if isinstance(sources, Nodes) and self._leaves and all(leaf.attribute for leaf in self._leaves):
            names = [name for name, _ in self._fields]
            columns = [leaf.column(sources.column(leaf.attribute or "")) for leaf in self._leaves]
            return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        if not isinstance(sources, list | Nodes):
            raise NotPlain
        return [self.of_object(source) for source in sources]


class PlainFieldsFirst(StrawberryGraphQLCoreExecutionContext):
    """Reads plain fields of objects at once, and whole objects and lists of which only such are asked."""

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        """The fields of one object in the order of the query."""
        if access_of(parent_type) is None or not self._may_be_seen(parent_type, source_value):
            return super().execute_fields(
                parent_type, source_value, path, grouped_field_set, position_context
            )
        done: dict[str, Any] = {}
        left: GroupedFieldSet = {}
        for name, details in grouped_field_set.items():
            read = self._read(parent_type, details)
            if read is not None:
                with suppress(Exception):
                    done[name] = read(source_value)
                    continue
            left[name] = details
        if not left:
            return done
        others = super().execute_fields(parent_type, source_value, path, left, position_context)
        if isinstance(others, dict):
            return _in_order(grouped_field_set, done, others)

        async def awaited() -> dict[str, Any]:
            return _in_order(grouped_field_set, done, await others)

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
        """The entries of a list."""
        item_type = get_nullable_type(return_type.of_type)
        if isinstance(item_type, GraphQLObjectType) and access_of(item_type) is not Access.GUARDED:
            with suppress(Exception):
                selection = self.plain_selection(item_type, field_details_list)
                if selection is not None:
                    return selection.of_all(result)
        return super().complete_list_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def plain_selection(
        self, graphql_type: GraphQLObjectType, field_details_list: FieldDetailsList
    ) -> Selection | None:
        """What is asked of a type; None where something of it is not plain."""
        if access_of(graphql_type) is None:
            return None
        grouped = self.collect_subfields(graphql_type, field_details_list)[0]
        reads: dict[str, Read] = {}
        leaves: list[PlainField] = []
        for name, details in grouped.items():
            read = self._read(graphql_type, details)
            if read is None:
                return None
            reads[name] = read
            leaf = plain_fields(graphql_type).get(details[0].node.name.value)
            leaves += [] if leaf is None else [leaf]
        return Selection(graphql_type, reads, leaves)

    def plain_object(
        self, graphql_type: GraphQLObjectType, selection: Selection | None, source: Any
    ) -> dict[str, Any] | None:
        """What is asked of one object; None where graphql-core is to tell."""
        if selection is None or not self._may_be_seen(graphql_type, source):
            return None
        with suppress(Exception):
            return selection.of_object(source)
        return None

    def _read(self, parent_type: GraphQLObjectType, details: FieldDetailsList) -> Read | None:
        """How one field is read off its object, None where it is not plain."""
        name = details[0].node.name.value
        leaf = plain_fields(parent_type).get(name)
        if leaf is not None:
            return leaf.read
        plain = plain_objects(parent_type).get(name)
        selection = None if plain is None else self.plain_selection(plain.object_type, details)
        return None if plain is None or selection is None else self._reading(plain, selection)

    def _reading(self, plain: PlainObject, selection: Selection) -> Read:
        is_guarded = access_of(plain.object_type) is Access.GUARDED

        def read(source: Any) -> Any:
            value = plain.get(source)
            if value is None and plain.is_nullable:
                return None
            if is_guarded and not all(map(self._is_seen, value if plain.is_list else (value,))):
                raise NotPlain
            return selection.of_all(value) if plain.is_list else selection.of_object(value)

        return read

    def _may_be_seen(self, graphql_type: GraphQLObjectType, source: Any) -> bool:
        """Whether a guarded object lets the asker in; if not, each of its fields says so."""
        if access_of(graphql_type) is not Access.GUARDED:
            return True
        with suppress(Exception):
            return self._is_seen(source)
        return False

    def _is_seen(self, source: Any) -> bool:
        return bool(source.seen_by(self.context_value.asker))


def _in_order(names: Iterable[str], done: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    found = done | others
    return {name: found[name] for name in names if name in found}
