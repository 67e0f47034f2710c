"""Orders to devices: given by hand, answered once or given up, and never somebody else's."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from tests.write_side.story import NEXT, NOW, SLOT, LogStory, attach, given, id_of, register
from write_side.commands import (
    AnswerOrder,
    Command,
    DetachDevice,
    DeviceUnknown,
    ExpireOrder,
    OrderUnknown,
    SwitchDevice,
)
from write_side.device_orders import SETTLED, decide_switch
from write_side.events import (
    DeviceAttached,
    DeviceDetached,
    DeviceKind,
    DeviceOrderAnswered,
    DeviceOrderExpired,
    DeviceSwitched,
)
from write_side.households import HOUSEHOLD

ANNA, OVEN = id_of("anna"), id_of("oven")
OFF = SwitchDevice(household_id=ANNA, device_id=OVEN, on=False)


def attached(kind: DeviceKind = DeviceKind.APPLIANCE) -> DeviceAttached:
    command = attach("oven", "anna", kind, since=NOW)
    return DeviceAttached(**{name: getattr(command, name) for name in DeviceAttached.__dataclass_fields__})


def ordered(**other: Any) -> DeviceSwitched:
    fact = DeviceSwitched(
        device_id=OVEN,
        household_id=ANNA,
        on=False,
        from_slot_start=NEXT,
        valid_until=NEXT + timedelta(hours=2),
    )
    return replace(fact, **other)


def answer(position: int, accepted: bool = True, reason: str | None = None, of: str = "anna") -> AnswerOrder:
    return AnswerOrder(household_id=id_of(of), order_position=position, accepted=accepted, reason=reason)


def answered(position: int, accepted: bool = True, reason: str | None = None) -> DeviceOrderAnswered:
    return DeviceOrderAnswered(
        order_position=position, device_id=OVEN, household_id=ANNA, accepted=accepted, reason=reason
    )


def expire(position: int, of: str = "anna") -> ExpireOrder:
    return ExpireOrder(household_id=id_of(of), order_position=position)


def expired(position: int) -> DeviceOrderExpired:
    return DeviceOrderExpired(order_position=position, device_id=OVEN, household_id=ANNA)


@pytest.fixture
def order(story: LogStory) -> tuple[LogStory, int]:
    """Anna's oven, ordered off; the order's position."""
    story.given(register("anna"), register("ben"), attach("oven", "anna"), OFF)
    return story, story.position


def test_an_order_holds_from_a_slot_not_begun_and_for_two_hours() -> None:
    given(HOUSEHOLD, attached()).when(decide_switch, OFF, NOW).then(ordered())
    on = structs.replace(OFF, on=True)
    given(HOUSEHOLD, attached()).when(decide_switch, on, NEXT + SLOT / 2).then(
        ordered(on=True, from_slot_start=NEXT + SLOT, valid_until=NEXT + SLOT + timedelta(hours=2))
    )


def test_what_cannot_be_switched() -> None:
    detached = DeviceDetached(device_id=OVEN, household_id=ANNA, until=NEXT)
    for past in ((), (attached(DeviceKind.METER),), (attached(), detached)):
        given(HOUSEHOLD, *past).when(decide_switch, OFF, NOW).refused(
            DeviceUnknown, "no such device that can be switched"
        )


def test_orders_lie_in_a_stream_of_their_household_and_month(order: tuple[LogStory, int]) -> None:
    story, position = order
    query = "select originator_id from log.fact where notification_id = %s"
    assert story.rows(query, position) == [(f"orders/{ANNA}/2026-03",)]


@pytest.mark.parametrize("accepted", [True, False])
def test_a_device_answers(order: tuple[LogStory, int], accepted: bool) -> None:
    story, position = order
    story.when(answer(position, accepted, "because")).then(answered(position, accepted, "because"))


def test_an_answer_in_another_month_lies_beside_its_order(order: tuple[LogStory, int]) -> None:
    story, position = order
    story.at(NOW + timedelta(days=40)).given(answer(position))
    query = "select originator_id from log.fact where notification_id = %s"
    assert story.rows(query, story.position) == story.rows(query, position)


def test_a_long_reason_is_cut(order: tuple[LogStory, int]) -> None:
    story, position = order
    story.when(answer(position, False, "a" * 300)).then(answered(position, False, "a" * 200))


@pytest.mark.parametrize("again", [answer, expire])
def test_an_order_is_settled_once(order: tuple[LogStory, int], again: Any) -> None:
    story, position = order
    story.given(answer(position)).at(NOW + timedelta(days=1))
    story.when(again(position)).refused(OrderUnknown, "settled already")


def test_an_order_given_up_is_not_answered(order: tuple[LogStory, int]) -> None:
    story, position = order
    story.at(NEXT + timedelta(hours=2)).given(expire(position))
    story.when(answer(position)).refused(OrderUnknown, "settled already")


def test_an_order_is_given_up_when_its_time_has_passed(order: tuple[LogStory, int]) -> None:
    story, position = order
    story.at(NEXT + timedelta(hours=2) - timedelta(seconds=1))
    story.when(expire(position)).refused(OrderUnknown, "still valid")
    story.at(NEXT + timedelta(hours=2)).when(expire(position)).then(expired(position))


@pytest.mark.parametrize("command", [answer, expire])
def test_nobody_settles_another_s_order(order: tuple[LogStory, int], command: Any) -> None:
    story, position = order
    story.at(NOW + timedelta(days=1))
    story.when(command(position, of="ben")).refused(OrderUnknown, "no such order")


@pytest.mark.parametrize("distance", [-1, 1, 10**6, 2**62])
def test_what_is_no_order(order: tuple[LogStory, int], distance: int) -> None:
    story, position = order
    story.when(answer(position + distance)).refused(OrderUnknown, "no such order")


def test_a_position_beyond_all_counting_is_no_order(order: tuple[LogStory, int]) -> None:
    story, _ = order
    story.when(answer(2**63 + 1)).refused(OrderUnknown, "no such order")


@pytest.mark.parametrize("turned", [False, True])
def test_an_answer_and_a_new_order_may_wait_together(order: tuple[LogStory, int], turned: bool) -> None:
    story, position = order
    commands: list[Command] = [structs.replace(OFF, on=True), answer(position)]
    outcomes = story.group(*(reversed(commands) if turned else commands))
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []


def test_a_device_detached_meanwhile_still_answers(order: tuple[LogStory, int]) -> None:
    story, position = order
    story.given(DetachDevice(household_id=ANNA, device_id=OVEN))
    story.when(answer(position)).then(answered(position))


def test_settled_orders_are_told_by_both_facts() -> None:
    assert given(SETTLED, ordered(), answered(3), expired(5)).state.positions == {3, 5}
