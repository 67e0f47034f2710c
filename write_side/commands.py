"""Everything that can be asked of the grid, and every way it can be refused.

A command carries the mutation's words; a refusal is named after the broken rule.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from write_side.events import AutarkyChange, ConsentPurpose, DeviceKind, Flexibility, Granularity, Stride


class FoundGrid(msgspec.Struct, frozen=True, kw_only=True):
    """Sets the first slot, once; asked again it answers the same grid."""

    first_slot_start: datetime
    simulated: bool


class RegisterHousehold(msgspec.Struct, frozen=True, kw_only=True):
    """Signs a household up and places it in a community by where it stands."""

    household_id: UUID
    name: str
    address: str
    latitude_deg: Decimal
    longitude_deg: Decimal
    subscribed_power_w: int


class RenameHousehold(msgspec.Struct, frozen=True, kw_only=True):
    """Gives a household another name."""

    household_id: UUID
    name: str


class JoinCommunity(msgspec.Struct, frozen=True, kw_only=True):
    """Moves a household into a community, from the next slot on."""

    household_id: UUID
    community_id: UUID


class LeaveCommunity(msgspec.Struct, frozen=True, kw_only=True):
    """Takes a household out of its community, from the next slot on."""

    household_id: UUID


class AttachDevice(msgspec.Struct, frozen=True, kw_only=True):
    """Attaches a device; `since` None means the slot that runs now."""

    device_id: UUID
    household_id: UUID
    kind: DeviceKind
    name: str
    since: datetime | None
    flexibility: Flexibility
    rated_power_w: int
    capacity_wh: int
    reserve_wh: int
    efficiency_permille: int
    tilt_deg: int | None
    azimuth_deg: int | None


class DetachDevice(msgspec.Struct, frozen=True, kw_only=True):
    """Detaches a device from the next slot on."""

    household_id: UUID
    device_id: UUID


class SwitchDevice(msgspec.Struct, frozen=True, kw_only=True):
    """Switches a device on or off by hand, from the next slot on."""

    household_id: UUID
    device_id: UUID
    on: bool


class AnswerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A device's own answer to an order."""

    household_id: UUID
    order_position: int
    accepted: bool
    reason: str | None


class ExpireOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Gives an unanswered order up."""

    household_id: UUID
    order_position: int


class SetConsent(msgspec.Struct, frozen=True, kw_only=True):
    """Gives or, with `granularity` None, withdraws consent for a purpose."""

    household_id: UUID
    purpose: ConsentPurpose
    granularity: Granularity | None


class SetAutarkyRule(msgspec.Struct, frozen=True, kw_only=True):
    """Sets how autarky is judged; exactly one of the two ids is given."""

    household_id: UUID | None
    community_id: UUID | None
    window_slots: int
    threshold_percent: Decimal
    hysteresis_points: Decimal
    dwell_slots: int
    minimum_coverage_percent: Decimal


class AdvanceClock(msgspec.Struct, frozen=True, kw_only=True):
    """Orders the simulated clock to a time to come."""

    to: datetime
    stride: Stride


class StepClock(msgspec.Struct, frozen=True, kw_only=True):
    """Moves the simulated clock by one stride towards its target."""

    to: datetime


class FinishAdvance(msgspec.Struct, frozen=True, kw_only=True):
    """States that an ordered advance is over, with everything its slots caused."""

    at: datetime


class CloseSlots(msgspec.Struct, frozen=True, kw_only=True):
    """Closes the slots from `first_slot_start` up to, not including, `end`."""

    first_slot_start: datetime
    end: datetime
    missing_partitions: tuple[int, ...]
    silent_sources: tuple[str, ...]


class CorrectSlots(msgspec.Struct, frozen=True, kw_only=True):
    """Tells that closed slots have other figures than when they closed."""

    community_id: UUID | None
    household_ids: tuple[UUID, ...]
    first_slot_start: datetime
    last_slot_start: datetime
    slots: int
    consumption_wh_change: int
    production_wh_change: int
    run: int


class ChangeAutarky(msgspec.Struct, frozen=True, kw_only=True):
    """States what a closing changed in the autarky of a community and its households."""

    community_id: UUID | None
    slot_start: datetime
    households: tuple[AutarkyChange, ...]
    community: AutarkyChange | None


class MarkRead(msgspec.Struct, frozen=True, kw_only=True):
    """Marks a household's notifications as read up to a position."""

    household_id: UUID
    up_to_position: int


Command = (
    FoundGrid
    | RegisterHousehold
    | RenameHousehold
    | JoinCommunity
    | LeaveCommunity
    | AttachDevice
    | DetachDevice
    | SwitchDevice
    | AnswerOrder
    | ExpireOrder
    | SetConsent
    | SetAutarkyRule
    | AdvanceClock
    | StepClock
    | FinishAdvance
    | CloseSlots
    | CorrectSlots
    | ChangeAutarky
    | MarkRead
)


def is_storable(text: str, longest: int) -> bool:
    """Whether PostgreSQL can hold a text: no NUL, no half of a surrogate pair, not too long."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return len(text) <= longest and "\0" not in text


class Refusal(Exception):
    """A rule that a command would break; the text says what the caller can do about it.

    `command_number` says which of several that stand or fall together, from 0.
    """

    command_number = 0


class HouseholdUnknown(Refusal):
    """There is no such household."""


class HouseholdAlreadyRegistered(Refusal):
    """The household's id is taken."""


class DeviceUnknown(Refusal):
    """The household has no such device attached."""


class DeviceAlreadyAttached(Refusal):
    """The device's id is taken, or the household has a meter already."""


class CommunityUnknown(Refusal):
    """There is no such community."""


class CommunityNotJoinable(Refusal):
    """The community is full, too far away or behind another network area's transformer."""


class NotInCommunity(Refusal):
    """The household is in no community."""


class ClockNotMovable(Refusal):
    """The clock is the wall's, is moving already, or would have to go back."""


class OrderUnknown(Refusal):
    """The household has no such open order."""


class InvalidInput(Refusal):
    """A value is out of its range; the text names it."""


class KeyReused(Refusal):
    """The idempotency key was used before with other input."""


class SlotOutOfOrder(Refusal):
    """Slots close one after the other, and only when they have passed."""
