"""Signing up, devices, consent, communities: the mutation, its receipt, and what is seen afterwards."""

from base64 import b64encode
from typing import Any
from uuid import uuid4

import pytest

from tests.gateway.conftest import ATTACH, REGISTER, Neighbourhood

OWN = "{ me { role household { id } } household { id name devices { name } } }"


def _global_id(kind: str, raw: object) -> str:
    return b64encode(f"{kind}:{raw}".encode()).decode()


def _mutate(
    around: Neighbourhood, name: str, kind: str, token: str | None = None, /, **values: object
) -> Any:
    query = f"""mutation($input: {kind}) {{ {name}(input: $input) {{ __typename
        ... on Refusal {{ message code }} }} }}"""
    return around.data(query, token=token, input=values)[name]


def test_signing_up_answers_the_household_with_its_tokens(neighbourhood: Neighbourhood) -> None:
    signed_up = neighbourhood.register("Rosa")
    seen = neighbourhood.data(OWN, token=signed_up["token"])
    assert seen["household"] == {"id": signed_up["householdId"], "name": "Rosa", "devices": []}
    assert seen["me"] == {"role": "household", "household": {"id": signed_up["householdId"]}}


def test_a_repeated_key_answers_the_first_answer(neighbourhood: Neighbourhood) -> None:
    house = {"name": "Twice", "latitude": "47.1", "longitude": "1.1", "idempotencyKey": str(uuid4())}
    answers = [neighbourhood.data(REGISTER, input=house)["registerHousehold"] for _ in range(2)]
    assert answers[0]["householdId"] == answers[1]["householdId"]
    assert answers[0]["position"] == answers[1]["position"]
    other = neighbourhood.data(REGISTER, input={**house, "name": "Other"})["registerHousehold"]
    assert other["__typename"] == "KeyReused"


def test_a_household_acts_for_itself_alone(neighbourhood: Neighbourhood) -> None:
    one, other = neighbourhood.register("One"), neighbourhood.register("Other")
    for wanted in (other["householdId"], _global_id("Household", uuid4()), _global_id("Device", uuid4())):
        device = {"householdId": wanted, "kind": "METER", "name": "meter"}
        answer = neighbourhood.data(ATTACH, token=one["token"], input=device)["attachDevice"]
        assert answer == {"__typename": "HouseholdUnknown", "message": "there is no such household"}


def test_a_device_is_attached_switched_and_detached(neighbourhood: Neighbourhood) -> None:
    household = neighbourhood.register("Devices")
    device = neighbourhood.attach(household, "APPLIANCE", "boiler", ratedPowerW=2000, flexibility="SHIFTABLE")
    switch = """mutation($input: SwitchDeviceInput!) { switchDevice(input: $input) { __typename
        ... on SwitchDevicePayload { position device { on lastOrder { id } } order { id on status } } } }"""
    answer = neighbourhood.data(
        switch, token=household["token"], input={"deviceId": device["id"], "on": False}
    )["switchDevice"]
    order = {"id": answer["position"], "on": False, "status": "PENDING"}
    assert answer["order"] == order
    assert answer["device"] == {"on": None, "lastOrder": {"id": order["id"]}}
    detached = _mutate(neighbourhood, "detachDevice", "DetachDeviceInput!", deviceId=device["id"])
    assert detached["__typename"] == "DevicePayload"
    again = _mutate(
        neighbourhood, "detachDevice", "DetachDeviceInput!", household["token"], deviceId=device["id"]
    )
    assert again["__typename"] == "DeviceUnknown"
    query = """query($id: ID!) { household(id: $id) { devices { name }
        all: devices(includeDetached: true) { name kind until ratedPowerW flexibility } } }"""
    seen = neighbourhood.data(query, id=household["householdId"])["household"]
    assert seen["devices"] == []
    assert [(found["name"], found["until"] is None) for found in seen["all"]] == [("boiler", False)]


def test_a_foreign_device_is_as_unknown_as_none(neighbourhood: Neighbourhood) -> None:
    one, other = neighbourhood.register("One"), neighbourhood.register("Other")
    device = neighbourhood.attach(other, "APPLIANCE", "boiler")
    answers = [
        _mutate(neighbourhood, "switchDevice", "SwitchDeviceInput!", one["token"], deviceId=wanted, on=True)
        for wanted in (device["id"], _global_id("Device", uuid4()), one["householdId"])
    ]
    assert answers[0]["__typename"] == "DeviceUnknown"
    assert answers == [answers[0]] * 3


def test_neighbours_share_a_community_and_see_its_count_not_its_members(neighbourhood: Neighbourhood) -> None:
    one, other = (neighbourhood.register(name, 43.6, 1.44) for name in ("One", "Other"))
    assert one["household"]["community"]["id"] == other["household"]["community"]["id"]
    query = """query($id: ID!) { community(id: $id) { memberCount
        members { totalCount nodes { name } } autarkyState { status since } } }"""
    community = one["household"]["community"]["id"]
    own = neighbourhood.data(query, token=one["token"], id=community)["community"]
    assert own["members"] == {"totalCount": 2, "nodes": [{"name": "One"}]}
    assert own["autarkyState"] == {"status": "UNKNOWN", "since": None}
    everybody = neighbourhood.data(query, id=community)["community"]["members"]
    assert [member["name"] for member in everybody["nodes"]] == ["One", "Other"]
    far = neighbourhood.register("Far", 50.6, 3.06)
    for wanted in (far["household"]["community"]["id"], _global_id("Community", uuid4())):
        assert neighbourhood.data(query, token=one["token"], id=wanted) == {"community": None}
        moved = {"householdId": one["householdId"], "communityId": wanted}
        answer = _mutate(neighbourhood, "joinCommunity", "JoinCommunityInput!", one["token"], **moved)
        assert answer["__typename"] == "CommunityUnknown"
    left = _mutate(
        neighbourhood, "leaveCommunity", "LeaveCommunityInput!", one["token"], householdId=one["householdId"]
    )
    assert left["__typename"] == "HouseholdPayload"
    assert neighbourhood.data(query, token=one["token"], id=community) == {"community": None}


def test_consent_and_rule_are_what_was_set(neighbourhood: Neighbourhood) -> None:
    household = neighbourhood.register("Settings")
    own = {"householdId": household["householdId"]}
    given = {**own, "purpose": "SALE", "granularity": "HOURLY"}
    _mutate(neighbourhood, "setConsent", "SetConsentInput!", household["token"], **given)
    rule = {**own, "windowSlots": 1, "thresholdPercent": "95.5"}
    answer = _mutate(neighbourhood, "setAutarkyRule", "SetAutarkyRuleInput!", household["token"], **rule)
    assert answer["__typename"] == "SetAutarkyRulePayload"
    query = """{ household { consents { purpose granularity version }
        autarkyRule { windowSlots thresholdPercent hysteresisPoints } } }"""
    seen = neighbourhood.data(query, token=household["token"])["household"]
    assert seen["consents"] == [{"purpose": "SALE", "granularity": "HOURLY", "version": 1}]
    assert seen["autarkyRule"] == {"windowSlots": 1, "thresholdPercent": "95.5", "hysteresisPoints": "5"}
    community = {"communityId": household["household"]["community"]["id"]}
    refused = _mutate(
        neighbourhood, "setAutarkyRule", "SetAutarkyRuleInput!", household["token"], **community
    )
    assert refused["__typename"] == "NotPermitted"


@pytest.mark.parametrize(
    ("name", "kind", "values", "word"),
    [
        (
            "registerHousehold",
            "RegisterHouseholdInput!",
            {"name": "", "latitude": "1", "longitude": "1"},
            "name",
        ),
        (
            "registerHousehold",
            "RegisterHouseholdInput!",
            {"name": "x", "latitude": "91", "longitude": "1"},
            "latitude",
        ),
        ("setAutarkyRule", "SetAutarkyRuleInput!", {}, "exactly one"),
    ],
)
def test_a_value_out_of_range_is_named(
    neighbourhood: Neighbourhood, name: str, kind: str, values: dict[str, object], word: str
) -> None:
    answer = _mutate(neighbourhood, name, kind, **values)
    assert answer["__typename"] == "InvalidInput"
    assert word in answer["message"]


def test_pages_have_everybody_once(neighbourhood: Neighbourhood) -> None:
    names = [f"Page {n}" for n in range(5)]
    signed_up = [neighbourhood.register(name, 44.8, -0.57) for name in names]
    community = signed_up[0]["household"]["community"]["id"]
    query = """query($after: String, $community: ID) {
        households(first: 2, after: $after, communityId: $community) {
            totalCount pageInfo { hasNextPage hasPreviousPage endCursor } edges { node { name } } } }"""
    seen, after = [], None
    while True:
        page = neighbourhood.data(query, after=after, community=community)["households"]
        seen += [edge["node"]["name"] for edge in page["edges"]]
        assert page["totalCount"] == 5
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == names


def test_any_object_is_found_under_its_global_id(neighbourhood: Neighbourhood) -> None:
    household = neighbourhood.register("Node")
    device = neighbourhood.attach(household, "METER", "meter")
    query = "query($id: ID!) { node(id: $id) { __typename id } }"
    ids = (household["householdId"], device["id"], household["household"]["community"]["id"])
    for kind, wanted in zip(("Household", "Device", "Community"), ids, strict=True):
        found = neighbourhood.data(query, token=household["token"], id=wanted)["node"]
        assert found == {"__typename": kind, "id": wanted}
    for wanted in (_global_id("Household", uuid4()), _global_id("Clock", 1), _global_id("Device", "x")):
        assert neighbourhood.data(query, id=wanted) == {"node": None}


def test_the_receipt_makes_a_query_wait_for_what_it_stands_for(neighbourhood: Neighbourhood) -> None:
    household = neighbourhood.register("Before")
    rename = """mutation($input: RenameHouseholdInput!) { renameHousehold(input: $input) {
        ... on HouseholdPayload { position household { name } } } }"""
    new = {"householdId": household["householdId"], "name": "After"}
    answer = neighbourhood.data(rename, token=household["token"], input=new)["renameHousehold"]
    assert answer["household"] == {"name": "After"}
    query = "query($after: Position) { household(after: $after) { name } }"
    seen = neighbourhood.data(query, token=household["token"], after=answer["position"])
    assert seen == {"household": {"name": "After"}}
    far = neighbourhood.ask(query, token=household["token"], after="pzzzzzzz")
    assert (far.status_code, far.json()["errors"][0]["extensions"]["code"]) == (503, "NOT_READY")


def test_the_log_tells_what_a_request_led_to(neighbourhood: Neighbourhood) -> None:
    one, other = neighbourhood.register("One"), neighbourhood.register("Other")
    query = """query($id: ID, $correlation: String, $after: Position) {
        facts(first: 100, householdId: $id, correlationId: $correlation, after: $after) {
            nodes { name by correlation position body } pageInfo { endCursor } } }"""
    own = neighbourhood.data(query, token=one["token"])["facts"]["nodes"]
    assert [fact["name"] for fact in own] == ["HouseholdRegistered", "CommunityJoined"]
    assert own[0]["body"]["household_id"] == one["household"]["uuid"]
    assert own == neighbourhood.data(query, id=one["householdId"])["facts"]["nodes"]
    assert {fact["by"] for fact in own} == {"operator:nikola"}
    foreign = neighbourhood.data(query, token=one["token"], id=other["householdId"])["facts"]["nodes"]
    assert foreign == []
    caused = neighbourhood.data(query, correlation=own[0]["correlation"])["facts"]["nodes"]
    assert {fact["name"] for fact in caused} >= {"HouseholdRegistered", "CommunityJoined"}
    behind = neighbourhood.data(query, id=one["householdId"], after=own[0]["position"])["facts"]["nodes"]
    assert behind == own[1:]
