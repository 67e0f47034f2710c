"""How large a query may be: depth, aliases, directives and cost, each fragment measured once.

The sums are those of the query with all its fragments written out; as a fragment is measured once and
its measure used wherever it is spread, the time is linear in the text however fragments are nested.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)

SLOTS_BY_DEFAULT = 96
_PAGED = ("first", "last")
_REPEATED = frozenset(("nodes", "edges"))
_INTROSPECTION = frozenset(("__schema", "__type"))  # graphql-core bounds their depth itself


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest request that is answered. A field costs 1, what lies in a page once per entry of it."""

    depth: int = 12
    aliases: int = 30
    directives: int = 20
    tokens: int = 2_000
    cost: int = 10_000
    body: int = 256 * 1024
    subscriptions: int = 100

    @classmethod
    def from_environment(cls) -> "Limits":
        """Each limit as SMARTRIX_LIMIT_<NAME> sets it; ValueError for what is no number."""
        set_to = {name: os.environ.get(f"SMARTRIX_LIMIT_{name.upper()}") for name in cls.__dataclass_fields__}
        return cls(**{name: int(value) for name, value in set_to.items() if value is not None})


LIMITS = Limits.from_environment()


@dataclass(frozen=True)
class Measure:
    """What a piece of a query weighs: `cost` once, `repeated` once per entry of the page around it.

    A field that a selection names again counts as an alias: it is as dear to validate.
    """

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    cost: int = 0
    repeated: int = 0

    def __add__(self, other: "Measure") -> "Measure":
        return Measure(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.cost + other.cost,
            self.repeated + other.repeated,
        )


def page_sizes(schema: GraphQLSchema) -> dict[str, int]:
    """The fields that answer pages or series, by name, with their size where the query does not say."""
    sizes: dict[str, int] = {}
    for graphql_type in schema.type_map.values():
        if isinstance(graphql_type, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in graphql_type.fields.items():
                if "first" in field.args:
                    default = field.args["first"].default_value
                    sizes[name] = max(sizes.get(name, 0), default if isinstance(default, int) else 20)
                elif "last" in field.args:
                    sizes[name] = SLOTS_BY_DEFAULT
    return sizes


def too_complex(
    document: DocumentNode, variables: Mapping[str, Any] | None, sizes: Mapping[str, int], limits: Limits
) -> GraphQLError | None:
    """The error that says which limit a document passes, None for one within all of them."""
    measuring = _Measuring(document, variables or {}, sizes)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            found = _passed(measuring.operation(definition), limits)
            if found is not None:
                return GraphQLError(found, nodes=definition, extensions={"code": "TOO_COMPLEX"})
    return None


def paging_variables(document: DocumentNode, sizes: Mapping[str, int]) -> tuple[str, ...]:
    """The variables that the measure of a document depends on."""
    measuring = _Measuring(document, {}, sizes)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            measuring.operation(definition)
    return tuple(sorted(measuring.looked_at))


def _passed(measure: Measure, limits: Limits) -> str | None:
    for name in ("depth", "aliases", "directives", "cost"):
        found, limit = getattr(measure, name), getattr(limits, name)
        if found > limit:
            shown = found if found < 10**9 else "over 10^9"
            return f"the query's {name} is {shown}, at most {limit} is answered"
    return None


class _Measuring:
    def __init__(
        self, document: DocumentNode, variables: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> None:
        self._variables = dict(variables)
        self._sizes = sizes
        self._measured: dict[str, Measure] = {}
        self.looked_at: set[str] = set()
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }

    def operation(self, operation: OperationDefinitionNode) -> Measure:
        for variable in operation.variable_definitions or ():
            if isinstance(variable.default_value, IntValueNode):
                self._variables.setdefault(variable.variable.name.value, int(variable.default_value.value))
        own = Measure(directives=len(operation.directives or ()))
        return own + self._selections(operation.selection_set)

    def _selections(self, selection_set: SelectionSetNode) -> Measure:
        named: dict[str, int] = {}
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode) and selection.alias is None:
                named[selection.name.value] = named.get(selection.name.value, 0) + 1
        again = Measure(aliases=sum(count - 1 for count in named.values()))
        return reduce(Measure.__add__, map(self._selection, selection_set.selections), again)

    def _selection(self, selection: SelectionNode) -> Measure:
        own = Measure(directives=len(selection.directives or ()))
        if isinstance(selection, FieldNode):
            return own + self._field(selection)
        if isinstance(selection, FragmentSpreadNode):
            return own + self._fragment(selection.name.value)
        assert isinstance(selection, InlineFragmentNode)
        return own + self._selections(selection.selection_set)

    def _field(self, node: FieldNode) -> Measure:
        name = node.name.value
        inner = self._selections(node.selection_set) if node.selection_set else Measure()
        depth = 1 if name in _INTROSPECTION else inner.depth + 1
        aliases = inner.aliases + (node.alias is not None)
        if name in _REPEATED:
            return Measure(depth, aliases, inner.directives, 0, 1 + inner.cost + inner.repeated)
        cost = 1 + inner.cost + self._size(node) * inner.repeated
        return Measure(depth, aliases, inner.directives, cost, 0)

    def _fragment(self, name: str) -> Measure:
        if name not in self._measured:
            # A fragment within itself weighs nothing here: validation refuses it.
            self._measured[name] = Measure()
            fragment = self._fragments.get(name)
            if fragment is not None:
                self._measured[name] = self._selections(fragment.selection_set)
        return self._measured[name]

    def _size(self, node: FieldNode) -> int:
        size = self._sizes.get(node.name.value, 1)
        for argument in node.arguments or ():
            if argument.name.value in _PAGED:
                value: object = None
                if isinstance(argument.value, IntValueNode):
                    value = int(argument.value.value)
                elif isinstance(argument.value, VariableNode):
                    self.looked_at.add(argument.value.name.value)
                    value = self._variables.get(argument.value.name.value)
                size = max(value, 0) if isinstance(value, int) else size
        return size
