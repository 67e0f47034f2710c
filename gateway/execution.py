"""Execution as graphql-core has it, except that what is plain is read without its ceremony.

A leaf costs graphql-core some 10 microseconds, and a day of a household has hundreds. What is plain is
read first; everything else, and whatever is not as it should be, goes the ordinary way.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from graphql import GraphQLObjectType
from graphql.execution.collect_fields import CollectedFields, FieldDetailsList, GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path
from graphql.type import GraphQLList, GraphQLOutputType, GraphQLResolveInfo, get_nullable_type
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from gateway.permission import Access, access_of
from gateway.plain import NotPlain, PlainField, PlainObject, plain_fields, plain_objects
from gateway.series import Nodes

IsSeen = Callable[[Any], bool]
Read = Callable[[Any, IsSeen], Any]
Shared = dict[tuple[Any, ...], Any]


class Selection:
    """What is asked of one type, all of it plain: how to read it off an object, or off many.

    It knows no asker: `is_seen` says of each guarded object below whether it lets the asker in."""

    def __init__(self, graphql_type: GraphQLObjectType, fields: dict[str, PlainField | Read]) -> None:
        self._origin = graphql_type.extensions["strawberry-definition"].origin
        self._names = list(fields)
        self._fields = list(fields.items())
        leaves = [field for field in fields.values() if isinstance(field, PlainField)]
        self._leaves = leaves if len(leaves) == len(fields) else None

    def of_object(self, source: Any, is_seen: IsSeen) -> dict[str, Any]:
        """Of one object; NotPlain for one of another type."""
        if type(source) is not self._origin:
            raise NotPlain
        return {
            name: field.read(source) if type(field) is PlainField else field(source, is_seen)  # type: ignore[operator]
            for name, field in self._fields
        }

    def of_all(self, sources: Any, is_seen: IsSeen) -> list[dict[str, Any]]:
        """Of each of a list; of the nodes of a series column by column."""
        if isinstance(sources, Nodes) and self._leaves and all(leaf.attribute for leaf in self._leaves):
            columns = [leaf.column(sources.column(leaf.attribute or "")) for leaf in self._leaves]
            return [dict(zip(self._names, values, strict=True)) for values in zip(*columns, strict=True)]
        if not isinstance(sources, list | Nodes):
            raise NotPlain
        return [self.of_object(source, is_seen) for source in sources]


class PlainFieldsFirst(StrawberryGraphQLCoreExecutionContext):
    """Reads plain fields of objects at once, and whole objects and lists of which only such are asked.

    `shared` is what every execution of one document finds out about it alike, given where nothing in it
    depends on variables."""

    shared: Shared | None = None

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
            plain = self._plain(parent_type, details)
            if plain is not None:
                with suppress(Exception):
                    is_leaf = isinstance(plain, PlainField)
                    done[name] = plain.read(source_value) if is_leaf else plain(source_value, self._is_seen)
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
                    return selection.of_all(result, self._is_seen)
        return super().complete_list_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def collect_subfields(
        self, return_type: GraphQLObjectType, field_details_list: FieldDetailsList
    ) -> CollectedFields:
        """The fields asked of a type, looked for once a document."""
        if self.shared is None:
            return super().collect_subfields(return_type, field_details_list)
        key = (return_type, *(id(details.node) for details in field_details_list))
        found: CollectedFields | None = self.shared.get(key)
        if found is None:
            found = self.shared[key] = super().collect_subfields(return_type, field_details_list)
        return found

    def plain_selection(
        self, graphql_type: GraphQLObjectType, field_details_list: FieldDetailsList
    ) -> Selection | None:
        """What is asked of a type; None where something of it is not plain."""
        if self.shared is None:
            return self._selection(graphql_type, field_details_list)
        key = ("plain", graphql_type, *(id(details.node) for details in field_details_list))
        if key not in self.shared:
            self.shared[key] = self._selection(graphql_type, field_details_list)
        found: Selection | None = self.shared[key]
        return found

    def _selection(
        self, graphql_type: GraphQLObjectType, field_details_list: FieldDetailsList
    ) -> Selection | None:
        if access_of(graphql_type) is None:
            return None
        fields: dict[str, PlainField | Read] = {}
        for name, details in self.collect_subfields(graphql_type, field_details_list)[0].items():
            plain = self._plain(graphql_type, details)
            if plain is None:
                return None
            fields[name] = plain
        return Selection(graphql_type, fields)

    def plain_object(
        self, graphql_type: GraphQLObjectType, selection: Selection | None, source: Any
    ) -> dict[str, Any] | None:
        """What is asked of one object; None where graphql-core is to tell."""
        if selection is None or not self._may_be_seen(graphql_type, source):
            return None
        with suppress(Exception):
            return selection.of_object(source, self._is_seen)
        return None

    def _plain(self, parent_type: GraphQLObjectType, details: FieldDetailsList) -> Any:
        """How one field is read off its object: a PlainField or a Read; None where it is not plain."""
        name = details[0].node.name.value
        leaf = plain_fields(parent_type).get(name)
        if leaf is not None:
            return leaf
        plain = plain_objects(parent_type).get(name)
        selection = None if plain is None else self.plain_selection(plain.object_type, details)
        return None if plain is None or selection is None else _reading(plain, selection)

    def _may_be_seen(self, graphql_type: GraphQLObjectType, source: Any) -> bool:
        """Whether a guarded object lets the asker in; if not, each of its fields says so."""
        if access_of(graphql_type) is not Access.GUARDED:
            return True
        with suppress(Exception):
            return self._is_seen(source)
        return False

    def _is_seen(self, source: Any) -> bool:
        return bool(source.seen_by(self.context_value.asker))


def _reading(plain: PlainObject, selection: Selection) -> Read:
    is_guarded = access_of(plain.object_type) is Access.GUARDED

    def read(source: Any, is_seen: IsSeen) -> Any:
        value = plain.get(source)
        if value is None and plain.is_nullable:
            return None
        if is_guarded and not all(map(is_seen, value if plain.is_list else (value,))):
            raise NotPlain
        return selection.of_all(value, is_seen) if plain.is_list else selection.of_object(value, is_seen)

    return read


def _in_order(names: Iterable[str], done: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    found = done | others
    return {name: found[name] for name in names if name in found}
