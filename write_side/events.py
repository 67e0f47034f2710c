"""Every fact the grid can state: plain data, past tense, units in the names.

A fact is stored under its class name. A field never changes its meaning; the golden files in
`tests/write_side/golden` hold every form ever written.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from write_side.rules.autarky import AutarkyState as AutarkyState


class DeviceKind(StrEnum):
    """What a device measures: a METER the grid connection, the others one side of the house."""

    METER = "METER"
    APPLIANCE = "APPLIANCE"
    SOLAR = "SOLAR"
    GENERATOR = "GENERATOR"
    BATTERY = "BATTERY"
    VEHICLE = "VEHICLE"


class Flexibility(StrEnum):
    """Whether a device's load may be moved: never, as a whole, or at any time."""

    ESSENTIAL = "ESSENTIAL"
    SHIFTABLE = "SHIFTABLE"
    INTERRUPTIBLE = "INTERRUPTIBLE"


class Stride(StrEnum):
    """How far the simulated clock moves at a time; a DAY is a local one."""

    SLOT = "SLOT"
    HOUR = "HOUR"
    DAY = "DAY"


class ConsentPurpose(StrEnum):
    """What a household's data may be used for."""

    RESEARCH = "RESEARCH"
    SALE = "SALE"
    VENDOR = "VENDOR"


class Granularity(StrEnum):
    """The finest data a consent allows."""

    DAILY = "DAILY"
    HOURLY = "HOURLY"
    DETAIL = "DETAIL"


@dataclass(frozen=True, kw_only=True)
class GridFounded:
    """The grid's first slot; what lies before it is history."""

    first_slot_start: datetime
    simulated: bool


@dataclass(frozen=True, kw_only=True)
class HouseholdRegistered:
    """A household and the network area it stands in; the place is rounded to a tenth of a degree."""

    household_id: UUID
    area_id: UUID
    subscribed_power_w: int
    latitude_deg: Decimal
    longitude_deg: Decimal


@dataclass(frozen=True, kw_only=True)
class HouseholdRenamed:
    """A household took another name; the name itself lies in the erasable table."""

    household_id: UUID


@dataclass(frozen=True, kw_only=True)
class CommunityFounded:
    """A community of one network area, founded by its first household."""

    community_id: UUID
    area_id: UUID


@dataclass(frozen=True, kw_only=True)
class CommunityJoined:
    """A household shares in a community from this slot on."""

    community_id: UUID
    household_id: UUID
    from_slot_start: datetime


@dataclass(frozen=True, kw_only=True)
class CommunityLeft:
    """A household shares no more from this slot on."""

    community_id: UUID
    household_id: UUID
    until_slot_start: datetime


@dataclass(frozen=True, kw_only=True)
class DeviceAttached:
    """A device of a household, measured from `since` on; powers in W, energies in Wh."""

    device_id: UUID
    household_id: UUID
    kind: DeviceKind
    name: str
    since: datetime
    flexibility: Flexibility
    rated_power_w: int
    capacity_wh: int = 0
    reserve_wh: int = 0
    efficiency_permille: int = 1000
    tilt_deg: int | None = None
    azimuth_deg: int | None = None


@dataclass(frozen=True, kw_only=True)
class DeviceDetached:
    """A device that is measured no more from `until` on."""

    device_id: UUID
    household_id: UUID
    until: datetime


@dataclass(frozen=True, kw_only=True)
class DeviceSwitched:
    """The household switched a device by hand; the order holds from a slot not yet begun."""

    device_id: UUID
    household_id: UUID
    on: bool
    from_slot_start: datetime
    valid_until: datetime


@dataclass(frozen=True, kw_only=True)
class DeviceOrderAnswered:
    """A device said whether it will obey; the order is named by its fact's position."""

    order_position: int
    device_id: UUID
    household_id: UUID
    accepted: bool
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class DeviceOrderExpired:
    """Nobody answered an order while it was valid: the household is alerted."""

    order_position: int
    device_id: UUID
    household_id: UUID


@dataclass(frozen=True, kw_only=True)
class ConsentGiven:
    """A household allows its data for one purpose, up to a granularity; versions count from 1."""

    household_id: UUID
    purpose: ConsentPurpose
    granularity: Granularity
    version: int


@dataclass(frozen=True, kw_only=True)
class ConsentWithdrawn:
    """A household allows its data for this purpose no more."""

    household_id: UUID
    purpose: ConsentPurpose
    version: int


@dataclass(frozen=True, kw_only=True)
class ClockAdvanceOrdered:
    """The operator wants the simulated clock at `to`, one stride at a time."""

    now: datetime
    to: datetime
    stride: Stride


@dataclass(frozen=True, kw_only=True)
class ClockAdvanced:
    """One stride of the simulated clock; `to` is the grid's time now, `target` where it is heading."""

    since: datetime
    to: datetime
    target: datetime
    stride: Stride


@dataclass(frozen=True, kw_only=True)
class ClockAdvanceFinished:
    """The clock stands where it was ordered, and all that its slots caused is stated before this."""

    at: datetime
    stride: Stride


@dataclass(frozen=True, kw_only=True)
class SlotClosed:
    """A slot is accounted; partitions without a mark and sources that kept silent are named."""

    slot_start: datetime
    missing_partitions: tuple[int, ...]
    silent_sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SlotsCorrected:
    """Late or corrected readings changed closed slots of a community (or of one household without).

    `run` is the position, in the intake, of the last change told here.
    """

    community_id: UUID | None
    household_ids: tuple[UUID, ...]
    first_slot_start: datetime
    last_slot_start: datetime
    slots: int
    consumption_wh_change: int
    production_wh_change: int
    run: int


@dataclass(frozen=True, kw_only=True)
class AutarkyRuleSet:
    """How the autarky of a household or community is judged from the next closing on."""

    subject_id: UUID
    window_slots: int
    threshold_percent: Decimal
    hysteresis_points: Decimal
    dwell_slots: int
    minimum_coverage_percent: Decimal


@dataclass(frozen=True, kw_only=True)
class AutarkyChange:
    """One subject's change and the figures it was decided on."""

    subject_id: UUID
    from_state: AutarkyState
    to_state: AutarkyState
    since_slot_start: datetime
    self_sufficiency_percent: Decimal | None
    own_wh: int
    consumption_wh: int
    coverage_percent: Decimal
    notify: bool


@dataclass(frozen=True, kw_only=True)
class AutarkyChanged:
    """What the closing of a slot changed in a community: its households, and itself if it did.

    `community_id` is None for the households that are in no community.
    """

    community_id: UUID | None
    slot_start: datetime
    households: tuple[AutarkyChange, ...]
    community: AutarkyChange | None


@dataclass(frozen=True, kw_only=True)
class NotificationsRead:
    """A household has read its notifications up to this position."""

    household_id: UUID
    up_to_position: int


Fact = (
    GridFounded
    | HouseholdRegistered
    | HouseholdRenamed
    | CommunityFounded
    | CommunityJoined
    | CommunityLeft
    | DeviceAttached
    | DeviceDetached
    | DeviceSwitched
    | DeviceOrderAnswered
    | DeviceOrderExpired
    | ConsentGiven
    | ConsentWithdrawn
    | ClockAdvanceOrdered
    | ClockAdvanced
    | ClockAdvanceFinished
    | SlotClosed
    | SlotsCorrected
    | AutarkyRuleSet
    | AutarkyChanged
    | NotificationsRead
)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A fact as it stands in the log, with its envelope."""

    position: int
    stream: str
    version: int
    at: datetime
    recorded_at: datetime
    by: str
    key: str
    cause: int | None
    correlation: str
    fact: Fact
