"""Scenario 3: a house produces; autarky, its battery, and the notifications of both directions."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from simulator import operations
from simulator.client import Answer, Event, Subscription
from simulator.devices import Battery, constant, panels
from simulator.home import Entry
from simulator.operations import Attached
from simulator.scenarios.narrative import Narrative
from simulator.scenarios.stage import House, Stage
from simulator.slots import SLOT, format_time, parse_time
from simulator.weather import Weather

TITLE = "Scenario 3. A house produces: autarky, battery, notification"
LOAD_WH = 300  # 400 W base load, 100 W fridge, 700 W heating, for 15 minutes
GENERATOR_WH = 750  # 3000 W
NOTIFY_SECONDS = 1.0
EVENT_SECONDS = 5.0
MOST_SLOTS_ON_BATTERY = 40
NET_CONSUMPTION = {"consumptionWh": "consumption_wh", "gridImportWh": "grid_import_wh"}
BALANCE = {
    "productionWh": "production_wh",
    "consumptionWh": "consumption_wh",
    "gridExportWh": "grid_export_wh",
}


@dataclass
class Watch:
    """What the house's people hold in their hands: two subscriptions and all that came through them."""

    changes: Subscription
    notifications: Subscription
    received: list[Answer] = field(default_factory=list)

    async def next_notification(self, told: Narrative, kind: str) -> Event:
        """The next notification, which must be of this kind."""
        event = await self.notifications.next(EVENT_SECONDS)
        told.holds_that("notification", event is not None, f"one of {kind}", f"none in {EVENT_SECONDS} s")
        assert event is not None
        self.received.append(event.body)
        told.holds("notified by subscription", event.body["kind"], kind)
        return event

    async def next_change(self, told: Narrative, to: str) -> None:
        """The next change of the autarky state, less than a second after its slot closed."""
        event = await self.changes.next(EVENT_SECONDS)
        told.holds_that("autarkyChanged", event is not None, f"one to {to}", f"none in {EVENT_SECONDS} s")
        assert event is not None
        told.holds("autarky changed to", event.body["to"], to)
        closed_at = datetime.fromisoformat(event.body["closedAt"]).timestamp()
        late_s = event.received_at - closed_at
        told.holds_that(
            "notified in time", late_s < NOTIFY_SECONDS, f"within {NOTIFY_SECONDS} s", f"{late_s:.3f} s"
        )
        told.line(
            "notified", f"{late_s * 1000:.0f} ms after the closing of the slot, wall time", "bold green"
        )


async def play(stage: Stage) -> None:
    """Plays the eleven steps; StepFailed where one does not hold."""
    told = stage.narrative
    told.title(TITLE)
    house, watch = await _step_1(stage)
    await _step_2(stage, house)
    start = await _step_3(stage, house)
    await _step_4(stage, house, start)
    await _step_5(stage, house, watch)
    generator = await _step_6(stage, house)
    await _step_7(stage, house)
    await _step_8(stage, house, watch)
    await _step_9(stage, house)
    await _step_10(stage, house, generator, watch)
    await _step_11(stage, house, watch)


async def _watch(stage: Stage, house: House) -> Watch:
    changes = house.people.subscribe(operations.AUTARKY_CHANGES, householdId=house.id)
    notifications = house.people.subscribe(operations.NOTIFICATIONS)
    return Watch(await stage.subscribe(changes), await stage.subscribe(notifications))


async def _step_1(stage: Stage) -> tuple[House, Watch]:
    told = stage.narrative
    with told.step(1, "A house with devices signs up, to become a producer."):
        told.asks(
            "registerHousehold, attachDevice x3, setAutarkyRule(windowSlots: 1), advanceClock to the morning"
        )
        house = await stage.register("Thomas & Albert", subscribed_power_w=9000)
        for name, power_w in (("base load", 400), ("fridge", 100), ("heating", 700)):
            await stage.attach(house, constant("APPLIANCE", name, power_w))
        await operations.set_autarky_rule(house.people, house.id, window_slots=1)
        await stage.advance_to_daylight()
        start = await stage.advance(2)
        told.answer(f"household {house.registered.uuid}, the clock shows {format_time(start + SLOT)}")
        await stage.check_slot(house, start, **NET_CONSUMPTION)
        told.holds("Wh in figures", house.home.entry(start).consumption_wh, LOAD_WH)
        watch = await _watch(stage, house)
        told.line("opens", "subscription autarkyChanged, subscription notifications")
        await stage.tell_facts()
    return house, watch


async def _step_2(stage: Stage, house: House) -> None:
    told = stage.narrative
    with told.step(2, "It gets panels and a battery."):
        told.asks("attachDevice(SOLAR, ratedPowerW: 600), attachDevice(BATTERY, capacityWh: 1000)")
        await stage.attach(
            house, panels("panels", 600, Weather(46.0, 3.0, seed=3)), tiltDeg=30, azimuthDeg=180
        )
        await stage.attach(house, Battery("battery", 1000, rated_power_w=1600, efficiency_permille=900))
        kinds = {each.name: each.kind for each in await operations.devices(house.people, house.id)}
        told.answer(", ".join(f"{name} {kind}" for name, kind in kinds.items()))
        told.holds("panels and battery", (kinds.get("panels"), kinds.get("battery")), ("SOLAR", "BATTERY"))
        await stage.tell_facts()


async def _step_3(stage: Stage, house: House) -> datetime:
    told = stage.narrative
    with told.step(3, "Net consumption falls, and is still positive."):
        told.asks("advanceClock by a slot, household { energy { nodes { gridImportWh } } }")
        start = await stage.advance(1)
        entry = await stage.check_slot(house, start, **NET_CONSUMPTION)
        told.holds("loads as before, in Wh", entry.consumption_wh, LOAD_WH)
        told.answer(f"{entry.grid_import_wh} Wh from the grid instead of {LOAD_WH} Wh")
        fell = 0 < entry.grid_import_wh < LOAD_WH
        told.holds_that("net consumption", fell, f"between 0 and {LOAD_WH} Wh", f"{entry.grid_import_wh} Wh")
        await stage.tell_facts()
    return start


async def _step_4(stage: Stage, house: House, start: datetime) -> None:
    told = stage.narrative
    with told.step(4, "Its production is visible, and not enough."):
        told.asks("household { energy { nodes { productionWh } } }")
        entry = await stage.check_slot(house, start, productionWh="production_wh")
        told.answer(f"{entry.production_wh} Wh produced, {entry.consumption_wh} Wh consumed")
        is_short = 0 < entry.production_wh < entry.consumption_wh
        told.holds_that("production", is_short, "above 0, below consumption", f"{entry.production_wh} Wh")


async def _step_5(stage: Stage, house: House, watch: Watch) -> None:
    told = stage.narrative
    with told.step(5, "No autarky, the battery is empty, and nobody was notified."):
        told.asks(
            "household { autarky { selfSufficiencyPercent } autarkyState battery { stockWh } }, notifications"
        )
        start = await stage.advance(1)
        await _check_self_sufficiency(stage, house, house.home.entry(start))
        await _check_status(stage, house, start, "NOT_REACHED")
        stock = await operations.battery(house.people, house.id)
        told.holds("battery stock in Wh", stock["stockWh"], 0)
        told.holds("notifications", await operations.notifications(house.people, house.id), watch.received)
        await stage.tell_facts()


async def _check_self_sufficiency(stage: Stage, house: House, entry: Entry) -> None:
    seen = await operations.self_sufficiency(house.people, house.id, entry.start, entry.start + SLOT)
    expected = Decimal(100 * entry.self_supplied_wh) / Decimal(entry.consumption_wh)
    is_close = seen.percent is not None and abs(seen.percent - expected) < Decimal("0.01")
    what = f"self-sufficiency of the slot {format_time(entry.start)}"
    stage.narrative.holds_that(what, is_close, f"{expected:.2f} %", f"{seen.percent} %")
    stage.narrative.line("holds", f"{what}: {seen.percent} %", "green")


async def _check_status(stage: Stage, house: House, start: datetime, expected: str) -> None:
    status = await operations.autarky_status(house.people, house.id, start)
    stage.narrative.holds("autarky state", status, expected)


async def _step_6(stage: Stage, house: House) -> Attached:
    told = stage.narrative
    with told.step(6, "It gets a second source."):
        told.asks("attachDevice(GENERATOR, ratedPowerW: 3000)")
        generator = await stage.attach(house, constant("GENERATOR", "generator", 3000))
        told.answer(f"{generator.name} {generator.uuid}")
        await stage.tell_facts()
    return generator


async def _step_7(stage: Stage, house: House) -> None:
    told = stage.narrative
    with told.step(7, "Production exceeds consumption."):
        told.asks("advanceClock by a slot, household { energy { nodes { productionWh consumptionWh } } }")
        start = await stage.advance(1)
        entry = await stage.check_slot(house, start, **BALANCE)
        told.answer(f"{entry.production_wh} Wh produced, {entry.consumption_wh} Wh consumed")
        exceeds = entry.production_wh >= GENERATOR_WH > entry.consumption_wh
        told.holds_that("production", exceeds, f"at least {GENERATOR_WH} Wh", f"{entry.production_wh} Wh")
        told.line("note", "one slot is not enough: the state changes when two in a row say so")
        await _check_status(stage, house, start, "NOT_REACHED")
        await stage.tell_facts()


async def _step_8(stage: Stage, house: House, watch: Watch) -> None:
    told = stage.narrative
    with told.step(8, "Autarky, and its people are notified by subscription."):
        told.asks("advanceClock by a slot; the subscriptions opened in step 1")
        start = await stage.advance(1)
        await watch.next_change(told, "REACHED")
        event = await watch.next_notification(told, "AUTARKY_REACHED")
        told.answer(f"{event.body['title']} (cause: {event.body['cause']['fact']})")
        await _check_status(stage, house, start, "REACHED")
        await stage.tell_facts()


async def _step_9(stage: Stage, house: House) -> None:
    told = stage.narrative
    with told.step(9, "The battery has stored the surplus."):
        told.asks("household { battery { stockWh ownWh } }")
        shown = await operations.battery(house.people, house.id)
        told.answer(f"{shown['stockWh']} of {shown['capacityWh']} Wh, {shown['ownWh']} Wh of it own")
        until = parse_time(shown["accountedAt"])
        went_in = sum(entry.charge_wh for entry in house.home.journal if entry.start < until)
        stored = went_in * 900 // 1000
        told.holds("stock in Wh, 90 % of what went in by the home's log", shown["stockWh"], stored)
        told.holds("own energy in Wh", shown["ownWh"], stored)
        told.holds_that("surplus", stored > 0, "above 0 Wh", f"{stored} Wh")


async def _step_10(stage: Stage, house: House, generator: Attached, watch: Watch) -> None:
    told = stage.narrative
    with told.step(10, "The second source is switched off by hand, and the battery carries the house."):
        await watch.notifications.drop()
        told.line("drop", "the connection of the subscription notifications is broken off")
        told.asks("switchDevice(generator, on: false), then advanceClock by two slots")
        await operations.switch_device(house.people, generator.id, False)
        obeyed = await house.box.wait_for_orders(1, EVENT_SECONDS)
        told.holds_that("the box has the order over MQTT", obeyed, "one order", f"none in {EVENT_SECONDS} s")
        taken = house.box.orders[-1]
        told.answer(f"the box obeys {taken.kind} {taken.power_w} W from {format_time(taken.begin)}")

        async def status() -> str | None:
            return await operations.last_order_status(house.people, generator.id)

        await stage.wait_for("order", status, "ACCEPTED")
        start = await stage.advance(2)
        entry = await stage.check_slot(
            house, start, batteryDischargeWh="discharge_wh", gridImportWh="grid_import_wh"
        )
        told.holds("generator in Wh", entry.device_wh["generator"], 0)
        told.holds("from the grid in Wh", entry.grid_import_wh, 0)
        told.holds_that("discharge", entry.discharge_wh > 0, "above 0 Wh", f"{entry.discharge_wh} Wh")
        await _check_status(stage, house, start, "REACHED")
        await stage.tell_facts()


async def _step_11(stage: Stage, house: House, watch: Watch) -> None:
    told = stage.narrative
    with told.step(11, "The battery is empty, autarky is lost, and its people are notified."):
        told.asks("advanceClock, slot by slot, until two slots in a row lack more than 6 %")
        start = await _until_lost(stage, house)
        stock = await operations.battery(house.people, house.id)
        told.holds("battery stock in Wh", stock["stockWh"], 0)
        await _check_self_sufficiency(stage, house, house.home.entry(start))
        await watch.next_change(told, "NOT_REACHED")
        await _check_status(stage, house, start, "NOT_REACHED")
        await _resume(stage, house, watch)
        await stage.tell_facts()


async def _until_lost(stage: Stage, house: House) -> datetime:
    for _ in range(MOST_SLOTS_ON_BATTERY):
        start = await stage.advance(1)
        before, now = (_lacks(house.home.entry(slot)) for slot in (start - SLOT, start))
        if before and now:
            return start
        if now:
            await _check_status(stage, house, start, "REACHED")
    stage.narrative.holds_that("battery", False, f"empty within {MOST_SLOTS_ON_BATTERY} slots", "not empty")
    return start


def _lacks(entry: Entry) -> bool:
    """Below the threshold of 99 % less 5 points."""
    return 100 * entry.self_supplied_wh < 94 * entry.consumption_wh


async def _resume(stage: Stage, house: House, watch: Watch) -> None:
    """What came while the connection was broken arrives after it, once; what came before does not again."""
    told = stage.narrative
    told.asks(f'subscription notifications(after: "{watch.notifications.last_position}")')
    await watch.notifications.open()
    event = await watch.next_notification(told, "AUTARKY_LOST")
    told.answer(event.body["title"])
    again = await watch.notifications.next(0.3)
    told.holds("notified twice", again, None)
    everything = await operations.notifications(house.people, house.id)
    positions = sorted(notification["position"] for notification in everything)
    received = sorted(notification["position"] for notification in watch.received)
    told.holds("notifications received, none missed and none twice", len(received), len(positions))
    told.holds_that("positions", received == positions, str(positions), str(received))
