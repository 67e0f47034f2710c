"""The course of one operation: its identity, parsing and validating once per text, limits each time."""

from collections.abc import AsyncIterator, Iterator
from functools import lru_cache

from graphql import DocumentNode, GraphQLError, GraphQLSchema, parse, specified_rules
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document
from strawberry.types import StreamExecutionResult

from gateway.context import Context, Operation, begin_operation, operation
from gateway.limits import LIMITS, page_sizes, too_complex

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


@lru_cache(1)
def _page_sizes(schema: GraphQLSchema) -> dict[str, int]:
    return page_sizes(schema)


def _correlation(context: Context) -> Operation:
    wanted = context.connection.headers.get(_CORRELATION_HEADER, "")
    if 0 < len(wanted) <= _LONGEST_CORRELATION and wanted.isprintable() and wanted.isascii():
        return Operation(wanted)
    return Operation()


class Lifecycle(SchemaExtension):
    """One per operation; a push begins it anew."""

    def on_operation(self) -> Iterator[None]:
        """Gives the operation its correlation id and bounds what the parser reads."""
        self.execution_context.parse_options["max_tokens"] = LIMITS.tokens
        begin_operation(_correlation(self.execution_context.context))
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
            error = too_complex(document, execution.variables, _page_sizes(schema), LIMITS)
            if error is not None:
                execution.pre_execution_errors = [error]
            elif text and len(text) <= _LONGEST_CACHED_TEXT:
                execution.pre_execution_errors = list(_validated(schema, text))
        yield

    async def on_stream_result(self, _result: StreamExecutionResult) -> AsyncIterator[None]:
        """What a push has read does not count for the next."""
        operation().begin_push()
        yield
