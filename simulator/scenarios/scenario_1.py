"""Scenario 1, steps 1 to 3: a house signs up, gets an id, and its people see what they consume."""

from simulator import operations
from simulator.devices import constant
from simulator.scenarios.stage import House, Stage
from simulator.slots import SLOT, format_time

TITLE = "Scenario 1. Sign up, a schedulable device, production follows consumption"
BASE_LOAD_WH = 100  # 400 W for 15 minutes
FRIDGE_WH = 20  # 80 W


async def play(stage: Stage) -> None:
    """Plays the steps; StepFailed where one does not hold."""
    told = stage.narrative
    told.title(TITLE)
    with told.step(1, "A house signs up."):
        told.asks('registerHousehold(name: "Pierre & Marie"), attachDevice x2')
        house = await stage.register("Pierre & Marie", way="NATS")
        await stage.attach(house, constant("APPLIANCE", "base load", 400))
        await stage.attach(house, constant("APPLIANCE", "fridge", 80))
        told.answer(f"in area {house.registered.area}, a community of {house.registered.community_members}")
        await stage.tell_facts()
    with told.step(2, "It gets an id."):
        told.asks("household { id uuid name } with the token that signing up answered")
        found = await operations.household(house.people, None)
        told.answer(f"{found['name']}: {found['uuid']}" if found else "no household")
        told.holds("the token's own household", found and found["id"], house.id)
    with told.step(3, "Its people see their consumption, by query and on the box at home."):
        await _by_query(stage, house)
        await _on_the_box(stage, house)
        await stage.tell_facts()
    told.line("note", "Steps 4 to 12 (suppliers, plans, balance, invoices) come with the next piece of work.")


async def _by_query(stage: Stage, house: House) -> None:
    told = stage.narrative
    told.asks("advanceClock by two slots, then household { energy { nodes { consumptionWh } } }")
    last = await stage.advance(2)
    for start in (last - SLOT, last):
        await stage.check_slot(house, start, consumptionWh="consumption_wh", gridImportWh="grid_import_wh")
    told.holds("and in figures", house.home.entry(last).consumption_wh, BASE_LOAD_WH + FRIDGE_WH)
    series = await operations.device_energy(house.people, house.id, last, last + SLOT, "QUARTER_HOUR")
    by_device = {name: nodes[0]["consumptionWh"] for name, nodes in series.items()}
    told.holds("Wh by device", by_device, {"base load": BASE_LOAD_WH, "fridge": FRIDGE_WH})


async def _on_the_box(stage: Stage, house: House) -> None:
    """The box is cut off from the platform, which for a home is the platform stopped."""
    told = stage.narrative
    await house.box.cut_off()
    told.line("box", "cut off from the platform; one slot passes")
    start = await stage.advance(1)
    told.answer(house.box.consumption_table(start - SLOT, start + SLOT))
    shown = house.box.consumption(start, start + SLOT).get(start)
    told.holds("Wh on the box", shown, {"base load": BASE_LOAD_WH, "fridge": FRIDGE_WH})
    seen = await operations.slot_energy(house.people, house.id, start)
    told.holds(
        f"the platform knows nothing of {format_time(start)} yet, not 0 Wh", seen["consumptionWh"], None
    )
    await house.box.connect()

    async def by_query() -> int | None:
        energy = await operations.slot_energy(house.people, house.id, start)
        wh: int | None = energy["consumptionWh"]
        return wh

    told.line("box", "back again: it sends what it could not send")
    await stage.wait_for("the late slot by query, in Wh", by_query, BASE_LOAD_WH + FRIDGE_WH)
