"""The two ways from the box at home to the grid: MQTT at QoS 1, and NATS with JetStream's acknowledgement."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiomqtt
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

logging.getLogger("mqtt").setLevel(logging.CRITICAL)  # aiomqtt warns from ten pending calls on

SEND_SECONDS = 10.0
CONNECT_SECONDS = 5.0
QUEUED_ORDERS = 1000
Answering = Callable[[bytes], bytes]


class LinkDown(Exception):
    """The grid cannot be reached, or did not acknowledge in time."""


@dataclass(frozen=True)
class Account:
    """How a household's box proves who it is, and the route its readings take."""

    household: str
    area: str
    device_token: str


class Link(Protocol):
    """A connection that can be opened again after it broke."""

    @property
    def is_up(self) -> bool:
        """Whether it is believed to work."""

    async def open(self, answering: Answering) -> None:
        """Connects; each order that arrives is given to `answering`, whose result is published. LinkDown."""

    async def send(self, payload: bytes) -> None:
        """Sends readings; returns once they are acknowledged. LinkDown."""

    async def live(self, payload: bytes) -> None:
        """Sends live power, with no promise that it arrives. LinkDown."""

    async def close(self) -> None:
        """Closes the connection, if there is one."""


class MqttLink:
    """MQTT 3.1.1; the session outlives the connection, so orders sent meanwhile arrive later."""

    def __init__(self, url: str, account: Account) -> None:
        self._address = urlsplit(url)
        self._account = account
        self._stack: AsyncExitStack | None = None
        self._client: aiomqtt.Client | None = None
        self._listener: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Up while somebody listens for orders."""
        return self._listener is not None and not self._listener.done()

    async def open(self, answering: Answering) -> None:
        """Connects and subscribes to the household's orders."""
        await self.close()
        client = aiomqtt.Client(
            self._address.hostname or "127.0.0.1",
            self._address.port or 1883,
            username=self._account.household,
            password=self._account.device_token,
            identifier=f"box-{self._account.household}",
            clean_session=False,
            timeout=CONNECT_SECONDS,
            max_queued_incoming_messages=QUEUED_ORDERS,
        )
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(client)
                await client.subscribe(f"orders/{self._account.household}", qos=1)
                self._stack = stack.pop_all()
        except aiomqtt.MqttError as error:
            raise LinkDown(f"MQTT: {error}") from error
        self._client = client
        self._listener = asyncio.create_task(self._listen(client, answering))

    async def _listen(self, client: aiomqtt.Client, answering: Answering) -> None:
        with suppress(aiomqtt.MqttError):
            async for message in client.messages:
                answer = answering(bytes(message.payload))
                await client.publish(f"orders/done/{self._account.household}", answer, qos=1)

    async def send(self, payload: bytes) -> None:
        """Publishes at QoS 1 and waits for the PUBACK."""
        await self._publish(f"readings/{self._account.area}/{self._account.household}", payload, 1)

    async def live(self, payload: bytes) -> None:
        """Publishes at QoS 0."""
        await self._publish(f"live/{self._account.household}", payload, 0)

    async def _publish(self, topic: str, payload: bytes, qos: int) -> None:
        client, listener = self._client, self._listener
        if client is None or listener is None or listener.done():
            raise LinkDown("MQTT: not connected")
        try:
            await _unless_lost(client.publish(topic, payload, qos=qos, timeout=SEND_SECONDS), listener)
        except aiomqtt.MqttError as error:
            raise LinkDown(f"MQTT: {error}") from error

    async def close(self) -> None:
        """Disconnects; the server keeps the session."""
        listener, stack = self._listener, self._stack
        self._listener = self._stack = self._client = None
        if listener is not None:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener
        if stack is not None:
            with suppress(aiomqtt.MqttError):
                await stack.aclose()


class NatsLink:
    """NATS; readings are acknowledged by the stream itself. Orders sent while it was away are sent again."""

    def __init__(self, url: str, account: Account) -> None:
        self._url = without_credentials(url)
        self._account = account
        self._client: Client | None = None
        self._lost: asyncio.Future[None] | None = None

    @property
    def is_up(self) -> bool:
        """Up while the client is connected."""
        return self._client is not None and self._client.is_connected

    async def open(self, answering: Answering) -> None:
        """Connects and subscribes to the household's orders."""
        await self.close()
        household = self._account.household
        lost: asyncio.Future[None] = asyncio.Future()

        async def on_lost() -> None:
            if not lost.done():
                lost.set_result(None)

        client = await connect_nats(self._url, household, self._account.device_token, on_lost)

        async def on_order(message: Msg) -> None:
            await client.publish(f"orders.done.{household}", answering(message.data))

        try:
            await client.subscribe(f"orders.{household}", cb=on_order)
            await client.flush(int(CONNECT_SECONDS))
        except (nats.errors.Error, TimeoutError, OSError) as error:
            await client.close()
            raise LinkDown(f"NATS: {error!r}") from error
        self._client, self._lost = client, lost

    async def send(self, payload: bytes) -> None:
        """Publishes and waits for the stream's acknowledgement."""
        client = self._connected()
        subject = f"intake.{self._account.area}.{self._account.household}"
        try:
            publishing = client.jetstream().publish(subject, payload, timeout=SEND_SECONDS)
            await _unless_lost(publishing, self._lost or asyncio.Future())
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LinkDown(f"NATS: {error!r}") from error

    async def live(self, payload: bytes) -> None:
        """Publishes without waiting."""
        await self._connected().publish(f"live.{self._account.household}", payload)

    def _connected(self) -> Client:
        if self._client is None or not self._client.is_connected:
            raise LinkDown("NATS: not connected")
        return self._client

    async def close(self) -> None:
        """Disconnects."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def without_credentials(url: str) -> str:
    """The address alone: an outsider comes with its own name and token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 4222}"


async def connect_nats(
    url: str, user: str, password: str, on_lost: Callable[[], Awaitable[None]] | None = None
) -> Client:
    """A connection that uses its own inbox, the only one an outsider may read. LinkDown when refused.

    Where nobody is told that it is lost, it comes back by itself."""
    client = Client()
    try:
        await asyncio.wait_for(
            client.connect(
                without_credentials(url),
                user=user,
                password=password,
                inbox_prefix=f"_INBOX.{user}".encode(),
                allow_reconnect=False,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                connect_timeout=int(CONNECT_SECONDS),
                error_cb=_quiet,
                disconnected_cb=on_lost,
            ),
            CONNECT_SECONDS,
        )
    except (nats.errors.Error, TimeoutError, OSError) as error:
        await client.close()
        raise LinkDown(f"NATS: {error!r}") from error
    # Only from now on: nats-py leaves a socket open for each first attempt that it repeats by itself.
    client.options["allow_reconnect"] = on_lost is None
    return client


async def _unless_lost(sending: Awaitable[object], lost: "asyncio.Future[None]") -> None:
    """Waits for an acknowledgement no longer than the connection lives. LinkDown when that ends first."""
    task = asyncio.ensure_future(sending)
    either: set[asyncio.Future[Any]] = {task, lost}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise LinkDown("the connection was lost")
        await task
    finally:
        task.cancel()


async def _quiet(_error: Exception) -> None:
    """Whoever sends learns of a broken connection; nats-py would log it besides."""
