"""The box at home: it reads the home's devices slot by slot, keeps them, sends them, and passes orders on.

It needs nobody: with the grid away it goes on keeping slots and shows them, and sends later what it could
not send, in order.
"""

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from simulator.box_links import Link, LinkDown
from simulator.box_memory import BoxMemory
from simulator.home import Home
from simulator.orders import Order, parse_order
from simulator.slots import LOCAL, format_time, slot_number, slot_start

SLOTS_IN_A_MESSAGE = 96
_RETRY_SECONDS = 0.5


class Box:
    """One household's box; `async with` opens its way to the grid and keeps it open."""

    def __init__(self, home: Home, path: Path, link: Link) -> None:
        self.home = home
        self._memory = BoxMemory(path)
        self._link = link
        self._sending = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self.orders: list[Order] = []
        if state := self._memory.home_state():
            home.restore(state)

    async def __aenter__(self) -> "Box":
        await self.connect()
        return self

    @property
    def is_connected(self) -> bool:
        """Whether the way to the grid is believed to work."""
        return self._link.is_up

    async def __aexit__(self, *_: object) -> None:
        await self.cut_off()
        self._memory.close()

    async def connect(self) -> None:
        """Opens the way to the grid now if it can, and whenever it breaks from now on."""
        await self.flush()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_connected())

    async def cut_off(self) -> None:
        """Takes the way to the grid away, until `connect`."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
        await self._link.close()

    async def _keep_connected(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_SECONDS)
            if not self._link.is_up:
                await self.flush()

    def run_slots(self, starts: Iterable[datetime]) -> None:
        """Lets slots pass at home and keeps what the devices report."""
        self._memory.name_devices({device.device_id: device.name for device in self.home.devices})
        for start in starts:
            if readings := self.home.run(start):
                self._memory.keep_slot(start, readings, self.home.state())

    async def flush(self) -> bool:
        """Sends what is unsent, earliest first; answers whether all of it is acknowledged."""
        async with self._sending:
            try:
                if not self._link.is_up:
                    await self._link.open(self._answer)
                while slots := self._memory.unsent(SLOTS_IN_A_MESSAGE):
                    await self._link.send(self._memory.message(slots))
                    self._memory.sent(slots)
            except LinkDown:
                await self._link.close()
                return False
            return True

    async def pass_slots(self, starts: Iterable[datetime]) -> bool:
        """`run_slots`, then `flush` unless the box is cut off."""
        self.run_slots(starts)
        return self._keeper is not None and await self.flush()

    async def send_live_power(self, payload: dict[str, Any]) -> None:
        """Tells the power of this moment, at most once a second; nothing where the grid is away."""
        with suppress(LinkDown):
            await self._link.live(json.dumps(payload).encode())

    def _answer(self, payload: bytes) -> bytes:
        try:
            order = parse_order(payload)
        except ValueError as error:
            return json.dumps({"id": None, "accepted": False, "reason": str(error)}).encode()
        known = self._memory.answer(order.id)
        if known is None:
            known = json.dumps({"id": order.id, **self._obey(order)})
            self._memory.keep_answer(order.id, known, self.home.state())
        return known.encode()

    def _obey(self, order: Order) -> dict[str, object]:
        next_slot = self.home.next_slot
        if order.until is not None and next_slot is not None and order.until <= next_slot:
            return {"accepted": False, "reason": f"it was valid until {format_time(order.until)}"}
        try:
            self.home.obey(order)
        except KeyError:
            return {"accepted": False, "reason": "no such device here"}
        except ValueError as error:
            return {"accepted": False, "reason": str(error)}
        self.orders.append(order)
        return {"accepted": True}

    async def wait_for_orders(self, count: int, timeout_seconds: float) -> bool:
        """Waits until the box has obeyed so many orders; False when the time is over."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while len(self.orders) < count and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        return len(self.orders) >= count

    def unsent_slots(self) -> int:
        """How many of the earliest unsent slots, at most a message of them, still wait."""
        return len(self._memory.unsent(SLOTS_IN_A_MESSAGE))

    def consumption(self, begin: datetime, end: datetime) -> dict[datetime, dict[str, int]]:
        """Wh consumed per slot in [begin, end) and device name, from the box's own file."""
        shown: dict[datetime, dict[str, int]] = {}
        for slot, device, wh in self._memory.values("consumptionWh", slot_number(begin), slot_number(end)):
            shown.setdefault(slot_start(slot), {})[device] = wh
        return shown

    def consumption_table(self, begin: datetime, end: datetime) -> str:
        """The same for a person to read: local time, a column a device, the sum."""
        slots = self.consumption(begin, end)
        names = list(dict.fromkeys(name for devices in slots.values() for name in devices))
        widths = [max(len(name), 6) for name in names]
        heading = ["time (Wh)   ", *(name.rjust(width) for name, width in zip(names, widths, strict=True))]
        lines = ["  ".join([*heading, "   sum"])]
        for start, devices in slots.items():
            cells = [
                str(devices.get(name, "-")).rjust(width) for name, width in zip(names, widths, strict=True)
            ]
            time = start.astimezone(LOCAL).strftime("%d %b %H:%M")
            lines.append("  ".join([time, *cells, str(sum(devices.values())).rjust(6)]))
        return "\n".join(lines)
