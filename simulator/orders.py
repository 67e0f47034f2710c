"""Orders from the grid to a device, and what they make of the power it would have had."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from simulator.slots import SLOT, format_time, parse_time, slot_number

Kind = Literal["PLAN", "CURTAIL", "RESUME", "SETPOINT"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order as it stands on the wire; powers in W, energies in Wh per slot."""

    id: str
    device: str
    kind: Kind
    begin: datetime
    until: datetime | None
    power_w: int | None = None
    plan_wh: tuple[int, ...] = ()

    def holds(self, slot: datetime) -> bool:
        """Whether the order is in force in a slot.

        Switching by hand lasts until the next order; `until` then only bounds when it may be taken up."""
        if slot < self.begin:
            return False
        if self.kind == "PLAN":
            return slot < self.begin + SLOT * len(self.plan_wh)
        return self.kind != "CURTAIL" or self.until is None or slot < self.until

    def power(self, slot: datetime, wanted_w: int) -> int:
        """The power in W that the device has under the order, where it would have had `wanted_w`."""
        if self.kind == "PLAN":
            return 4 * self.plan_wh[slot_number(slot) - slot_number(self.begin)]
        return wanted_w if self.kind == "RESUME" else min(wanted_w, self.power_w or 0)


def parse_order(payload: bytes | str) -> Order:
    """An order from its message. ValueError says what is wrong with it."""
    try:
        body: dict[str, Any] = json.loads(payload)
        if body["kind"] not in get_args(Kind):
            raise ValueError(f"unknown kind of order: {body['kind']}")
        return Order(
            id=str(body["id"]),
            device=str(body["device"]),
            kind=body["kind"],
            begin=parse_time(body["from"]),
            until=parse_time(body["until"]) if body.get("until") else None,
            power_w=body.get("powerW"),
            plan_wh=tuple(body.get("planWh") or ()),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an order: {error!r}") from error


def written(order: Order) -> str:
    """The order's message again."""
    return json.dumps(
        {
            "id": order.id,
            "device": order.device,
            "kind": order.kind,
            "from": format_time(order.begin),
            "until": format_time(order.until) if order.until else None,
            "powerW": order.power_w,
            "planWh": list(order.plan_wh) or None,
        }
    )
