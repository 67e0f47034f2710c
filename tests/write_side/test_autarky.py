"""Autarky's rule and its changes: whose they are, what a rule may say, and that a closing comes first."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from tests.write_side.story import SLOT, LogStory, id_of, register
from tests.write_side.test_slots import at, close, moved
from write_side.commands import (
    ChangeAutarky,
    CommunityUnknown,
    HouseholdUnknown,
    InvalidInput,
    SetAutarkyRule,
    SlotOutOfOrder,
)
from write_side.events import AutarkyChange, AutarkyChanged, AutarkyRuleSet, AutarkyState

ANNA = id_of("anna")


def rule(**other: Any) -> SetAutarkyRule:
    command = SetAutarkyRule(
        household_id=ANNA,
        community_id=None,
        window_slots=96,
        threshold_percent=Decimal(99),
        hysteresis_points=Decimal(5),
        dwell_slots=2,
        minimum_coverage_percent=Decimal(90),
    )
    return structs.replace(command, **other)


def rule_set(subject_id: UUID, **other: Any) -> AutarkyRuleSet:
    fact = AutarkyRuleSet(
        subject_id=subject_id,
        window_slots=96,
        threshold_percent=Decimal(99),
        hysteresis_points=Decimal(5),
        dwell_slots=2,
        minimum_coverage_percent=Decimal(90),
    )
    return replace(fact, **other)


def test_a_household_s_rule(story: LogStory) -> None:
    story.given(register("anna")).when(rule()).then(rule_set(ANNA))
    query = "select originator_id from log.fact where topic = 'AutarkyRuleSet'"
    assert story.rows(query) == [(f"autarky-rules/{ANNA}",)]


def test_a_community_s_rule(story: LogStory) -> None:
    community = UUID(story.when(register("anna")).answer["communityId"])
    story.when(rule(household_id=None, community_id=community)).then(rule_set(community))


def test_a_rule_is_set_again_with_other_values(story: LogStory) -> None:
    other = {"window_slots": 1, "threshold_percent": Decimal("80.5"), "dwell_slots": 96}
    story.given(register("anna"), rule()).when(rule(**other)).then(rule_set(ANNA, **other))


@pytest.mark.parametrize("subject", [{"household_id": None}, {"community_id": id_of("village")}])
def test_a_rule_has_one_subject(story: LogStory, subject: dict[str, Any]) -> None:
    story.given(register("anna")).when(rule(**subject)).refused(InvalidInput, "exactly one of the two")


def test_a_rule_of_nobody(story: LogStory) -> None:
    story.when(rule()).refused(HouseholdUnknown, "no such household")
    nowhere = rule(household_id=None, community_id=id_of("nowhere"))
    story.when(nowhere).refused(CommunityUnknown, "no such community")


@pytest.mark.parametrize(
    ("other", "saying"),
    [
        ({"window_slots": 0}, "windowSlots"),
        ({"window_slots": 96 * 366 + 1}, "windowSlots"),
        ({"dwell_slots": 0}, "dwellSlots"),
        ({"dwell_slots": 97}, "dwellSlots"),
        ({"threshold_percent": Decimal("100.1")}, "threshold lies in 0..100"),
        ({"threshold_percent": Decimal(4)}, "hysteresis in 0..threshold"),
        ({"hysteresis_points": Decimal("-0.1")}, "hysteresis in 0..threshold"),
        ({"minimum_coverage_percent": Decimal("-0.1")}, "minimum coverage"),
        ({"minimum_coverage_percent": Decimal("100.1")}, "minimum coverage"),
    ],
)
def test_what_cannot_be_a_rule(story: LogStory, other: dict[str, Any], saying: str) -> None:
    story.given(register("anna")).when(rule(**other)).refused(InvalidInput, saying)


@pytest.mark.parametrize(
    "other",
    [
        {"window_slots": 96 * 366, "dwell_slots": 96},
        {"threshold_percent": Decimal(100), "hysteresis_points": Decimal(100)},
        {"threshold_percent": Decimal(0), "hysteresis_points": Decimal(0)},
        {"minimum_coverage_percent": Decimal(0)},
        {"minimum_coverage_percent": Decimal(100)},
    ],
)
def test_what_just_can(story: LogStory, other: dict[str, Any]) -> None:
    story.given(register("anna")).when(rule(**other)).then(rule_set(ANNA, **other))


def change(name: str) -> AutarkyChange:
    return AutarkyChange(
        subject_id=id_of(name),
        from_state=AutarkyState.NOT_REACHED,
        to_state=AutarkyState.REACHED,
        since_slot_start=at(1),
        self_sufficiency_percent=Decimal("99.5"),
        own_wh=199,
        consumption_wh=200,
        coverage_percent=Decimal(100),
        notify=True,
    )


def changed(slot: int, **other: Any) -> ChangeAutarky:
    command = ChangeAutarky(
        community_id=id_of("village"), slot_start=at(slot), households=(change("anna"),), community=None
    )
    return structs.replace(command, **other)


def test_the_changes_of_a_closing_are_one_fact(story: LogStory) -> None:
    story.given(*moved(4), close(0, 3))
    both = {"households": (change("anna"), change("ben")), "community": change("village")}
    story.when(changed(2, **both)).then(
        AutarkyChanged(community_id=id_of("village"), slot_start=at(2), **both)  # type: ignore[arg-type]
    )
    query = "select originator_id from log.fact where topic = 'AutarkyChanged'"
    assert story.rows(query) == [(f"autarky/{id_of('village')}/2026-01",)]


def test_a_community_s_own_change_is_enough(story: LogStory) -> None:
    story.given(*moved(4), close(0, 3))
    alone = changed(2, households=(), community=change("village"))
    fact = AutarkyChanged(
        community_id=id_of("village"), slot_start=at(2), households=(), community=change("village")
    )
    story.when(alone).then(fact)


def test_a_closing_that_changed_nothing_states_nothing(story: LogStory) -> None:
    story.when(changed(2, households=())).then()


def test_autarky_is_judged_behind_the_closing(story: LogStory) -> None:
    story.given(*moved(4)).when(changed(2)).refused(SlotOutOfOrder, "when a slot has closed")
    story.given(close(0, 2)).when(changed(2)).refused(SlotOutOfOrder, "when a slot has closed")
    story.given(close(2, 3), changed(2))


def test_a_closing_and_its_changes_may_wait_together(story: LogStory) -> None:
    story.given(*moved(4))
    outcomes = story.group(close(0, 3), changed(2))
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []


def test_the_stream_is_named_by_the_slot_s_month(story: LogStory) -> None:
    january = (datetime(2026, 2, 1, tzinfo=UTC) - datetime(2026, 1, 5, tzinfo=UTC)) // SLOT
    story.given(*moved(january + 1), close(0, january + 1), changed(january - 1), changed(january))
    query = "select originator_id from log.fact where topic = 'AutarkyChanged' order by notification_id"
    assert story.rows(query) == [(f"autarky/{id_of('village')}/2026-0{month}",) for month in (1, 2)]
