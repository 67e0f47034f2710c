"""The course of one operation: its identity, parsing and validating once per text, limits each time."""

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import lru_cache
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, parse, specified_rules
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document
from strawberry.types import StreamExecutionResult

from gateway.context import Context, Operation, begin_operation, operation
from gateway.limits import LIMITS, page_sizes, paging_variables, too_complex

_CACHED_TEXTS = 256
_LONGEST_CACHED_TEXT = 16_000
_CORRELATION_HEADER = "x-correlation-id"
_LONGEST_CORRELATION = 100


@lru_cache(_CACHED_TEXTS)
def _parsed(text: str) -> DocumentNode:
    return parse(text, max_tokens=LIMITS.tokens)


@lru_cache(_CACHED_TEXTS)
def _validated(schema: GraphQLSchema, text: str) -> tuple[GraphQLError, ...]:
    return tuple(validate_document(schema, _parsed(text), tuple(specified_rules)))


@lru_cache(_CACHED_TEXTS)
def _paging_variables(schema: GraphQLSchema, text: str) -> tuple[str, ...]:
    return paging_variables(_parsed(text), _page_sizes(schema))


@lru_cache(4 * _CACHED_TEXTS)
def _too_complex(
    schema: GraphQLSchema, text: str, given: tuple[tuple[str, int | None], ...]
) -> GraphQLError | None:
    return too_complex(_parsed(text), dict(given), _page_sizes(schema), LIMITS)


@lru_cache(1)
def _page_sizes(schema: GraphQLSchema) -> dict[str, int]:
    return page_sizes(schema)


def _complexity(
    schema: GraphQLSchema, text: str, variables: Mapping[str, object] | None
) -> GraphQLError | None:
    """As `too_complex`, looked up by what it depends on: the text and the sizes of pages in the variables."""
    given = variables or {}
    names = (name for name in _paging_variables(schema, text) if name in given)
    sizes = ((name, given[name]) for name in names)
    plain = tuple((name, size if isinstance(size, int) else None) for name, size in sizes)
    return _too_complex(schema, text, plain)


def _correlation(context: Context) -> Operation:
    wanted = context.connection.headers.get(_CORRELATION_HEADER, "")
    if 0 < len(wanted) <= _LONGEST_CORRELATION and wanted.isprintable() and wanted.isascii():
        return Operation(wanted)
    return Operation()


def begin(context: Context) -> None:
    """Makes a new operation the one that runs in this task, under the correlation id asked for."""
    begin_operation(_correlation(context))


@lru_cache(_CACHED_TEXTS)
def _shared(text: str) -> tuple[DocumentNode, dict[tuple[Any, ...], Any]]:
    return _parsed(text), {}


def shared(text: str, document: DocumentNode) -> dict[tuple[Any, ...], Any] | None:
    """Where executions of a document keep what they find out about it; None where it has directives, whose
    variables may change it. It names the document's nodes, and lives no longer than they do."""
    if "@" in text:
        return None
    kept, found = _shared(text)
    return found if kept is document else None


def checked(schema: GraphQLSchema, text: str, variables: Mapping[str, object] | None) -> DocumentNode | None:
    """The document of a text that can be executed and is short enough to be remembered; else None."""
    if not text or len(text) > _LONGEST_CACHED_TEXT:
        return None
    try:
        document = _parsed(text)
    except (GraphQLError, RecursionError):
        return None
    refused = _complexity(schema, text, variables) is not None or _validated(schema, text)
    return None if refused else document


class Lifecycle(SchemaExtension):
    """One per operation; a push begins it anew."""

    def on_operation(self) -> Iterator[None]:
        """Gives the operation its correlation id and bounds what the parser reads."""
        self.execution_context.parse_options["max_tokens"] = LIMITS.tokens
        begin(self.execution_context.context)
        yield

    def on_parse(self) -> Iterator[None]:
        """Takes a text parsed before; one that cannot be parsed is left to fail in its place."""
        text = self.execution_context.query
        if text and len(text) <= _LONGEST_CACHED_TEXT:
            try:
                self.execution_context.graphql_document = _parsed(text)
            except (GraphQLError, RecursionError):
                self.execution_context.graphql_document = None
        yield

    def on_validate(self) -> Iterator[None]:
        """Refuses what is too complex before anything dearer looks at it."""
        execution = self.execution_context
        schema: GraphQLSchema = execution.schema._schema
        document, text = execution.graphql_document, execution.query
        if document is not None:
            is_cached = bool(text) and len(text or "") <= _LONGEST_CACHED_TEXT
            if is_cached:
                error = _complexity(schema, text or "", execution.variables)
            else:
                error = too_complex(document, execution.variables, _page_sizes(schema), LIMITS)
            if error is not None:
                execution.pre_execution_errors = [error]
            elif is_cached:
                execution.pre_execution_errors = list(_validated(schema, text or ""))
        yield

    async def on_stream_result(self, _result: StreamExecutionResult) -> AsyncIterator[None]:
        """What a push has read does not count for the next."""
        operation().begin_push()
        yield
