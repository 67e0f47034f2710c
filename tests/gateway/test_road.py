"""The whole road through the door: readings in, the clock moved, figures, states and notifications out."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from deploy.grid import Grid
from tests.gateway.conftest import ATTACH, REGISTER

PROTOCOL: Any = "graphql-transport-ws"
RECORD = """mutation($input: RecordReadingsInput!) { recordReadings(input: $input) { __typename
    ... on RecordReadingsPayload { accepted sequence } ... on Refusal { message } } }"""
ADVANCE = """mutation($input: AdvanceClockInput!) { advanceClock(input: $input) { __typename
    ... on AdvanceClockPayload { position closedSlots elapsedMs clock { now lastClosedSlotStart target } }
    ... on Refusal { message } } }"""
RULE = "mutation($input: SetAutarkyRuleInput!) { setAutarkyRule(input: $input) { __typename } }"
CHANGED = """subscription($after: Position, $id: ID) { autarkyChanged(after: $after, householdId: $id) {
    position from to slotStart notify closedAt selfSufficiencyPercent household { name } } }"""


class Asker:
    """Somebody with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def ask(self, query: str, **variables: object) -> Any:
        """The data of an answer without errors."""
        answer = httpx.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60,
        ).json()
        assert "errors" not in answer, answer
        return answer["data"]

    @contextmanager
    def subscribe(self, query: str, **variables: object) -> Iterator[ClientConnection]:
        """An open socket with one subscription."""
        address = self.url.replace("http", "ws") + "/graphql"
        with connect(address, subprotocols=[PROTOCOL]) as socket:
            words = {"Authorization": f"Bearer {self.token}"}
            socket.send(json.dumps({"type": "connection_init", "payload": words}))
            assert json.loads(socket.recv(timeout=5))["type"] == "connection_ack"
            payload = {"query": query, "variables": variables}
            socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            time.sleep(0.2)  # what comes from here on is pushed
            yield socket


def next_event(socket: ClientConnection, within: float = 5.0) -> Any:
    """The data of the next push; TimeoutError when there is none in time."""
    payload = json.loads(socket.recv(timeout=within))["payload"]
    assert "errors" not in payload, payload
    return payload["data"]


@pytest.fixture(scope="module")
def operator(grid: Grid) -> Asker:
    return Asker(grid.url, grid.tokens["operator"])


class Home(Asker):
    """A household with panels and one appliance, judged slot by slot."""

    def __init__(self, operator: Asker, latitude: str) -> None:
        house = {"name": f"Home {latitude}", "latitude": latitude, "longitude": "2.0"}
        signed_up = operator.ask(REGISTER, input=house)["registerHousehold"]
        super().__init__(operator.url, signed_up["token"])
        self.id, self.uuid = signed_up["householdId"], signed_up["household"]["uuid"]
        self.appliance = self._attach("APPLIANCE", "load")
        self.panels = self._attach("GENERATOR", "second source")
        own = {"householdId": self.id, "windowSlots": 1, "dwellSlots": 1}
        self.ask(RULE, input=own)

    def _attach(self, kind: str, name: str) -> str:
        device = {"householdId": self.id, "kind": kind, "name": name}
        attached = self.ask(ATTACH, input=device)["attachDevice"]
        found: str = attached["device"]["id"]
        return found

    def record(self, slot: datetime, consumption: list[int], production: list[int]) -> Any:
        """Readings of slots that follow one another."""
        devices = [
            {"deviceId": self.appliance, "consumptionWh": consumption},
            {"deviceId": self.panels, "productionWh": production},
        ]
        reading = {"from": slot.isoformat(), "slots": len(consumption), "devices": devices}
        return self.ask(RECORD, input={"householdId": self.id, "readings": [reading]})["recordReadings"]


def _now(operator: Asker) -> datetime:
    return datetime.fromisoformat(operator.ask("{ clock { now } }")["clock"]["now"])


def _advance(operator: Asker, slots: int) -> Any:
    to = _now(operator) + timedelta(minutes=15 * slots)
    return operator.ask(ADVANCE, input={"to": to.isoformat()})["advanceClock"]


@pytest.fixture(scope="module")
def home(operator: Asker) -> Home:
    return Home(operator, "46.5")


def _play(operator: Asker, home: Home, slots: list[tuple[int, int]]) -> None:
    """Slot by slot: the readings (consumption, production), then the clock."""
    for consumption, production in slots:
        kept = home.record(_now(operator), [consumption], [production])
        assert (kept["__typename"], kept["accepted"]) == ("RecordReadingsPayload", 1)
        advanced = _advance(operator, 1)
        assert (advanced["closedSlots"], advanced["clock"]["target"]) == (1, None)


def test_readings_become_figures_when_the_clock_has_moved(operator: Asker, home: Home) -> None:
    begins = _now(operator)
    _play(operator, home, [(100, 50), (200, 300), (300, 0), (400, 400)])
    assert _now(operator) == begins + timedelta(hours=1)
    query = """query($from: DateTime!) { household {
        energy(from: $from) {
            nodes { consumptionWh gridImportWh gridExportWh coveragePercent closed }
            total { consumptionWh untrackedWh } devices { device { name } energyWh sharePercent } }
        flows(from: $from) { total { pvToLoadWh pvToGridWh gridToLoadWh } }
        autarky(from: $from) { selfSufficiencyPercent { value coveragePercent reason }
            selfConsumptionPercent { value } coverageRatioPercent { value }
            missingWh missingHours { wh } } } }"""
    seen = home.ask(query, **{"from": begins.isoformat()})["household"]
    assert [node["consumptionWh"] for node in seen["energy"]["nodes"]] == [100, 200, 300, 400]
    assert [node["gridImportWh"] for node in seen["energy"]["nodes"]] == [50, 0, 300, 0]
    assert [node["gridExportWh"] for node in seen["energy"]["nodes"]] == [0, 100, 0, 0]
    assert all(node["closed"] and node["coveragePercent"] == "100.00" for node in seen["energy"]["nodes"])
    assert seen["energy"]["total"] == {"consumptionWh": 1000, "untrackedWh": 0}
    assert seen["energy"]["devices"] == [
        {"device": {"name": "load"}, "energyWh": 1000, "sharePercent": "100.00"}
    ]
    assert seen["flows"]["total"] == {"pvToLoadWh": 650, "pvToGridWh": 100, "gridToLoadWh": 350}
    # 650 of 1000 Wh were its own, 100 of 750 Wh left the house.
    sufficiency = {"value": "65.00", "coveragePercent": "100.00", "reason": None}
    assert seen["autarky"]["selfSufficiencyPercent"] == sufficiency
    assert seen["autarky"]["selfConsumptionPercent"] == {"value": "86.67"}
    assert seen["autarky"]["coverageRatioPercent"] == {"value": "75.00"}
    assert seen["autarky"]["missingWh"] == 340
    assert sum(hour["wh"] for hour in seen["autarky"]["missingHours"]) == 350


def _received(socket: ClientConnection) -> tuple[Any, datetime]:
    """The next change, and the wall time it came."""
    return next_event(socket, within=10)["autarkyChanged"], datetime.now(UTC)


def test_a_change_is_pushed_within_a_second_of_the_closing(operator: Asker, home: Home) -> None:
    _play(operator, home, [(100, 0)])
    notified = "subscription { notifications { position kind title text cause { fact by } } }"
    with (
        home.subscribe(CHANGED) as changes,
        home.subscribe(notified) as told,
        operator.subscribe("subscription { slotClosed { slotStart missingPartitions } }") as closed,
        ThreadPoolExecutor(1) as listener,
    ):
        events = []
        for production in (500, 0):
            pushed = listener.submit(_received, changes)
            _play(operator, home, [(100, production)])
            event, received_at = pushed.result(10)
            events.append((event["from"], event["to"], event["notify"], event["household"]))
            assert received_at - datetime.fromisoformat(event["closedAt"]) < timedelta(seconds=1)
        texts = [next_event(told)["notifications"] for _ in range(2)]
        slots = [next_event(closed)["slotClosed"] for _ in range(2)]
    name = {"name": "Home 46.5"}
    assert events == [("NOT_REACHED", "REACHED", True, name), ("REACHED", "NOT_REACHED", True, name)]
    assert [text["kind"] for text in texts] == ["AUTARKY_REACHED", "AUTARKY_LOST"]
    assert {text["cause"]["fact"] for text in texts} == {"AutarkyChanged"}
    assert texts[0]["title"] == "Your home feeds itself"
    assert [slot["missingPartitions"] for slot in slots] == [[], []]


def test_a_dropped_subscription_resumes_with_none_missed_and_none_twice(operator: Asker, home: Home) -> None:
    _play(operator, home, [(100, 0)])
    with home.subscribe(CHANGED) as changes:
        _play(operator, home, [(100, 500)])
        first = next_event(changes)["autarkyChanged"]
    _play(operator, home, [(100, 0), (100, 500)])
    with home.subscribe(CHANGED, after=first["position"]) as changes:
        missed = [next_event(changes)["autarkyChanged"]["to"] for _ in range(2)]
        _play(operator, home, [(100, 0)])
        missed.append(next_event(changes)["autarkyChanged"]["to"])
        with pytest.raises(TimeoutError):
            next_event(changes, within=1.5)
    assert missed == ["NOT_REACHED", "REACHED", "NOT_REACHED"]


def test_a_foreign_subject_is_silent(operator: Asker, home: Home) -> None:
    stranger = Home(operator, "47.5")
    _play(operator, home, [(100, 0)])
    with (
        stranger.subscribe(CHANGED) as own,
        stranger.subscribe(CHANGED, id=home.id) as foreign,
        home.subscribe(CHANGED) as changes,
    ):
        _play(operator, home, [(100, 500)])
        assert next_event(changes)["autarkyChanged"]["to"] == "REACHED"
        for silent in (own, foreign):
            with pytest.raises(TimeoutError):
                next_event(silent, within=1.2)
    assert stranger.ask("{ notifications { totalCount } }") == {"notifications": {"totalCount": 0}}


def test_what_was_read_is_no_longer_unread(home: Home) -> None:
    query = """query($after: String) { notifications(first: 2, after: $after, unreadOnly: true) {
        totalCount nodes { id position kind read } pageInfo { hasNextPage endCursor } } }"""
    page = home.ask(query)["notifications"]
    assert page["totalCount"] >= 3
    assert len(page["nodes"]) == 2
    following = home.ask(query, after=page["pageInfo"]["endCursor"])["notifications"]["nodes"]
    assert not {node["id"] for node in following} & {node["id"] for node in page["nodes"]}
    assert home.ask("query($id: ID!) { node(id: $id) { id } }", id=following[0]["id"])["node"]
    mark = """mutation($input: MarkReadInput!) { markRead(input: $input) { __typename
        ... on MarkReadPayload { unreadCount } } }"""
    read = {"householdId": home.id, "upTo": following[0]["position"]}
    assert home.ask(mark, input=read)["markRead"] == {"__typename": "MarkReadPayload", "unreadCount": 2}
    assert home.ask(query)["notifications"]["totalCount"] == 2


def test_figures_are_told_as_they_were_known(operator: Asker, home: Home) -> None:
    slot = _now(operator)
    _play(operator, home, [(100, 0)])
    known_at = datetime.now(UTC)
    home.record(slot, [900], [300])
    query = """query($from: DateTime!, $to: DateTime!, $then: DateTime) { household {
        energy(from: $from, to: $to, asOf: $then) {
            total { consumptionWh productionWh gridImportWh coveragePercent } devices { energyWh } } } }"""
    window = {"from": slot.isoformat(), "to": (slot + timedelta(minutes=15)).isoformat()}

    def figures(then: datetime | None) -> tuple[int, int, int, int]:
        known = None if then is None else then.isoformat()
        energy = home.ask(query, **window, then=known)["household"]["energy"]
        total = energy["total"]
        assert total["coveragePercent"] == "100.00"
        consumed = (total["consumptionWh"], energy["devices"][0]["energyWh"])
        return (*consumed, total["productionWh"], total["gridImportWh"])

    deadline = time.monotonic() + 10
    while figures(None) != (900, 900, 300, 600):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert figures(known_at) == (100, 100, 0, 100)
    assert figures(datetime.now(UTC)) == (900, 900, 300, 600)


def test_the_clock_is_moved_by_one_at_a_time_and_never_back(operator: Asker) -> None:
    back = operator.ask(ADVANCE, input={"to": (_now(operator) - timedelta(hours=1)).isoformat()})
    assert back["advanceClock"]["__typename"] == "ClockNotMovable"
    between = operator.ask(ADVANCE, input={"to": (_now(operator) + timedelta(minutes=7)).isoformat()})
    assert between["advanceClock"]["__typename"] == "InvalidInput"


def test_a_day_is_advanced_in_one_stride(operator: Asker) -> None:
    to = _now(operator) + timedelta(days=1)
    answer = operator.ask(ADVANCE, input={"to": to.isoformat(), "stride": "DAY"})["advanceClock"]
    assert answer["closedSlots"] == 96
    assert datetime.fromisoformat(answer["clock"]["now"]) == to


def test_readings_that_do_not_fit_are_named_or_kept_aside(operator: Asker, home: Home) -> None:
    slot = _now(operator).isoformat()

    def record(**reading: object) -> Any:
        sent = {"householdId": home.id, "readings": [reading]}
        return home.ask(RECORD, input=sent)["recordReadings"]

    device = {"deviceId": home.appliance, "consumptionWh": [1, 2]}
    assert record(slot=slot, devices=[device])["message"] == "consumptionWh: 2 values for 1 slots"
    assert record(slots=2, devices=[device])["__typename"] == "InvalidInput"
    unknown = {
        "deviceId": "RGV2aWNlOjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMA==",
        "consumptionWh": [1],
    }
    assert record(slot=slot, devices=[unknown])["accepted"] == 1
    query = """{ keptAside(reason: UNKNOWN_DEVICE) { totalCount counts { reason count }
        nodes { reason raw deviceUuid household { name } device { name } } } }"""
    deadline = time.monotonic() + 10
    while not (found := home.ask(query)["keptAside"])["totalCount"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert found["counts"] == [{"reason": "UNKNOWN_DEVICE", "count": 1}]
    assert found["nodes"][0]["deviceUuid"] == "00000000-0000-4000-8000-000000000000"
    assert found["nodes"][0]["household"] == {"name": "Home 46.5"}
    assert found["nodes"][0]["device"] is None


def test_the_control_room_sees_the_grid(operator: Asker, home: Home) -> None:
    query = """{ grid { householdCount communityCount deviceCount energy(last: 1) { total { start } } }
        gridNow { slotStart households reporting lastClosed { start } } }"""
    seen = operator.ask(query)
    assert seen["grid"]["householdCount"] >= 1
    assert seen["grid"]["deviceCount"] >= 2
    assert seen["gridNow"]["slotStart"] == seen["gridNow"]["lastClosed"]["start"]
    assert home.ask(query) == {"grid": None, "gridNow": None}
