"""Autarky: the rule a household or community is judged by, and the changes a closing brought."""

from datetime import datetime
from uuid import UUID

from write_side.commands import ChangeAutarky, InvalidInput, SetAutarkyRule, SlotOutOfOrder
from write_side.communities import area_of
from write_side.events import AutarkyChanged, AutarkyRuleSet
from write_side.households import known
from write_side.past import Decision, Past
from write_side.rules.autarky import AutarkyRule
from write_side.rules.timeslots import slot_of
from write_side.slots import CLOSINGS
from write_side.slots import stream_of as closings_stream

LONGEST_WINDOW_SLOTS = 96 * 366


def _checked(command: SetAutarkyRule) -> AutarkyRule:
    if not 1 <= command.window_slots <= LONGEST_WINDOW_SLOTS or not 1 <= command.dwell_slots <= 96:
        raise InvalidInput(f"windowSlots: 1 to {LONGEST_WINDOW_SLOTS}; dwellSlots: 1 to 96")
    try:
        return AutarkyRule(
            window_slots=command.window_slots,
            threshold_percent=command.threshold_percent,
            hysteresis_points=command.hysteresis_points,
            dwell_slots=command.dwell_slots,
            minimum_coverage_percent=command.minimum_coverage_percent,
        )
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def handle_rule(command: SetAutarkyRule, past: Past) -> Decision:
    """Sets the rule of one household or one community."""
    subject_id = _subject(command, past)
    rule = _checked(command)
    fact = AutarkyRuleSet(
        subject_id=subject_id,
        window_slots=rule.window_slots,
        threshold_percent=rule.threshold_percent,
        hysteresis_points=rule.hysteresis_points,
        dwell_slots=rule.dwell_slots,
        minimum_coverage_percent=rule.minimum_coverage_percent,
    )
    return Decision([(f"autarky-rules/{subject_id}", fact)])


def _subject(command: SetAutarkyRule, past: Past) -> UUID:
    if (command.household_id is None) == (command.community_id is None):
        raise InvalidInput("householdId, communityId: exactly one of the two")
    if command.household_id is not None:
        known(past, command.household_id)
        return command.household_id
    assert command.community_id is not None
    area_of(past, command.community_id)
    return command.community_id


def stream_of(community_id: UUID | None, at: datetime) -> str:
    """Changes tick: their stream is named by community and month."""
    return f"autarky/{community_id}/{at:%Y-%m}"


def handle_change(command: ChangeAutarky, past: Past) -> Decision:
    """States the changes of one closing; one without changes states nothing."""
    if not command.households and command.community is None:
        return Decision()
    closings = past.fold(closings_stream(command.slot_start), CLOSINGS)
    if closings.last_slot is None or closings.last_slot < slot_of(command.slot_start):
        raise SlotOutOfOrder("autarky is judged when a slot has closed")
    fact = AutarkyChanged(
        community_id=command.community_id,
        slot_start=command.slot_start,
        households=command.households,
        community=command.community,
    )
    return Decision([(stream_of(command.community_id, command.slot_start), fact)])
