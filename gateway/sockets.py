"""Operations over one socket (graphql-transport-ws): a token that no longer holds ends the connection."""

from collections.abc import AsyncIterable
from typing import Any, NoReturn, cast

from graphql import ExecutionResult as GraphQLResult
from graphql import GraphQLError, OperationType, located_error
from graphql.execution import create_source_event_stream, execute_subscription_event
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.exceptions import ConnectionRejectionError
from strawberry.schema.schema import Schema
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage
from strawberry.types.execution import ExecutionResult
from strawberry.utils.aio import aclosing

from gateway.connections import PUSH
from gateway.context import Context
from gateway.context import operation as operation_of_task
from gateway.execution import PlainFieldsFirst
from gateway.lifecycle import begin, checked
from gateway.pushes import Pushes

FORBIDDEN = 4403


class SocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """One socket with its operations."""

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begins an operation, unless the connection has as many as it may have."""
        most = self.max_subscriptions_per_connection
        if most is None or len(self.operations) < most or message["id"] in self.operations:
            await super().handle_subscribe(message)
            return
        told = GraphQLError(f"a connection has at most {most} operations", extensions={"code": "TOO_COMPLEX"})
        await self.send_message({"id": message["id"], "type": "error", "payload": [told.formatted]})

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        """Runs a subscription push by push; anything else, and what cannot be run, as strawberry does."""
        executor = self._executor(operation)
        if executor is None:
            await super().run_operation(operation)
            return
        try:
            await self._subscribe(operation, executor)
        finally:
            del executor.async_helpers  # they and the executor refer to each other

    async def _subscribe(self, operation: Operation[Context, None], executor: PlainFieldsFirst) -> None:
        begin(self.context)
        source = create_source_event_stream(executor)
        if executor.is_awaitable(source):
            source = await source
        if isinstance(source, GraphQLResult):
            await self._tell(operation, source)
        else:
            await self._push(operation, executor, cast(AsyncIterable[Any], source))
        await operation.send_operation_message({"id": operation.id, "type": "complete"})

    def _executor(self, operation: Operation[Context, None]) -> PlainFieldsFirst | None:
        schema = cast(Schema, self.schema)
        document = checked(schema._schema, operation.query, operation.variables)
        if document is None:
            return None
        executor = PlainFieldsFirst.build(
            schema._schema,
            document,
            context_value=self.context,
            raw_variable_values=operation.variables,
            operation_name=operation.operation_name,
        )
        is_one = not isinstance(executor, list) and executor.operation.operation is OperationType.SUBSCRIPTION
        return cast(PlainFieldsFirst, executor) if is_one else None

    async def _push(
        self, operation: Operation[Context, None], executor: PlainFieldsFirst, source: AsyncIterable[Any]
    ) -> None:
        pushes = Pushes(operation.id, executor)
        push = cast(ASGIWebSocketAdapter, self.websocket).ws.scope["extensions"][PUSH]["push"]
        try:
            async with aclosing(source):
                async for event in source:
                    text = pushes.text(event)
                    if text is not None:
                        await push(text)
                        continue
                    operation_of_task().begin_push()
                    executed = execute_subscription_event(executor.build_per_event_executor(event))
                    result = await executed if executor.is_awaitable(executed) else executed
                    await self._tell(operation, cast(GraphQLResult, result))
        except Exception as error:
            told = located_error(error)
            await self._tell(operation, GraphQLResult(None, [told]))

    async def _tell(self, operation: Operation[Context, None], result: GraphQLResult) -> None:
        """Sends one answer in full; the connection ends with a token that no longer holds."""
        errors = result.errors or []
        cast(Schema, self.schema)._process_errors(errors)
        await operation.send_next(ExecutionResult(data=result.data, errors=errors or None))
        told = any((error.extensions or {}).get("code") == "UNAUTHENTICATED" for error in errors)
        if told and self.context.principal is not None:
            operation.completed = True
            await self.websocket.close(FORBIDDEN, "Forbidden")


def refuse_connection() -> NoReturn:
    """Closes the socket with 4403."""
    raise ConnectionRejectionError
