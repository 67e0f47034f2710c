"""The durable intake of readings: the stream METER, and how MQTT and NATS lead into it.

nats-server acknowledges an MQTT publish at QoS 1 once its own `$MQTT_msgs` has it. That stream keeps a
message only for as long as somebody who has not acknowledged it is interested, so METER draws from it
through a durable consumer with flow control: full, it leaves the rest there, and when that is full too,
nothing is acknowledged any more. NATS's own root is METER's subject, with the same transform.
"""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import aiomqtt
from nats.aio.client import Client

from write_side.settings import PARTITIONS

STREAM = "METER"
MQTT_STREAM = "$MQTT_msgs"
MQTT_ROOT = "$MQTT.msgs.readings"
NATS_ROOT = "intake"
FLUSH = f"{MQTT_ROOT}.flush"  # a token that takes the way of MQTT readings and is none
LARGEST_BYTES = 4 << 30
SMALLEST_BYTES = 32 << 20
_CONSUMER = "METER"
_DELIVERED_TO = "meter.source"
_SECOND_NS = 1_000_000_000
_DUPLICATES_NS = 120 * _SECOND_NS
_TIMEOUT_S = 5.0
_FLUSH_POLL_S = 0.002
_ROUTE = f"meter.{{{{partition({PARTITIONS},1)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}"
_NO_STREAM = 10059
_NO_CONSUMER = 10014
_NO_ROOM = 10047
_NO_MESSAGE = 10037


class StreamError(Exception):
    """JetStream refused what the intake needs."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("description", str(error)))
        self.code = int(error.get("err_code", 0))


@dataclass(frozen=True)
class StreamState:
    """Which stream it is, by the time it was made, and what lies in it."""

    created: datetime
    first_sequence: int
    last_sequence: int


async def ensure_streams(client: Client, mqtt_url: str, largest_bytes: int = LARGEST_BYTES) -> None:
    """Makes the intake where it is missing; safe twice and from several processes.

    Each of METER and `$MQTT_msgs` takes `largest_bytes` at most, or half, and half of that, where the disk
    has no room for it. StreamError when JetStream refuses, TimeoutError when it is silent.
    """
    while True:
        try:
            return await _ensure(client, mqtt_url, largest_bytes)
        except StreamError as error:
            if error.code != _NO_ROOM or largest_bytes // 2 < SMALLEST_BYTES:
                raise
            largest_bytes //= 2


async def _ensure(client: Client, mqtt_url: str, largest_bytes: int) -> None:
    try:
        await request(client, f"STREAM.INFO.{MQTT_STREAM}")
    except StreamError as error:
        if error.code != _NO_STREAM:
            raise
        await _connect_mqtt_once(client, mqtt_url)
    await _bound_mqtt(client, largest_bytes)
    await _ensure_consumer(client)
    await _ensure_meter(client, largest_bytes)


async def stream_state(client: Client) -> StreamState:
    """METER as it is now."""
    answer = await request(client, f"STREAM.INFO.{STREAM}")
    state = answer["state"]
    return StreamState(parse_time(answer["created"]), int(state["first_seq"]), int(state["last_seq"]))


def subjects_of(partition: int) -> list[str]:
    """What lies in METER for a partition; what fits no route belongs to partition 0."""
    routed = f"meter.{partition}.>"
    return [routed] if partition else [routed, f"{NATS_ROOT}.>", f"{MQTT_ROOT}.>"]


async def idle_partitions(client: Client, positions: Mapping[int, int]) -> tuple[StreamState, list[int]]:
    """METER as it was first, and which of these partitions had nothing in it behind their position then."""
    stream = await stream_state(client)
    idle: list[int] = []
    for partition, position in positions.items():
        newest = [await _newest_of(client, subject) for subject in subjects_of(partition)]
        if max(newest) <= position < stream.last_sequence:
            idle.append(partition)
    return stream, idle


async def _newest_of(client: Client, subject: str) -> int:
    """The sequence of the last message there is of a subject, which may be a pattern; 0 without."""
    try:
        answer = await request(client, f"STREAM.MSG.GET.{STREAM}", {"last_by_subj": subject})
    except StreamError as error:
        if error.code != _NO_MESSAGE:
            raise
        return 0
    return int(answer["message"]["seq"])


async def purge_behind(client: Client, sequence: int) -> None:
    """Forgets the messages up to and with this sequence, which are in PostgreSQL in every partition."""
    await request(client, f"STREAM.PURGE.{STREAM}", {"seq": sequence + 1})


async def flush_mqtt(client: Client, patience_s: float) -> bool:
    """Waits until every reading that MQTT acknowledged before lies in METER; False when it takes too long.

    MQTT acknowledges when `$MQTT_msgs` has a reading, and METER draws from there in order: a token put
    behind the readings has come through when they have.
    """
    token = uuid4().hex.encode()
    body = json.dumps({"last_by_subj": FLUSH}).encode()
    deadline = time.monotonic() + patience_s
    await client.jetstream(timeout=_TIMEOUT_S).publish(FLUSH, token)
    while time.monotonic() < deadline:
        answer = json.loads((await client.request(f"$JS.API.STREAM.MSG.GET.{STREAM}", body, _TIMEOUT_S)).data)
        if base64.b64decode(answer.get("message", {}).get("data", "")) == token:
            return True
        await asyncio.sleep(_FLUSH_POLL_S)
    return False


async def request(client: Client, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """JetStream's answer. Plain JSON: the client has no flow-control acks and no sources by consumer."""
    data = json.dumps(body).encode() if body is not None else b""
    answer: dict[str, Any] = json.loads((await client.request(f"$JS.API.{subject}", data, _TIMEOUT_S)).data)
    if "error" in answer:
        raise StreamError(answer["error"])
    return answer


async def _connect_mqtt_once(client: Client, mqtt_url: str) -> None:
    """nats-server makes its MQTT streams when the first MQTT client of an account connects."""
    place = urlsplit(mqtt_url)
    internal = urlsplit(str(client.connected_url.geturl()) if client.connected_url else "")
    device = aiomqtt.Client(
        place.hostname or "127.0.0.1",
        place.port or 1883,
        username=unquote(place.username or internal.username or "") or None,
        password=unquote(place.password or internal.password or "") or None,
        timeout=_TIMEOUT_S,
    )
    try:
        async with device:
            pass
    except aiomqtt.MqttError as error:
        raise ConnectionError(f"MQTT does not let the platform in: {error}") from error


async def _bound_mqtt(client: Client, largest_bytes: int) -> None:
    configured = (await request(client, f"STREAM.INFO.{MQTT_STREAM}"))["config"]
    wanted = configured | {"max_bytes": largest_bytes, "discard": "new"}
    if wanted != configured:
        await request(client, f"STREAM.UPDATE.{MQTT_STREAM}", wanted)


async def _ensure_consumer(client: Client) -> None:
    try:
        await request(client, f"CONSUMER.INFO.{MQTT_STREAM}.{_CONSUMER}")
    except StreamError as error:
        if error.code != _NO_CONSUMER:
            raise
    else:
        return
    config = {
        "durable_name": _CONSUMER,
        "name": _CONSUMER,
        "deliver_subject": _DELIVERED_TO,
        "filter_subject": f"{MQTT_ROOT}.>",
        "deliver_policy": "all",
        "replay_policy": "instant",
        "ack_policy": "flow_control",
        "flow_control": True,
        "idle_heartbeat": _SECOND_NS,
        "max_deliver": -1,
    }
    body = {"stream_name": MQTT_STREAM, "config": config}
    await request(client, f"CONSUMER.CREATE.{MQTT_STREAM}.{_CONSUMER}", body)


async def _ensure_meter(client: Client, largest_bytes: int) -> None:
    config = {
        "name": STREAM,
        "subjects": [f"{NATS_ROOT}.>", "meter.*.mark"],
        "retention": "limits",
        "discard": "new",
        "storage": "file",
        "max_bytes": largest_bytes,
        "duplicate_window": _DUPLICATES_NS,  # with sources there is none by default
        "num_replicas": 1,
        "subject_transform": {"src": f"{NATS_ROOT}.*.*", "dest": _ROUTE},
        "sources": [
            {
                "name": MQTT_STREAM,
                "consumer": {"name": _CONSUMER, "deliver_subject": _DELIVERED_TO},
                "subject_transforms": [{"src": f"{MQTT_ROOT}.*.*", "dest": _ROUTE}],
            }
        ],
    }
    try:
        found = await request(client, f"STREAM.INFO.{STREAM}")
    except StreamError as error:
        if error.code != _NO_STREAM:
            raise
        await request(client, f"STREAM.CREATE.{STREAM}", config)
        return
    if any(found["config"].get(name) != value for name, value in config.items()):
        await request(client, f"STREAM.UPDATE.{STREAM}", found["config"] | config)


def parse_time(text: str) -> datetime:
    """A time as NATS writes it, to the microsecond, which is what PostgreSQL keeps."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return at.replace(microsecond=int(fraction[:6].ljust(6, "0")))
