"""The gateway as a process: serves the one door on loopback until it is told to stop."""

import gc
import logging

import uvicorn
from starlette.applications import Starlette

from gateway.application import application, parts_of
from gateway.connections import BoundedSocket, http_protocol
from gateway.limits import LIMITS
from write_side.settings import Settings

_GRACE_SECONDS = 3
_PING_EVERY_S = 30.0


def configuration(app: Starlette, settings: Settings) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=http_protocol(),
        ws=BoundedSocket,
        ws_max_size=LIMITS.body,
        ws_ping_interval=_PING_EVERY_S,
        ws_ping_timeout=_PING_EVERY_S,
        ws_per_message_deflate=False,  # 40 kB a connection, and pushes are short
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def run(settings: Settings, index: int) -> None:
    """Serves until SIGTERM or SIGINT; requests under way have three seconds to end."""
    # The schema's many objects are never garbage, and most of a request's are gone before 20,000 others come.
    gc.freeze()
    gc.set_threshold(20_000)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger(__name__).info("gateway %d on %s:%d", index, settings.host, settings.port)
    uvicorn.Server(configuration(application(parts_of(settings)), settings)).run()
