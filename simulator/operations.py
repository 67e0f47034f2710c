"""Every question and request the simulator puts to the grid, and where in the answer its figures stand.

A field that gets another name in the schema changes here and nowhere else in the simulator.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from gql import GraphQLRequest, gql

from simulator.client import Answer, GridClient
from simulator.slots import SLOT, format_time, parse_time


def _mutation(name: str, payload: str, type_: str = "") -> GraphQLRequest:
    """A mutation that asks for these fields of its payload, and for every refusal's code and message."""
    input_ = name[0].upper() + name[1:]
    type_ = type_ or f"{input_}Payload"
    refusal = "... on Refusal { __typename code message }"
    return gql(
        f"mutation($input: {input_}Input!) {{ {name}(input: $input) {{"
        f" ... on {type_} {{ position {payload} }} {refusal} }} }}"
    )


_CLOCK = gql("query { clock { now simulated firstSlotStart lastClosedSlotStart } }")
_REGISTER = _mutation("registerHousehold", "householdId token deviceToken")
_ATTACH = _mutation("attachDevice", "device { id uuid name kind since }", "DevicePayload")
_SWITCH = _mutation("switchDevice", "order { on status }")
_SET_RULE = _mutation("setAutarkyRule", "")
_ADVANCE = _mutation("advanceClock", "clock { now } closedSlots elapsedMs")
_RECORD = gql(
    """mutation($input: RecordReadingsInput!) { recordReadings(input: $input) {
      ... on RecordReadingsPayload { position: sequence accepted }
      ... on Refusal { __typename code message } } }"""
)
_HOUSEHOLD = gql(
    """query($id: ID, $after: Position) { household(id: $id, after: $after) { id uuid name area
      community { id memberCount } devices { id uuid name kind since } } }"""
)
_ENERGY = gql(
    """query($id: ID, $from: DateTime!, $to: DateTime!, $resolution: Resolution!, $after: Position) {
      household(id: $id, after: $after) {
        energy(from: $from, to: $to, resolution: $resolution) { nodes {
          start end consumptionWh productionWh gridImportWh gridExportWh
          batteryChargeWh batteryDischargeWh untrackedWh coveragePercent closed } } } }"""
)
_DEVICES_ENERGY = gql(
    """query($id: ID, $from: DateTime!, $to: DateTime!, $resolution: Resolution!) {
      household(id: $id) { devices { id name kind
        energy(from: $from, to: $to, resolution: $resolution) { nodes {
          start consumptionWh productionWh } } } } }"""
)
_AUTARKY = gql(
    """query($id: ID, $from: DateTime!, $to: DateTime!) { household(id: $id) {
      autarky(from: $from, to: $to) { selfSufficiencyPercent { value coveragePercent reason } }
      autarkyState { status since } } }"""
)
_BATTERY = gql("query($id: ID) { household(id: $id) { battery { stockWh ownWh capacityWh accountedAt } } }")
_LAST_ORDER = gql("query($id: ID!) { node(id: $id) { ... on Device { lastOrder { on status reason } } } }")
_NOTIFICATIONS = gql(
    """query($id: ID) { notifications(first: 100, householdId: $id) {
      nodes { position kind title } } }"""
)
_FACTS = gql(
    """query($after: Position, $correlation: String, $household: ID) {
      facts(first: 100, after: $after, correlationId: $correlation, householdId: $household) {
        nodes { position name key correlation } } }"""
)
NOTIFICATIONS = gql(
    """subscription($after: Position) { notifications(after: $after) {
      position kind title cause { fact by } } }"""
)
AUTARKY_CHANGES = gql(
    """subscription($householdId: ID, $after: Position) {
      autarkyChanged(householdId: $householdId, after: $after) {
        position from to slotStart closedAt selfSufficiencyPercent } }"""
)


@dataclass(frozen=True)
class Clock:
    """The grid's time."""

    now: datetime
    simulated: bool
    closed_until: datetime


@dataclass(frozen=True)
class Registered:
    """A household that signed up: its ids, its route, and what its people and its box log in with."""

    id: str
    uuid: str
    area: str
    token: str
    device_token: str
    position: str
    community_members: int


@dataclass(frozen=True)
class Attached:
    """A device of a household: its id in GraphQL, the one on the wire, and from when on it is measured."""

    id: str
    uuid: str
    name: str
    kind: str
    since: datetime


async def clock(client: GridClient) -> Clock:
    """Where the grid's clock stands."""
    shown = (await client.ask(_CLOCK))["clock"]
    last, first = shown["lastClosedSlotStart"], parse_time(shown["firstSlotStart"])
    return Clock(parse_time(shown["now"]), shown["simulated"], parse_time(last) + SLOT if last else first)


async def register_household(
    client: GridClient, name: str, address: str, place: tuple[float, float], subscribed_power_w: int
) -> Registered:
    """Signs a household up at a place given as latitude and longitude in degrees. Refused."""
    payload = await client.tell(
        _REGISTER,
        name=name,
        address=address,
        latitude=f"{place[0]:.6f}",
        longitude=f"{place[1]:.6f}",
        subscribedPowerW=subscribed_power_w,
    )
    found = await client.ask(_HOUSEHOLD, id=payload["householdId"], after=payload["position"])
    household = found["household"]
    return Registered(
        id=household["id"],
        uuid=household["uuid"],
        area=household["area"],
        token=payload["token"],
        device_token=payload["deviceToken"],
        position=payload["position"],
        community_members=(household["community"] or {}).get("memberCount", 0),
    )


async def attach_device(client: GridClient, household_id: str, kind: str, name: str, **more: Any) -> Attached:
    """Attaches a device; `more` are further fields of the mutation's input. Refused."""
    payload = await client.tell(_ATTACH, householdId=household_id, kind=kind, name=name, **more)
    return _attached(payload["device"])


def _attached(device: Answer) -> Attached:
    since = parse_time(device["since"])
    return Attached(device["id"], device["uuid"], device["name"], device["kind"], since)


async def devices(client: GridClient, household_id: str | None) -> list[Attached]:
    """The devices attached to a household; None is the token's own. An unknown household has none."""
    household = (await client.ask(_HOUSEHOLD, id=household_id))["household"]
    return [_attached(device) for device in household["devices"]] if household else []


async def household(client: GridClient, household_id: str | None) -> Answer | None:
    """id, uuid, name and area of a household; None where the token sees no such household."""
    found: Answer | None = (await client.ask(_HOUSEHOLD, id=household_id))["household"]
    return found


async def switch_device(client: GridClient, device_id: str, is_on: bool) -> Answer:
    """Switches a device by hand; answers the order's `on` and `status`. Refused."""
    order: Answer = (await client.tell(_SWITCH, deviceId=device_id, on=is_on))["order"]
    return order


async def last_order_status(client: GridClient, device_id: str) -> str | None:
    """PENDING, ACCEPTED, REFUSED or EXPIRED; None where nothing was ordered."""
    order = (await client.ask(_LAST_ORDER, id=device_id))["node"]["lastOrder"]
    return order["status"] if order else None


async def set_autarky_rule(client: GridClient, household_id: str, window_slots: int) -> None:
    """Judges a household over a window of so many slots, the rest as by default. Refused."""
    await client.tell(
        _SET_RULE,
        householdId=household_id,
        windowSlots=window_slots,
        thresholdPercent="99",
        hysteresisPoints="5",
        dwellSlots=2,
        minimumCoveragePercent="90",
    )


async def advance_clock(client: GridClient, to: datetime, stride: str = "SLOT") -> datetime:
    """Moves the simulated clock; answers where it stands then. Refused."""
    payload = await client.tell(_ADVANCE, to=format_time(to), stride=stride)
    return parse_time(payload["clock"]["now"])


async def record_readings(client: GridClient, household_id: str, reading: Answer) -> None:
    """Sends one message of readings, in the form of the wire, by the mutation. Refused."""
    devices = [{"deviceId": device, **series} for device, series in reading["devices"].items()]
    await client.tell(_RECORD, householdId=household_id, readings=[{**reading, "devices": devices}])


def _period(begin: datetime, end: datetime) -> dict[str, str]:
    return {"from": format_time(begin), "to": format_time(end)}


async def energy(
    client: GridClient, household_id: str | None, begin: datetime, end: datetime, resolution: str
) -> list[Answer]:
    """The household's energy as the grid tells it: consumptionWh and so on, null where unknown."""
    answer = await client.ask(_ENERGY, id=household_id, **_period(begin, end), resolution=resolution)
    nodes: list[Answer] = answer["household"]["energy"]["nodes"]
    return nodes


async def slot_energy(client: GridClient, household_id: str | None, start: datetime) -> Answer:
    """The household's energy in one slot."""
    return (await energy(client, household_id, start, start + SLOT, "QUARTER_HOUR"))[0]


async def device_energy(
    client: GridClient, household_id: str | None, begin: datetime, end: datetime, resolution: str
) -> dict[str, list[Answer]]:
    """Each device's own series by the device's name: start, consumptionWh, productionWh."""
    answer = await client.ask(_DEVICES_ENERGY, id=household_id, **_period(begin, end), resolution=resolution)
    return {device["name"]: device["energy"]["nodes"] for device in answer["household"]["devices"]}


@dataclass(frozen=True)
class SelfSufficiency:
    """Percent with its coverage; None with the reason where it is undefined."""

    percent: Decimal | None
    coverage_percent: Decimal
    reason: str | None


async def self_sufficiency(
    client: GridClient, household_id: str | None, begin: datetime, end: datetime
) -> SelfSufficiency:
    """The household's self-sufficiency over [begin, end)."""
    answer = await client.ask(_AUTARKY, id=household_id, **_period(begin, end))
    figure = answer["household"]["autarky"]["selfSufficiencyPercent"]
    value = None if figure["value"] is None else Decimal(figure["value"])
    return SelfSufficiency(value, Decimal(figure["coveragePercent"]), figure["reason"])


async def autarky_status(client: GridClient, household_id: str | None, slot: datetime) -> str:
    """REACHED, NOT_REACHED or UNKNOWN as it stands now."""
    answer = await client.ask(_AUTARKY, id=household_id, **_period(slot, slot + SLOT))
    status: str = answer["household"]["autarkyState"]["status"]
    return status


async def battery(client: GridClient, household_id: str | None) -> Answer:
    """stockWh, ownWh and capacityWh of the household's batteries together, as they were at accountedAt."""
    shown: Answer = (await client.ask(_BATTERY, id=household_id))["household"]["battery"]
    return shown


async def notifications(client: GridClient, household_id: str | None) -> list[Answer]:
    """position, kind and title of the last hundred notifications."""
    nodes: list[Answer] = (await client.ask(_NOTIFICATIONS, id=household_id))["notifications"]["nodes"]
    return nodes


async def facts(
    client: GridClient,
    *,
    after: str | None = None,
    correlation: str | None = None,
    household: str | None = None,
) -> list[Answer]:
    """position, name, key and correlation of at most 100 facts in the log, in order."""
    answer = await client.ask(_FACTS, after=after, correlation=correlation, household=household)
    nodes: list[Answer] = answer["facts"]["nodes"]
    return nodes
