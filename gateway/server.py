"""The gateway as a process: serves the one door on loopback until it is told to stop."""

import logging
import socket

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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger(__name__).info("gateway %d on %s:%d", index, settings.host, settings.port)
    server = uvicorn.Server(configuration(application(parts_of(settings)), settings))
    with door(settings.host, settings.port) as listening:
        server.run(sockets=[listening])


def door(host: str, port: int) -> socket.socket:
    """The bound socket to listen on; OSError where the port is another's.

    Gateways of one grid may share a port: the system deals new connections out to them.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((host, port))
    return listening
