"""What a household has read: up to a position that exists."""

import pytest

from tests.write_side.story import LogStory, id_of, register
from write_side.commands import HouseholdUnknown, InvalidInput, MarkRead
from write_side.events import NotificationsRead

ANNA = id_of("anna")


def test_notifications_are_read_up_to_a_position(story: LogStory) -> None:
    story.given(register("anna"))
    for position in (1, story.position):
        story.when(MarkRead(household_id=ANNA, up_to_position=position)).then(
            NotificationsRead(household_id=ANNA, up_to_position=position)
        )
    query = "select distinct originator_id from log.fact where topic = 'NotificationsRead'"
    assert story.rows(query) == [(f"notifications/{ANNA}/2026-03",)]


@pytest.mark.parametrize("beyond", [1, 2**70])
def test_nobody_reads_what_is_not_written_yet(story: LogStory, beyond: int) -> None:
    story.given(register("anna"))
    command = MarkRead(household_id=ANNA, up_to_position=story.position + beyond)
    story.when(command).refused(InvalidInput, "upTo: a position of this grid")


@pytest.mark.parametrize("position", [0, -1])
def test_positions_begin_at_one(story: LogStory, position: int) -> None:
    story.given(register("anna"))
    command = MarkRead(household_id=ANNA, up_to_position=position)
    story.when(command).refused(InvalidInput, "upTo: a position of this grid")


def test_nobody_reads_for_a_household_that_is_none(story: LogStory) -> None:
    story.when(MarkRead(household_id=ANNA, up_to_position=1)).refused(HouseholdUnknown, "no such household")
