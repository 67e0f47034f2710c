"""The one door: /graphql, /health, /metrics and the playground at /, with what they need for as long as it
is open."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Lifespan, Receive, Send
from starlette.types import Scope as Asked

from gateway.context import Parts
from gateway.database import Database
from gateway.graphql_http import GraphQLOverHTTP
from gateway.health import health, lags, overall
from gateway.litter import keep_collections_short
from gateway.metrics import Metrics
from gateway.nats_connection import Messages
from gateway.reads import Reads
from gateway.schema import schema
from gateway.tails import Tails
from gateway.waiting import Views
from projections.read_kept_aside import count_kept_aside
from projections.visibility import Scope
from write_side.app import App
from write_side.settings import Settings

PLAYGROUND = Path(__file__).parent / "playground" / "dist"
GRAPHQL = "/graphql"
_CONNECTIONS_OF_READS = 6
_PROMETHEUS = "text/plain; version=0.0.4"


def parts_of(settings: Settings) -> Parts:
    """What one gateway process has one of; nothing is connected yet."""
    database = Database(settings.database_url)
    views = Views(database)
    return Parts(
        settings=settings,
        database=database,
        views=views,
        tails=Tails(database, views),
        reads=Reads(Database(settings.database_url, _CONNECTIONS_OF_READS, plans_once=True)),
        messages=Messages(settings, views.hear),
        app=App(settings.database_url, simulated=settings.simulated),
        metrics=Metrics(),
    )


class Door(Starlette):
    """Leads requests to /graphql straight in: nearly all go there, and nothing on the way concerns them."""

    def __init__(self, endpoint: GraphQLOverHTTP, routes: list[BaseRoute], lifespan: Lifespan[Any]) -> None:
        super().__init__(routes=routes, lifespan=lifespan)
        self._endpoint = endpoint

    async def __call__(self, scope: Asked, receive: Receive, send: Send) -> None:
        """Serves one request, one socket, or the process's life."""
        if scope["type"] == "http" and scope["path"] in (GRAPHQL, GRAPHQL + "/"):
            await self._endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def application(parts: Parts) -> Starlette:
    """The ASGI application."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        connecting = asyncio.create_task(parts.messages.keep_connected())
        collecting = asyncio.create_task(keep_collections_short())
        try:
            yield
        finally:
            connecting.cancel()
            collecting.cancel()
            parts.tails.close()
            await parts.messages.close()
            await parts.database.close()
            await parts.reads.close()
            await asyncio.to_thread(parts.app.close)

    endpoint = GraphQLOverHTTP(schema, parts)
    return Door(endpoint, _routes(parts, endpoint), lifespan)


def _routes(parts: Parts, endpoint: GraphQLOverHTTP) -> list[BaseRoute]:
    async def tell_health(request: Request) -> Response:
        found = await health(parts)
        name = request.path_params.get("part")
        named = [part for part in found if name is None or part.name == name]
        if not named:
            return JSONResponse({"status": "down", "parts": [], "error": f"there is no part {name}"}, 404)
        status = overall(found) if name is None else named[0].status
        told = {"status": status, "parts": [part.told() for part in named]}
        return JSONResponse(told, 503 if status == "down" else 200)

    async def tell_metrics(_request: Request) -> Response:
        behind, kept_aside = await _counted(parts)
        return PlainTextResponse(parts.metrics.text(behind, kept_aside), media_type=_PROMETHEUS)

    return [
        WebSocketRoute(GRAPHQL, endpoint),
        Route("/health", tell_health),
        Route("/health/{part}", tell_health),
        Route("/metrics", tell_metrics),
        _playground(),
    ]


async def _counted(parts: Parts) -> tuple[dict[str, int], dict[str, int]]:
    """Lags and readings kept aside; empty while the database is away, as the rest is still worth telling."""
    try:
        return await lags(parts), await parts.database.read(count_kept_aside, Scope(everything=True))
    except (psycopg.Error, TimeoutError):
        return {}, {}


def _playground() -> BaseRoute:
    if (PLAYGROUND / "index.html").is_file():
        return Mount("/", StaticFiles(directory=PLAYGROUND, html=True))

    async def not_built(_request: Request) -> Response:
        return PlainTextResponse("The playground is not built: run ./prepare.sh\n", 404)

    return Route("/", not_built)
