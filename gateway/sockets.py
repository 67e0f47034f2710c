"""Operations over one socket (graphql-transport-ws): a token that no longer holds ends the connection."""

from typing import Any, NoReturn

from graphql import GraphQLError
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage
from strawberry.types.execution import ExecutionResult, PreExecutionError

from gateway.context import Context

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

    async def _send_result_stream(self, operation: Operation[Context, None], result_source: Any) -> None:
        async for result in result_source:
            if isinstance(result, PreExecutionError):
                await operation.send_initial_errors(result.errors or [])
                return
            assert isinstance(result, ExecutionResult)
            await operation.send_next(result)
            if self._has_expired(result.errors or []):
                await self.websocket.close(FORBIDDEN, "Forbidden")
                return

    def _has_expired(self, errors: list[GraphQLError]) -> bool:
        told = any((error.extensions or {}).get("code") == "UNAUTHENTICATED" for error in errors)
        return told and self.context.principal is not None


def refuse_connection() -> NoReturn:
    """Closes the socket with 4403."""
    raise ConnectionRejectionError
