"""Publishing over MQTT 3.1.1 at QoS 1 at next to no cost of its own: packets are bytes, answers counted."""

import asyncio
from collections.abc import Callable
from urllib.parse import unquote, urlsplit
from uuid import uuid4

_CONNECT, _CONNACK, _PUBLISH_QOS1, _PUBACK = 0x10, 0x20, 0x32, 0x40
_WITH_USER_AND_PASSWORD_CLEAN = 0xC2
_KEEP_ALIVE_S = 60
_LAST_ID = 0xFFFF


class MqttSender(asyncio.Protocol):
    """One connection; at most `window` messages are unacknowledged. `heard` is called for each that is."""

    def __init__(self, heard: Callable[[], None], window: int = 200) -> None:
        self._heard = heard
        self._window = window
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._sent = 0
        self.acknowledged = 0
        self._moved = asyncio.Event()
        self._connected = asyncio.Event()

    async def connect(self, mqtt_url: str, credentials_url: str) -> None:
        """Logs in as the user of `credentials_url`. TimeoutError where the server does not take it."""
        place, user = urlsplit(mqtt_url), urlsplit(credentials_url)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: self, place.hostname or "", place.port or 0)
        self._transport = transport
        told = [uuid4().hex, unquote(user.username or ""), unquote(user.password or "")]
        head = b"\x00\x04MQTT\x04" + bytes([_WITH_USER_AND_PASSWORD_CLEAN]) + _KEEP_ALIVE_S.to_bytes(2, "big")
        transport.write(_packet(_CONNECT, head + b"".join(_text(each) for each in told)))
        await asyncio.wait_for(self._connected.wait(), 5)

    async def publish(self, topic: bytes, payload: bytes) -> None:
        """Sends one message, waiting while too many are unacknowledged."""
        while self._sent - self.acknowledged >= self._window:
            self._moved.clear()
            await self._moved.wait()
        assert self._transport is not None
        number = self._sent % _LAST_ID + 1
        self._sent += 1
        head = len(topic).to_bytes(2, "big") + topic + number.to_bytes(2, "big")
        self._transport.write(_packet(_PUBLISH_QOS1, head + payload))

    async def settled(self) -> None:
        """Waits until everything is acknowledged."""
        while self.acknowledged < self._sent:
            self._moved.clear()
            await self._moved.wait()

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Both answers that can come are four bytes long."""
        data = self._rest + data
        whole = len(data) // 4 * 4
        self._rest = data[whole:]
        for begin in range(0, whole, 4):
            if data[begin] == _PUBACK:
                self.acknowledged += 1
                self._heard()
            elif data[begin] == _CONNACK and data[begin + 3] == 0:
                self._connected.set()
        self._moved.set()


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + _length(len(body)) + body


def _length(count: int) -> bytes:
    """MQTT's own: seven bits a byte, the lowest first."""
    found = bytearray()
    while True:
        count, low = divmod(count, 128)
        found.append(low | (128 if count else 0))
        if not count:
            return bytes(found)


def _text(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw
