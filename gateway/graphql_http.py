"""GraphQL over HTTP as its specification has it: media types, status codes, limits; and SSE, and sockets."""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

import msgspec
from cross_web import HTTPException
from graphql import ExecutionResult as GraphQLResult
from graphql import GraphQLError, OperationType, located_error
from graphql.execution import Executor, execute_root_selection_set
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.http import GraphQLHTTPResponse
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.schema.schema import Schema
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.unset import UNSET, UnsetType

from gateway.access import TokenRefused, bearer_token, verify
from gateway.context import Context, Parts
from gateway.execution import PlainFieldsFirst
from gateway.faults import status_of
from gateway.lifecycle import begin, checked, shared
from gateway.limits import LIMITS
from gateway.media_types import GRAPHQL_RESPONSE, JSON, negotiated
from gateway.sockets import SocketHandler, refuse_connection

MOST_IN_FLIGHT = 256
_STREAMS = ("text/event-stream", "multipart/")
BODY_WITHIN_S = 10.0
FIRST_WORD_WITHIN = timedelta(seconds=10)


class TooLarge(Exception):
    """The body is longer than is read."""


class _Operation(msgspec.Struct, forbid_unknown_fields=True):
    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815


class TooSlow(Exception):
    """The body does not come."""


class GraphQLOverHTTP(GraphQL[Context, None]):
    """The endpoint /graphql: POST and GET, server-sent events, graphql-transport-ws."""

    graphql_transport_ws_handler_class = SocketHandler

    def __init__(self, schema: BaseSchema, parts: Parts) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=FIRST_WORD_WITHIN,
            max_subscriptions_per_connection=LIMITS.subscriptions,
        )
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or serves one socket to its end."""
        if scope["type"] == "websocket":
            await self.run(WebSocket(scope, receive, send))
            return
        metrics, began = self._parts.metrics, time.perf_counter()
        request = Request(scope, _bounded(receive))
        if metrics.in_flight >= MOST_IN_FLIGHT:
            response = _error(request, 503, "NOT_READY", "too many requests are under way")
            response.headers["Retry-After"] = "1"
            await response(scope, receive, send)
            return
        metrics.in_flight += 1
        try:
            response = await self._answer(request)
        finally:
            metrics.in_flight -= 1
        metrics.answered(response.status_code, time.perf_counter() - began)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            answered = await self._answered_at_once(request)
            response: Response = await self.run(request) if answered is None else answered
            return response
        except TokenRefused as refused:
            response = _error(request, 401, "UNAUTHENTICATED", str(refused))
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        except TooLarge:
            return _error(request, 413, "TOO_LARGE", f"the body is longer than {LIMITS.body} bytes")
        except TooSlow:
            return _error(request, 408, "BAD_USER_INPUT", f"the body did not come within {BODY_WITHIN_S} s")
        except HTTPException as error:
            not_by_get = isinstance(error.__cause__, InvalidOperationTypeError)
            status = 405 if not_by_get else error.status_code
            response = _error(request, status, "BAD_USER_INPUT", error.reason)
            if status == 405:
                response.headers["Allow"] = "POST" if not_by_get else "GET, POST"
            return response

    async def _answered_at_once(self, request: Request) -> Response | None:
        """The answer to one query or mutation as nearly all are sent: POST, JSON, a text that is remembered.

        None for anything else, and for what cannot be executed: strawberry knows what to say to it."""
        operation = await _simple_operation(request)
        if operation is None:
            return None
        text, variables, name = operation
        schema = cast(Schema, self.schema)
        document = checked(schema._schema, text, variables)
        if document is None:
            return None
        context = await self.get_context(request, Response())
        executor = PlainFieldsFirst.build(
            schema._schema,
            document,
            context_value=context,
            raw_variable_values=variables,
            operation_name=name,
            is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
        )
        if isinstance(executor, list) or executor.operation.operation is OperationType.SUBSCRIPTION:
            return None
        cast(PlainFieldsFirst, executor).shared = shared(text, document)
        begin(context)
        result = await _executed(executor)
        errors = result.errors or []
        if errors:
            schema._process_errors(errors)
        told = ExecutionResult(data=result.data, errors=errors or None)
        answer = await self.process_result(request, told)
        return self._in_media_type(request, Response(msgspec.json.encode(answer)))

    def should_render_graphql_ide(self, request: Any) -> bool:
        """The playground has a page of its own."""
        del request
        return False

    def encode_json(self, data: object) -> str:
        """JSON as text, which sockets need too."""
        return msgspec.json.encode(data).decode()

    def parse_query_params(self, params: Any) -> dict[str, Any]:
        """The parameters of a GET; HTTP 400 where one of them is not what it is to be."""
        found = super().parse_query_params(params)
        if "query" not in found:
            raise HTTPException(400, "Missing query")
        return found

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Who asks, by the Authorization header; a socket may say it in its first word instead."""
        del response
        context = Context(self._parts, request)
        if (header := request.headers.get("authorization")) is not None:
            if isinstance(request, WebSocket):
                context.connection_params = {"Authorization": header}
            else:
                context.principal = verify(self._parts.settings.signing_key, bearer_token(header))
        return context

    async def on_ws_connect(self, context: Context) -> UnsetType | dict[str, object] | None:
        """Takes the token of a socket's first word; 4403 for one that opens nothing."""
        words = context.connection_params or {}
        header = words.get("Authorization", words.get("authorization"))
        header = header or context.connection.headers.get("authorization")
        if header is not None:
            try:
                context.principal = verify(self._parts.settings.signing_key, bearer_token(str(header)))
            except TokenRefused:
                refuse_connection()
        no_words: UnsetType = UNSET
        return no_words

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """The answer's body; what failed before any resolver ran has no `data` at all."""
        answer = await super().process_result(request, result)
        errors = result.errors or []
        if errors and result.data is None and not any(error.path for error in errors):
            answer.pop("data")
        request.state.errors, request.state.data = errors, result.data
        return answer

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        """The answer in the media type asked for; see `run` for its status."""
        return Response(self.encode_json(response_data), headers=dict(sub_response.headers))

    async def run(self, request: Any, context: Any = UNSET, root_value: Any = UNSET) -> Any:
        """As strawberry runs it, in the media type the client prefers and with the status it expects."""
        response = await super().run(request, context, root_value)
        if isinstance(request, Request) and "content-type" not in response.headers:
            return self._in_media_type(request, response)
        return response

    def _in_media_type(self, request: Request, response: Response) -> Response:
        media_type = negotiated(request)
        response.headers["content-type"] = f"{media_type}; charset=utf-8"
        response.status_code = _status(request, media_type)
        if response.status_code == 503:
            response.headers["retry-after"] = "1"
        return response


async def _executed(executor: Executor[Any]) -> GraphQLResult:
    try:
        executed = execute_root_selection_set(executor)
        return cast(GraphQLResult, await executed if executor.is_awaitable(executed) else executed)
    except Exception as error:
        return GraphQLResult(None, [located_error(error)])
    finally:
        del executor.async_helpers  # they and the executor refer to each other


async def _simple_operation(request: Request) -> tuple[str, dict[str, Any] | None, str | None] | None:
    headers = request.headers
    if request.method != "POST" or headers.get("content-type", "").partition(";")[0] != JSON:
        return None
    if any(word in headers.get("accept", "") for word in _STREAMS):
        return None
    try:
        asked = msgspec.json.decode(await request.body(), type=_Operation)
    except msgspec.MsgspecError:
        return None
    return asked.query, asked.variables, asked.operationName


def _status(request: Request, media_type: str) -> int:
    errors: list[GraphQLError] = request.state.errors
    data: dict[str, object] | None = request.state.data
    if not errors:
        return 200
    known = status_of(errors, data)
    if known is not None:
        return known
    unanswered = data is None and not any(error.path for error in errors)
    return 400 if unanswered and media_type == GRAPHQL_RESPONSE else 200


def _error(request: HTTPConnection, status: int, code: str, message: str) -> Response:
    content: Mapping[str, object] = {"errors": [{"message": message, "extensions": {"code": code}}]}
    response = JSONResponse(content, status)
    response.headers["content-type"] = f"{negotiated(request)}; charset=utf-8"
    return response


def _bounded(receive: Receive) -> Receive:
    """Reads no more of a body than is allowed."""
    length = 0

    async def bounded() -> Message:
        nonlocal length
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                message = await receive()
        except TimeoutError:
            raise TooSlow from None
        length += len(message.get("body", b""))
        if length > LIMITS.body:
            raise TooLarge
        return message

    return bounded
