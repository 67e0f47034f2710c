"""Which command is decided where."""

from collections.abc import Callable, Sequence
from typing import Any

from write_side import (
    autarky,
    clock,
    commands,
    communities,
    device_orders,
    devices,
    households,
    notifications,
    registration,
    slots,
)
from write_side.clock import CLOCK, CLOCK_STREAM, FOUNDING, GRID_STREAM
from write_side.past import Decision, Fold, Past

HANDLERS: dict[type, Callable[[Any, Past], Decision]] = {
    commands.FoundGrid: clock.handle_found,
    commands.AdvanceClock: clock.handle_advance,
    commands.StepClock: clock.handle_step,
    commands.FinishAdvance: clock.handle_finish,
    commands.RegisterHousehold: registration.handle_register,
    commands.RenameHousehold: households.handle_rename,
    commands.SetConsent: households.handle_consent,
    commands.JoinCommunity: communities.handle_join,
    commands.LeaveCommunity: communities.handle_leave,
    commands.AttachDevice: devices.handle_attach,
    commands.DetachDevice: devices.handle_detach,
    commands.SwitchDevice: device_orders.handle_switch,
    commands.AnswerOrder: device_orders.handle_answer,
    commands.ExpireOrder: device_orders.handle_expire,
    commands.CloseSlots: slots.handle_close,
    commands.CorrectSlots: slots.handle_correct,
    commands.SetAutarkyRule: autarky.handle_rule,
    commands.ChangeAutarky: autarky.handle_change,
    commands.MarkRead: notifications.handle_mark_read,
}


def decide(command: commands.Command, past: Past) -> Decision:
    """The facts a command leads to; raises the Refusal of the rule it would break."""
    return HANDLERS[type(command)](command, past)


def ask_ahead(past: Past, group: Sequence[commands.Command]) -> None:
    """Asks at once for what the commands of a group will look at; a stream that is missed is read later."""
    folds: dict[str, Fold[Any]] = {GRID_STREAM: FOUNDING, CLOCK_STREAM: CLOCK}
    for command in group:
        household_id = getattr(command, "household_id", None)
        if household_id is not None:
            folds[households.stream_of(household_id)] = households.HOUSEHOLD
    past.ask_ahead(folds)
    communities.ask_ahead(past, group)
