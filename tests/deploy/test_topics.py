"""What a token opens, without any server."""

from typing import Any

import pytest

from deploy.topics import topics_of

HOUSE, AREA = "9f3c", "a1"


def test_a_device_reaches_its_own_household() -> None:
    topics = topics_of({"role": "device", "household": HOUSE, "area": AREA}, HOUSE, is_mqtt=False)
    reported = ("intake.a1.9f3c", "readings.a1.9f3c", "orders.done.9f3c", "live.9f3c")
    assert topics.publish == reported
    assert topics.subscribe == ("orders.9f3c", "_INBOX.9f3c.>")


def test_only_mqtt_sessions_receive_below_the_servers_own_prefix() -> None:
    claims = {"role": "concentrator", "area": AREA}
    assert topics_of(claims, AREA, is_mqtt=True).subscribe == ("$MQTT.sub.>",)
    assert topics_of(claims, AREA, is_mqtt=False).subscribe == ("_INBOX.a1.>",)


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"role": "device", "household": HOUSE, "area": AREA}, "another"),
        ({"role": "device", "household": "a.b", "area": AREA}, "a.b"),
        ({"role": "device", "household": ">", "area": AREA}, ">"),
        ({"role": "device", "household": HOUSE, "area": "*"}, HOUSE),
        ({"role": "device", "household": HOUSE}, HOUSE),
        ({"role": "device", "household": 7, "area": AREA}, "7"),
        ({"role": "concentrator", "area": AREA}, HOUSE),
        ({"role": "operator"}, "nikola"),
        ({"role": "household", "household": HOUSE}, HOUSE),
        ({}, ""),
    ],
)
def test_everything_else_opens_nothing(claims: dict[str, Any], user: str) -> None:
    with pytest.raises(PermissionError):
        topics_of(claims, user, is_mqtt=False)
