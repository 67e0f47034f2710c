"""Orders on their way to devices: sent, sent again until answered, given up when their time has passed.

What was sent lies in a table of this order's own, so no rebuilt view sends anything twice. Over MQTT an
order is stored for a box that was away; over NATS it reaches whoever listens; a device obeys an id once.
"""

import asyncio
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StreamConfig

from gateway.standing_orders.desk import Desk
from write_side.commands import AnswerOrder, ExpireOrder
from write_side.rules.timeslots import SLOT_SECONDS, slot_of, slot_start

log = logging.getLogger(__name__)

AGAIN_AFTER = timedelta(seconds=2 * SLOT_SECONDS)
MOST_SENDINGS = 4
ANSWERED_WITHIN_S = 1.0  # how long a stride waits for an order that was just sent
IDLE_S = 0.05
ANSWERS = StreamConfig(
    name="ANSWERS",
    subjects=["orders.done.>"],
    retention=RetentionPolicy.LIMITS,
    max_age=7 * 86_400,
    max_bytes=64 * 1024 * 1024,
)

_SENT = """create table if not exists standing_orders.delivery (
    position bigint primary key, sendings int not null, last_sent timestamptz not null)"""

_TO_SEND = """
select o.position, o.device_id, o.household_id, o.on_, o.from_slot, o.valid_until, coalesce(d.sendings, 0),
       d.last_sent
from device_order o left join delivery d on d.position = o.position
where o.status = 'PENDING' order by o.position limit 1000"""


class Post:
    """Sends orders and takes their answers."""

    def __init__(self, desk: Desk, answers: JetStreamContext.PullSubscription) -> None:
        self._desk = desk
        self._answers = answers
        self._sent_at: dict[int, float] = {}

    @classmethod
    async def open(cls, desk: Desk) -> "Post":
        """Makes what it keeps its own records in."""
        desk.connection.execute(_SENT)
        stream = desk.messages.jetstream(timeout=5)
        try:
            await stream.add_stream(ANSWERS)
        except nats.js.errors.BadRequestError:
            await stream.update_stream(ANSWERS)
        return cls(desk, await stream.pull_subscribe("orders.done.>", durable="deliveries", stream="ANSWERS"))

    async def deliver_for_ever(self) -> None:
        """Sends and listens for as long as the process serves."""
        while True:
            await self._send_due()
            try:
                for message in await self._answers.fetch(100, timeout=IDLE_S):
                    await self._take(message)
            except TimeoutError:  # nats-py raises its own, and where the loop was held up Python's
                await asyncio.sleep(0)

    async def settled(self) -> None:
        """Waits, a second at most, until orders that were just sent are answered."""
        await self._send_due()
        while True:
            pending = {
                row[0]
                for row in self._desk.rows("select position from device_order where status = 'PENDING'")
            }
            young = [
                position
                for position, sent_at in self._sent_at.items()
                if position in pending and time.monotonic() - sent_at < ANSWERED_WITHIN_S
            ]
            if not young:
                self._sent_at.clear()
                return
            await asyncio.sleep(IDLE_S / 5)

    async def _send_due(self) -> None:
        rows = self._desk.rows(_TO_SEND)
        if not rows:
            return
        now = self._now()
        for row in rows:
            position, *_, valid_until, sendings, last_sent = row
            if now >= valid_until:
                await self._give_up(position, row[2])
            elif sendings == 0 or (sendings < MOST_SENDINGS and now >= last_sent + AGAIN_AFTER):
                await self._send(row, now)

    def _now(self) -> datetime:
        simulated = self._desk.value("select now from clock where simulated")
        return simulated if simulated is not None else datetime.now(UTC)

    async def _send(self, row: tuple[Any, ...], now: datetime) -> None:
        position, device_id, household_id, on, from_slot, valid_until, sendings, _ = row
        body = json.dumps(
            {
                "id": str(position),
                "device": str(device_id),
                "kind": "RESUME" if on else "SETPOINT",
                "from": slot_start(max(from_slot, slot_of(now))).isoformat(),
                "until": valid_until.isoformat(),
                "powerW": None if on else 0,
                "cause": "switched by hand",
            }
        ).encode()
        if not await self._post(household_id, body):
            return  # it is tried again at once; a device obeys an order once, however often it comes
        self._desk.connection.execute(
            """insert into delivery (position, sendings, last_sent) values (%s, %s, %s)
               on conflict (position)
                 do update set sendings = excluded.sendings, last_sent = excluded.last_sent""",
            (position, sendings + 1, now),
        )
        self._sent_at[position] = time.monotonic()

    async def _post(self, household_id: UUID, body: bytes) -> bool:
        """Sends both ways; False where it is not known whether the one over MQTT is kept."""
        messages = self._desk.messages
        stored = f"$MQTT.msgs.orders.{household_id}"
        try:
            await messages.jetstream(timeout=1).publish(stored, body, headers={"Nmqtt-Pub": "1"})
        except (nats.js.errors.NoStreamResponseError, nats.errors.NoRespondersError) as error:
            log.info("nobody has ever come over MQTT: %s", error)
        except nats.errors.TimeoutError:
            log.warning("an order over MQTT was not acknowledged in time")
            return False
        await messages.publish(f"orders.{household_id}", body)
        return True

    async def _give_up(self, position: int, household_id: UUID) -> None:
        command = ExpireOrder(household_id=household_id, order_position=position)
        name = f"expire/{position}"
        done = await self._desk.try_send(command, key=name, cause=position, correlation=name)
        if done is not None:
            await self._desk.reached("households", done)

    async def _take(self, message: Msg) -> None:
        try:
            body = json.loads(message.data)
            household_id = UUID(message.subject.rsplit(".", 1)[-1])
            reason = body.get("reason")
            command = AnswerOrder(
                household_id=household_id,
                order_position=int(body["id"]),
                accepted=bool(body["accepted"]),
                reason=None if reason is None else str(reason),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("an answer on %s says nothing: %r", message.subject, error)
        else:
            name = f"answer/{command.order_position}"
            position = command.order_position
            done = await self._desk.try_send(command, key=name, cause=position, correlation=name)
            if done is not None:
                await self._desk.reached("households", done)
        await message.ack()
