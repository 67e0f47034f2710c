"""The connection to NATS that every part of the grid uses."""

import logging

import nats
from nats.aio.client import Client

log = logging.getLogger(__name__)


async def connect_nats(nats_url: str) -> Client:
    """A connection that reconnects for ever and never keeps what it could not send.

    nats.errors.Error or OSError where the server does not answer now.
    """
    return await nats.connect(
        nats_url,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        connect_timeout=2,
        pending_size=0,
        error_cb=_quiet,
    )


async def _quiet(error: Exception) -> None:
    log.debug("nats: %s", error)
