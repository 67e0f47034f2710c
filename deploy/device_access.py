"""Devices prove who they are: nats-server asks this role about every user but the platform, whether they come
over NATS or MQTT. It needs the signing key and nothing else, so it answers while PostgreSQL is down."""

import asyncio
import logging
from typing import Any

import jwt
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.nkey_tokens import Issuer, claims_of
from deploy.topics import READY, Topics, topics_of
from write_side.settings import Settings

_REQUESTS = "$SYS.REQ.USER.AUTH"
_ACCOUNT = "GRID"
_log = logging.getLogger(__name__)


def run(settings: Settings, index: int) -> None:
    """Answers until the process ends; several instances share the requests."""
    asyncio.run(_serve(settings, index))


async def _serve(settings: Settings, index: int) -> None:
    door = Door(settings.signing_key)

    async def answer(request: Msg) -> None:
        await request.respond(door.answer(request.data))

    client = await _connected(settings.nats_url, f"device-access-{index}")
    await client.subscribe(_REQUESTS, queue="device-access", cb=answer)
    await client.subscribe(READY, queue="device-access", cb=_say_ready)
    _log.info("asking devices for their tokens")
    await asyncio.Event().wait()


async def _say_ready(request: Msg) -> None:
    await request.respond(b"ready")


async def _connected(url: str, name: str) -> Client:
    """A connection that is taken up again for ever; the first one too waits for the server."""
    while True:
        try:
            return await nats.connect(
                url,
                name=name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.1,
                connect_timeout=2,
                error_cb=_report,
            )
        except (OSError, nats.errors.Error, TimeoutError) as error:
            _log.info("waiting for NATS: %s", error)
            await asyncio.sleep(0.2)


async def _report(error: Exception) -> None:
    _log.info("NATS: %r", error)


class Door:
    """Turns the server's question into its answer: a signed user with topics, or a reason."""

    def __init__(self, signing_key: bytes) -> None:
        self._signing_key = signing_key
        self._issuer = Issuer(signing_key)

    def answer(self, question: bytes) -> bytes:
        """The server's request token in, the response token out; ValueError when it is no request."""
        asked = claims_of(question)["nats"]
        response: dict[str, Any] = {"type": "authorization_response", "version": 2}
        try:
            response["jwt"] = self._user(asked)
        except (PermissionError, jwt.InvalidTokenError) as refusal:
            _log.warning("refused %s: %s", asked["client_info"].get("host", "?"), refusal)
            response["error"] = str(refusal)
        claims = {"sub": asked["user_nkey"], "aud": asked["server_id"]["id"], "nats": response}
        return self._issuer.signed(claims).encode()

    def _user(self, asked: dict[str, Any]) -> str:
        options = asked["connect_opts"]
        claims = jwt.decode(
            options.get("pass", ""), self._signing_key, ["HS256"], {"require": ["exp", "sub"]}
        )
        is_mqtt = asked["client_info"].get("type") == "mqtt"
        allowed = topics_of(claims, options.get("user", ""), is_mqtt)
        return self._issuer.signed(_user_claims(asked["user_nkey"], claims, allowed))


def _user_claims(user_nkey: str, claims: dict[str, Any], allowed: Topics) -> dict[str, Any]:
    """Ends with the token: the server then closes the connection."""
    unlimited = {"subs": -1, "data": -1, "payload": -1}
    rights = {"pub": {"allow": list(allowed.publish)}, "sub": {"allow": list(allowed.subscribe)}}
    user = {"type": "user", "version": 2, **rights, **unlimited}
    return {"sub": user_nkey, "name": claims["sub"], "aud": _ACCOUNT, "exp": int(claims["exp"]), "nats": user}
