"""How facts lie in the log, held by golden files: one for every form of every fact ever written.

`python -m tests.write_side.test_stored_form` writes the files that are missing and touches no other:
a form that changes gets a file of its own beside the old one, which must still be read.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from write_side import events
from write_side.events import Fact, Recorded
from write_side.stored_form import FACT_TYPES, UnknownFact, decode, encode

GOLDEN = Path(__file__).with_name("golden")
HOUSEHOLD = UUID("11111111-1111-4111-8111-111111111111")
COMMUNITY = UUID("22222222-2222-4222-8222-222222222222")
AREA = UUID("33333333-3333-4333-8333-333333333333")
DEVICE = UUID("44444444-4444-4444-8444-444444444444")
SLOT = datetime(2026, 3, 29, 0, 45, tzinfo=UTC)  # the last before the clocks change
LATER = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
AT, RECORDED_AT = datetime(2026, 3, 29, 1, 0, 30, tzinfo=UTC), datetime(2026, 5, 1, 9, 30, 1, 250, tzinfo=UTC)
CHANGE = events.AutarkyChange(
    subject_id=HOUSEHOLD,
    from_state=events.AutarkyState.UNKNOWN,
    to_state=events.AutarkyState.REACHED,
    since_slot_start=SLOT,
    self_sufficiency_percent=Decimal("99.50"),
    own_wh=199,
    consumption_wh=200,
    coverage_percent=Decimal("98.96"),
    notify=True,
)
NO_FIGURE = events.AutarkyChange(
    subject_id=COMMUNITY,
    from_state=events.AutarkyState.REACHED,
    to_state=events.AutarkyState.NOT_REACHED,
    since_slot_start=SLOT,
    self_sufficiency_percent=None,
    own_wh=0,
    consumption_wh=0,
    coverage_percent=Decimal(0),
    notify=False,
)
WRITTEN: dict[str, Fact] = {
    "GridFounded": events.GridFounded(first_slot_start=SLOT, simulated=True),
    "HouseholdRegistered": events.HouseholdRegistered(
        household_id=HOUSEHOLD,
        area_id=AREA,
        subscribed_power_w=9000,
        latitude_deg=Decimal("48.8"),
        longitude_deg=Decimal("-2.3"),
    ),
    "HouseholdRenamed": events.HouseholdRenamed(household_id=HOUSEHOLD),
    "CommunityFounded": events.CommunityFounded(community_id=COMMUNITY, area_id=AREA),
    "CommunityJoined": events.CommunityJoined(
        community_id=COMMUNITY, household_id=HOUSEHOLD, from_slot_start=SLOT
    ),
    "CommunityLeft": events.CommunityLeft(
        community_id=COMMUNITY, household_id=HOUSEHOLD, until_slot_start=SLOT
    ),
    "DeviceAttached": events.DeviceAttached(
        device_id=DEVICE,
        household_id=HOUSEHOLD,
        kind=events.DeviceKind.BATTERY,
        name="Zoés Batterie",
        since=SLOT,
        flexibility=events.Flexibility.INTERRUPTIBLE,
        rated_power_w=1600,
        capacity_wh=1000,
        reserve_wh=100,
        efficiency_permille=905,
        tilt_deg=30,
        azimuth_deg=180,
    ),
    "DeviceDetached": events.DeviceDetached(device_id=DEVICE, household_id=HOUSEHOLD, until=LATER),
    "DeviceSwitched": events.DeviceSwitched(
        device_id=DEVICE, household_id=HOUSEHOLD, on=False, from_slot_start=SLOT, valid_until=LATER
    ),
    "DeviceOrderAnswered": events.DeviceOrderAnswered(
        order_position=17, device_id=DEVICE, household_id=HOUSEHOLD, accepted=False, reason="door open"
    ),
    "DeviceOrderExpired": events.DeviceOrderExpired(
        order_position=17, device_id=DEVICE, household_id=HOUSEHOLD
    ),
    "ConsentGiven": events.ConsentGiven(
        household_id=HOUSEHOLD,
        purpose=events.ConsentPurpose.RESEARCH,
        granularity=events.Granularity.HOURLY,
        version=3,
    ),
    "ConsentWithdrawn": events.ConsentWithdrawn(
        household_id=HOUSEHOLD, purpose=events.ConsentPurpose.SALE, version=4
    ),
    "ClockAdvanceOrdered": events.ClockAdvanceOrdered(now=SLOT, to=LATER, stride=events.Stride.DAY),
    "ClockAdvanced": events.ClockAdvanced(since=SLOT, to=LATER, target=LATER, stride=events.Stride.HOUR),
    "ClockAdvanceFinished": events.ClockAdvanceFinished(at=LATER, stride=events.Stride.SLOT),
    "SlotClosed": events.SlotClosed(
        slot_start=SLOT, missing_partitions=(3, 15), silent_sources=(str(DEVICE),)
    ),
    "SlotsCorrected": events.SlotsCorrected(
        community_id=None,
        household_ids=(HOUSEHOLD,),
        first_slot_start=SLOT,
        last_slot_start=LATER,
        slots=2,
        consumption_wh_change=-120,
        production_wh_change=40,
        run=123456789,
    ),
    "AutarkyRuleSet": events.AutarkyRuleSet(
        subject_id=COMMUNITY,
        window_slots=96,
        threshold_percent=Decimal("99"),
        hysteresis_points=Decimal("5.0"),
        dwell_slots=2,
        minimum_coverage_percent=Decimal("90"),
    ),
    "AutarkyChanged": events.AutarkyChanged(
        community_id=COMMUNITY, slot_start=LATER, households=(CHANGE,), community=NO_FIGURE
    ),
    "NotificationsRead": events.NotificationsRead(household_id=HOUSEHOLD, up_to_position=41),
}
ENVELOPE: dict[str, Any] = {
    "at": AT,
    "recorded_at": RECORDED_AT,
    "by": "standing-order",
    "key": "close/2026-03-29T00:45Z",
    "cause": 16,
    "correlation": "c0ffee",
}


def _stored(fact: Fact) -> bytes:
    return encode(fact, **ENVELOPE)[1]


@pytest.mark.parametrize("name", WRITTEN)
def test_what_was_written_is_read(name: str) -> None:
    state = (GOLDEN / f"{name}.json").read_bytes().strip()
    topic = name.partition(".")[0]
    assert decode(17, "stream", 3, topic, state) == Recorded(
        position=17, stream="stream", version=3, fact=WRITTEN[name], **ENVELOPE
    )


@pytest.mark.parametrize("name", FACT_TYPES)
def test_what_is_written_today_is_as_it_was(name: str) -> None:
    fact = WRITTEN[name]
    topic, state = encode(fact, **ENVELOPE)
    assert topic == type(fact).__name__ == name
    assert state == (GOLDEN / f"{name}.json").read_bytes().strip()


def test_every_fact_has_its_golden_file_and_every_file_its_fact() -> None:
    assert set(FACT_TYPES) <= set(WRITTEN)
    assert {path.stem for path in GOLDEN.iterdir()} == set(WRITTEN)


def test_every_field_of_every_fact_is_in_its_file() -> None:
    for name, cls in FACT_TYPES.items():
        body = json.loads((GOLDEN / f"{name}.json").read_text())["fact"]
        assert set(body) == set(cls.__dataclass_fields__), name


def test_a_device_told_without_what_is_usual_is_the_usual_one() -> None:
    state = json.loads((GOLDEN / "DeviceAttached.json").read_text())
    for field in ("capacity_wh", "reserve_wh", "efficiency_permille", "tilt_deg", "azimuth_deg"):
        del state["fact"][field]
    fact = decode(1, "s", 1, "DeviceAttached", json.dumps(state).encode()).fact
    assert isinstance(fact, events.DeviceAttached)
    told = (fact.capacity_wh, fact.reserve_wh, fact.efficiency_permille, fact.tilt_deg, fact.azimuth_deg)
    assert told == (0, 0, 1000, None, None)


def test_a_fact_without_cause_has_none() -> None:
    topic, state = encode(WRITTEN["GridFounded"], **(ENVELOPE | {"cause": None}))
    assert decode(1, "s", 1, topic, state).cause is None


def test_an_unknown_fact_is_named() -> None:
    with pytest.raises(UnknownFact, match=r"'RaceWon' at position 23"):
        decode(23, "stream", 1, "RaceWon", _stored(WRITTEN["GridFounded"]))


def test_a_fact_that_lacks_a_field_is_none() -> None:
    state = json.loads(_stored(WRITTEN["GridFounded"]))
    del state["fact"]["simulated"]
    with pytest.raises(msgspec.ValidationError, match="simulated"):
        decode(1, "stream", 1, "GridFounded", json.dumps(state).encode())


def write_missing() -> list[Path]:
    """Writes the golden files that are not there yet; what is there is history and stays."""
    missing = {GOLDEN / f"{name}.json": fact for name, fact in WRITTEN.items()}
    missing = {path: fact for path, fact in missing.items() if not path.exists()}
    for path, fact in missing.items():
        path.write_bytes(_stored(fact) + b"\n")
    return list(missing)


if __name__ == "__main__":
    print(*write_missing(), sep="\n")
