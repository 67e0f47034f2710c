"""A thin GraphQL client: requests over HTTP, subscriptions over WebSocket that can be dropped and resumed."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession, ReconnectingAsyncClientSession
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

REQUEST_SECONDS = 120.0
SUBSCRIBE_SECONDS = 10.0
QUEUED_EVENTS = 1000
Answer = dict[str, Any]


class GridError(Exception):
    """The grid answered errors, or could not be asked."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Refused(GridError):
    """A mutation answered a typed refusal; `code` is its name."""


class GridClient:
    """One person at the grid: an address and a token. A context manager."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token
        transport = HTTPXAsyncTransport(
            f"{self.url}/graphql", headers=self._headers(), timeout=REQUEST_SECONDS
        )
        self._client = Client(transport=transport, execute_timeout=None)
        self._stack = AsyncExitStack()
        self._session: AsyncClientSession | ReconnectingAsyncClientSession | None = None

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(self._client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def ask(self, document: GraphQLRequest, **variables: Any) -> Answer:
        """The data of a query or mutation. GridError with the first error's message and code."""
        if self._session is None:
            raise GridError("the client is not open")
        try:
            return await self._session.execute(GraphQLRequest(document, variable_values=variables))
        except TransportQueryError as error:
            first = (error.errors or [{}])[0]
            code = str(first.get("extensions", {}).get("code", ""))
            raise GridError(str(first.get("message", error)), code) from error
        except (TimeoutError, TransportError, OSError) as error:
            raise GridError(f"{self.url}: {error!r}") from error

    async def tell(self, document: GraphQLRequest, **input_: Any) -> Answer:
        """The payload of a mutation that takes `input` and stands alone in its document. Refused."""
        answer = await self.ask(
            document, input={name: value for name, value in input_.items() if value is not None}
        )
        payload: Answer = next(iter(answer.values()))
        if "message" in payload and "position" not in payload:
            raise Refused(payload["message"], payload.get("code") or payload["__typename"])
        return payload

    def subscribe(self, document: GraphQLRequest, **variables: Any) -> "Subscription":
        """A subscription, not yet open; its root field answers a `position`."""
        parts = urlsplit(self.url)
        socket_url = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{parts.path}/graphql"
        return Subscription(socket_url, self._headers(), document, variables)


@dataclass(frozen=True)
class Event:
    """What a subscription delivered, and the wall time at which it was here (seconds since 1970)."""

    received_at: float
    body: Answer


class Subscription:
    """A subscription that remembers the last position it delivered and goes on after it when resumed."""

    def __init__(
        self, socket_url: str, headers: dict[str, str], document: GraphQLRequest, variables: Answer
    ) -> None:
        self._url = socket_url
        self._headers = headers
        self._document = document
        self._variables = variables
        self._events: asyncio.Queue[Event] = asyncio.Queue(QUEUED_EVENTS)
        self._transport: WebsocketsTransport | None = None
        self._reader: asyncio.Task[None] | None = None
        self.last_position: str | None = variables.get("after")

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drop()

    async def open(self) -> None:
        """Connects, or connects again after the last position delivered. GridError when refused."""
        transport = WebsocketsTransport(
            self._url,
            headers=self._headers,
            init_payload=self._headers,
            connect_timeout=SUBSCRIBE_SECONDS,
            ack_timeout=SUBSCRIBE_SECONDS,
            close_timeout=1,
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
        )
        try:
            await transport.connect()
        except (TimeoutError, TransportError, OSError) as error:
            raise GridError(f"{self._url}: {error!r}") from error
        self._transport = transport
        self._reader = asyncio.create_task(self._read(transport))

    async def _read(self, transport: WebsocketsTransport) -> None:
        variables = self._variables | ({"after": self.last_position} if self.last_position else {})
        request = GraphQLRequest(self._document, variable_values=variables)
        async for result in transport.subscribe(request):
            if result.errors:
                raise GridError(str(result.errors[0]))
            body: Answer = next(iter((result.data or {}).values()))
            self.last_position = body["position"]
            await self._events.put(Event(time.time(), body))

    async def next(self, timeout_seconds: float) -> Event | None:
        """The next event; None when none came in time. GridError when the subscription broke."""
        try:
            return await asyncio.wait_for(self._events.get(), timeout_seconds)
        except TimeoutError:
            if self._reader is not None and self._reader.done() and self._reader.exception():
                raise GridError(f"the subscription ended: {self._reader.exception()!r}") from None
            return None

    async def drop(self) -> None:
        """Breaks the connection without a word, as a lost network does."""
        transport, reader = self._transport, self._reader
        self._transport = self._reader = None
        if transport is None or reader is None:
            return
        socket = getattr(transport.adapter, "websocket", None)
        if socket is not None:
            socket.transport.abort()
        reader.cancel()
        with suppress(asyncio.CancelledError, TransportError, GridError):
            await reader
        with suppress(TransportError, OSError):
            await transport.close()
