"""Notifications: what a household has read."""

from write_side.commands import InvalidInput, MarkRead
from write_side.events import NotificationsRead
from write_side.households import known
from write_side.log import head
from write_side.past import Decision, Past


def handle_mark_read(command: MarkRead, past: Past) -> Decision:
    """Marks a household's notifications as read up to a position that exists."""
    known(past, command.household_id)
    if not 0 < command.up_to_position <= head(past.connection):
        raise InvalidInput("upTo: a position of this grid")
    fact = NotificationsRead(household_id=command.household_id, up_to_position=command.up_to_position)
    return Decision([(f"notifications/{command.household_id}/{past.at:%Y-%m}", fact)])
