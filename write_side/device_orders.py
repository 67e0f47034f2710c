"""Orders to devices: switching by hand, the device's answer, and giving up on one that stays silent."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from write_side.clock import next_slot_start
from write_side.commands import AnswerOrder, DeviceUnknown, ExpireOrder, OrderUnknown, SwitchDevice
from write_side.events import (
    DeviceKind,
    DeviceOrderAnswered,
    DeviceOrderExpired,
    DeviceSwitched,
    Fact,
    Recorded,
)
from write_side.households import Household, known
from write_side.past import Decision, Fold, Past

# An order is sent again after 2 slots, 3 times; then nobody will obey it any more.
ORDER_VALID = timedelta(minutes=15 * 2 * 4)
LONGEST_REASON = 200


@dataclass(frozen=True)
class Settled:
    """The orders of a stream that were answered or given up, by position."""

    positions: frozenset[int] = frozenset()


def evolve(settled: Settled, fact: Fact) -> Settled:
    """An order is settled once."""
    if isinstance(fact, DeviceOrderAnswered | DeviceOrderExpired):
        return replace(settled, positions=settled.positions | {fact.order_position})
    return settled


SETTLED = Fold(Settled(), evolve)


def stream_of(household_id: UUID, at: datetime) -> str:
    """Orders tick: their stream is named by household and month."""
    return f"orders/{household_id}/{at:%Y-%m}"


def decide_switch(household: Household, command: SwitchDevice, now: datetime) -> list[Fact]:
    """Orders a device on or off from the next slot on; meters and batteries are not switched."""
    device = household.devices.get(command.device_id)
    if device is None or device.until is not None or device.kind is DeviceKind.METER:
        raise DeviceUnknown("the household has no such device that can be switched")
    begins = next_slot_start(now)
    return [
        DeviceSwitched(
            device_id=command.device_id,
            household_id=command.household_id,
            on=command.on,
            from_slot_start=begins,
            valid_until=begins + ORDER_VALID,
        )
    ]


def handle_switch(command: SwitchDevice, past: Past) -> Decision:
    """Switches a device by hand."""
    facts = decide_switch(known(past, command.household_id), command, past.at)
    return Decision([(stream_of(command.household_id, past.at), fact) for fact in facts])


def _open_order(past: Past, household_id: UUID, position: int) -> tuple[Recorded, DeviceSwitched]:
    recorded = past.fact_at(position)
    if recorded is None or not isinstance(recorded.fact, DeviceSwitched):
        raise OrderUnknown("there is no such order")
    if recorded.fact.household_id != household_id:
        raise OrderUnknown("there is no such order")
    if position in past.fold(recorded.stream, SETTLED).positions:
        raise OrderUnknown("this order is settled already")
    return recorded, recorded.fact


def handle_answer(command: AnswerOrder, past: Past) -> Decision:
    """Takes a device's answer down."""
    recorded, order = _open_order(past, command.household_id, command.order_position)
    answered = DeviceOrderAnswered(
        order_position=command.order_position,
        device_id=order.device_id,
        household_id=order.household_id,
        accepted=command.accepted,
        reason=None if command.reason is None else _storable(command.reason),
    )
    return Decision([(recorded.stream, answered)])


def _storable(reason: str) -> str:
    """A device's own words, without what cannot be stored: its answer counts all the same."""
    return reason.encode(errors="replace").decode().replace("\0", "?")[:LONGEST_REASON]


def handle_expire(command: ExpireOrder, past: Past) -> Decision:
    """Gives up an order whose time has passed."""
    recorded, order = _open_order(past, command.household_id, command.order_position)
    if past.at < order.valid_until:
        raise OrderUnknown("this order is still valid")
    expired = DeviceOrderExpired(
        order_position=command.order_position, device_id=order.device_id, household_id=order.household_id
    )
    return Decision([(recorded.stream, expired)])
