"""What a resolver can reach: the parts of this process, who asks, and the operation that is running."""

import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import strawberry
from starlette.requests import HTTPConnection

from gateway.access import Principal
from gateway.database import Connection, Database
from gateway.faults import Fault, not_ready
from gateway.global_ids import fresh_id
from gateway.metrics import Metrics
from gateway.nats_connection import Messages
from gateway.positions import Place
from gateway.reads import Reads
from gateway.tails import Tails
from gateway.waiting import Views
from projections.read_clock import ClockRow
from projections.visibility import Scope
from write_side.app import App
from write_side.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

MOST_SLOTS = 40_000
MOST_NODES = 10_000


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one gateway process has one of."""

    settings: Settings
    database: Database
    views: Views
    tails: Tails
    reads: Reads
    messages: Messages
    app: App
    metrics: Metrics
    areas: dict[UUID, UUID] = field(default_factory=dict)


@dataclass
class Operation:
    """One query, mutation or push: its correlation id, and what it has read so far."""

    correlation: str = field(default_factory=fresh_id)
    slots: int = 0
    nodes: int = 0
    clock: ClockRow | None = None  # where it was read with something else

    def spend_slots(self, slots: int) -> None:
        """Counts slots that are about to be read; TOO_COMPLEX beyond 40,000."""
        self.slots += slots
        if self.slots > MOST_SLOTS:
            raise Fault("TOO_COMPLEX", f"a query reads at most {MOST_SLOTS} slots: ask for less at a time")

    def spend_nodes(self, nodes: int) -> None:
        """Counts series nodes that are about to be answered; TOO_COMPLEX beyond 10,000."""
        self.nodes += nodes
        if self.nodes > MOST_NODES:
            raise Fault("TOO_COMPLEX", f"a query answers at most {MOST_NODES} nodes: ask for `columns`")

    def begin_push(self) -> None:
        """What one push has read does not count for the next."""
        self.slots = self.nodes = 0
        self.clock = None


_operation: contextvars.ContextVar[Operation] = contextvars.ContextVar("operation")


def begin_operation(operation: Operation) -> None:
    """Makes an operation the one that runs in this task."""
    _operation.set(operation)


def operation() -> Operation:
    """The operation that runs in this task."""
    return _operation.get()


@dataclass
class Context:
    """One request, or one socket with all its operations."""

    parts: Parts
    connection: HTTPConnection
    principal: Principal | None = None
    connection_params: dict[str, Any] | None = None

    @property
    def asker(self) -> Principal:
        """Who asks; UNAUTHENTICATED without a token, or once it has expired."""
        if self.principal is None:
            raise Fault("UNAUTHENTICATED", "this needs a token: Authorization: Bearer TOKEN")
        if self.principal.has_expired:
            raise Fault("UNAUTHENTICATED", "the token has expired")
        return self.principal

    @property
    def scope(self) -> Scope:
        """What reads may answer with for who asks."""
        return self.asker.scope

    async def read(
        self, function: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What a read function answers."""
        return await self.parts.database.read(function, *args, **kwargs)

    async def reached(self, view: str, after: Place | None) -> None:
        """Waits for a view to have a place in the log; NOT_READY when it has not within two seconds."""
        if after is not None and not await self.parts.views.reached(view, after.position):
            raise not_ready(f"the view {view} has not come to this position yet")


Info = strawberry.Info[Context, None]
