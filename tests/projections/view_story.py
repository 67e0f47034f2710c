"""A grid's facts made from a seed, in an order in which they could have been stated."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from write_side import events
from write_side.events import AutarkyState, Fact

_IDS = UUID("7c0a6f7e-0000-4000-8000-000000000000")
START = datetime(2026, 1, 5, tzinfo=UTC)
SLOT = timedelta(minutes=15)
STATES = list(AutarkyState)


def id_of(name: str) -> UUID:
    """The same name, the same id."""
    return uuid5(_IDS, name)


def at(slots: int) -> datetime:
    """The beginning of a slot, counted from the grid's first."""
    return START + slots * SLOT


def registered(name: str, area: str = "area") -> Fact:
    return events.HouseholdRegistered(
        household_id=id_of(name),
        area_id=id_of(area),
        subscribed_power_w=6000,
        latitude_deg=Decimal("48.9"),
        longitude_deg=Decimal("2.4"),
    )


def founded(name: str, area: str = "area") -> Fact:
    return events.CommunityFounded(community_id=id_of(name), area_id=id_of(area))


def joined(community: str, name: str, slot: int = 0) -> Fact:
    return events.CommunityJoined(
        community_id=id_of(community), household_id=id_of(name), from_slot_start=at(slot)
    )


def left(community: str, name: str, slot: int) -> Fact:
    return events.CommunityLeft(
        community_id=id_of(community), household_id=id_of(name), until_slot_start=at(slot)
    )


def device(name: str, of: str) -> Fact:
    return events.DeviceAttached(
        device_id=id_of(name),
        household_id=id_of(of),
        kind=events.DeviceKind.BATTERY,
        name=name,
        since=START,
        flexibility=events.Flexibility.SHIFTABLE,
        rated_power_w=1600,
        capacity_wh=1000,
        reserve_wh=100,
        efficiency_permille=900,
        tilt_deg=30,
        azimuth_deg=180,
    )


def detached(name: str, of: str, slot: int) -> Fact:
    return events.DeviceDetached(device_id=id_of(name), household_id=id_of(of), until=at(slot))


def switched(name: str, of: str, on: bool, slot: int = 1) -> Fact:
    return events.DeviceSwitched(
        device_id=id_of(name),
        household_id=id_of(of),
        on=on,
        from_slot_start=at(slot),
        valid_until=at(slot + 8),
    )


def answered(position: int, name: str, of: str, accepted: bool, reason: str | None = None) -> Fact:
    return events.DeviceOrderAnswered(
        order_position=position,
        device_id=id_of(name),
        household_id=id_of(of),
        accepted=accepted,
        reason=reason,
    )


def expired(position: int, name: str, of: str) -> Fact:
    return events.DeviceOrderExpired(order_position=position, device_id=id_of(name), household_id=id_of(of))


def change(
    name: str, to: AutarkyState, since: int = 0, notify: bool = True, percent: str | None = "99.50"
) -> events.AutarkyChange:
    return events.AutarkyChange(
        subject_id=id_of(name),
        from_state=AutarkyState.UNKNOWN,
        to_state=to,
        since_slot_start=at(since),
        self_sufficiency_percent=None if percent is None else Decimal(percent),
        own_wh=199,
        consumption_wh=200,
        coverage_percent=Decimal("98.96"),
        notify=notify,
    )


def changed(
    community: str | None,
    *households: events.AutarkyChange,
    slot: int = 2,
    itself: events.AutarkyChange | None = None,
) -> Fact:
    return events.AutarkyChanged(
        community_id=None if community is None else id_of(community),
        slot_start=at(slot),
        households=households,
        community=itself,
    )


def corrected(community: str | None, *households: str, first: int = 0) -> Fact:
    return events.SlotsCorrected(
        community_id=None if community is None else id_of(community),
        household_ids=tuple(id_of(name) for name in households),
        first_slot_start=at(first),
        last_slot_start=at(first + 3),
        slots=2,
        consumption_wh_change=-120,
        production_wh_change=40,
        run=7,
    )


def closed(slot: int) -> Fact:
    return events.SlotClosed(slot_start=at(slot), missing_partitions=(3,), silent_sources=("meter",))


class Invented:
    """Facts as a busy grid would state them; `first` is the position of the first one."""

    def __init__(self, seed: int, first: int = 1) -> None:
        self.chance = random.Random(seed)
        self.first = first
        self.facts: list[Fact] = [events.GridFounded(first_slot_start=START, simulated=True)]
        self.homes: dict[str, str | None] = {}
        self.devices: dict[str, str] = {}
        self.orders: list[tuple[int, str]] = []
        self.slot = 0
        for name in ("village", "town"):
            self.facts.append(founded(name))

    def more(self, count: int) -> list[Fact]:
        """At least so many facts."""
        told = (self.sign_up, self.move, self.attach, self.order, self.settle, self.consent)
        ticks = (self.close, self.judge, self.correct, self.read, self.rule)
        while len(self.facts) < count:
            self.chance.choice(told + ticks)()
        return self.facts

    def sign_up(self) -> None:
        name = f"home {len(self.homes)}"
        self.homes[name] = self.chance.choice(["village", "town"])
        self.facts += [registered(name), joined(str(self.homes[name]), name, self.slot)]

    def home(self) -> str:
        if not self.homes:
            self.sign_up()
        return self.chance.choice(list(self.homes))

    def move(self) -> None:
        name = self.home()
        there = self.homes[name]
        wanted = self.chance.choice([None, "village", "town"])
        if there is not None and wanted != there:
            self.facts.append(left(there, name, self.slot + 1))
        if wanted is not None and wanted != there:
            self.facts.append(joined(wanted, name, self.slot + 1))
        self.homes[name] = wanted

    def attach(self) -> None:
        name = f"device {len(self.devices)}"
        self.devices[name] = self.home()
        self.facts.append(device(name, self.devices[name]))
        if self.chance.random() < 0.2:
            self.facts.append(detached(name, self.devices[name], self.slot + 1))

    def order(self) -> None:
        if self.devices:
            name = self.chance.choice(list(self.devices))
            self.facts.append(switched(name, self.devices[name], self.chance.random() < 0.5, self.slot + 1))
            self.orders.append((self.first + len(self.facts) - 1, name))

    def settle(self) -> None:
        if self.orders:
            position, name = self.orders.pop(self.chance.randrange(len(self.orders)))
            of, accepted = self.devices[name], self.chance.random() < 0.6
            answer = answered(position, name, of, accepted, None if accepted else "busy")
            told: list[Fact] = [answer, answer, expired(position, name, of)]
            self.facts.append(self.chance.choice(told))

    def consent(self) -> None:
        household_id, purpose = id_of(self.home()), self.chance.choice(list(events.ConsentPurpose))
        granularity = self.chance.choice(list(events.Granularity))
        given: Fact = events.ConsentGiven(
            household_id=household_id, purpose=purpose, granularity=granularity, version=1
        )
        withdrawn: Fact = events.ConsentWithdrawn(household_id=household_id, purpose=purpose, version=2)
        self.facts.append(self.chance.choice([given, given, withdrawn]))

    def close(self) -> None:
        now, target = at(self.slot + 1), at(self.slot + 1)
        self.facts += [
            events.ClockAdvanceOrdered(now=at(self.slot), to=target, stride=events.Stride.SLOT),
            events.ClockAdvanced(since=at(self.slot), to=now, target=target, stride=events.Stride.SLOT),
            closed(self.slot),
        ]
        if self.chance.random() < 0.8:
            self.facts.append(events.ClockAdvanceFinished(at=now, stride=events.Stride.SLOT))
        self.slot += 1

    def judge(self) -> None:
        community = self.chance.choice(["village", "town", None])
        members = [name for name, where in self.homes.items() if where == community]
        told = [
            self._change(name) for name in self.chance.sample(members, self.chance.randint(0, len(members)))
        ]
        itself = None if community is None else self._change(community)
        if told or itself:
            self.facts.append(changed(community, *told, slot=self.slot, itself=itself))

    def _change(self, name: str) -> events.AutarkyChange:
        to = self.chance.choice(STATES)
        notify = to is not AutarkyState.UNKNOWN and self.chance.random() < 0.7
        return change(name, to, self.slot, notify, self.chance.choice(["12.34", None]))

    def correct(self) -> None:
        community = self.chance.choice(["village", "town", None])
        names = self.chance.sample(list(self.homes), min(len(self.homes), 2))
        self.facts.append(corrected(community, *names, first=self.slot))

    def read(self) -> None:
        position = self.first + self.chance.randrange(len(self.facts))
        self.facts.append(events.NotificationsRead(household_id=id_of(self.home()), up_to_position=position))

    def rule(self) -> None:
        self.facts.append(
            events.AutarkyRuleSet(
                subject_id=id_of(self.chance.choice(["village", self.home()])),
                window_slots=self.chance.randint(1, 96),
                threshold_percent=Decimal(99),
                hysteresis_points=Decimal(5),
                dwell_slots=2,
                minimum_coverage_percent=Decimal(90),
            )
        )
