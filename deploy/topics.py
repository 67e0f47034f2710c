"""Which subjects a token opens: a device its own household's, a concentrator its area's, a clock source the
clock's."""

import re
from dataclasses import dataclass
from typing import Any

READY = "device-access.ready"  # the role device-access answers on it
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Topics:
    """NATS subjects somebody may publish to and subscribe to; MQTT topics are these with dots for slashes."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def topics_of(claims: dict[str, Any], user: str, is_mqtt: bool) -> Topics:
    """The topics of a proven token that came with this user name. PermissionError says what does not fit."""
    match claims.get("role"):
        case "device":
            own = _device(_word(claims, "area"), _word(claims, "household"), user)
        case "concentrator":
            own = _concentrator(_word(claims, "area"), user)
        case "operator" if user == "clock":
            own = Topics(("clock.joined.*", "clock.left.*", "clock.done.*"), ("clock.stride",))
        case _:
            raise PermissionError("this token opens no topic")
    return Topics(own.publish, own.subscribe + _inboxes(user, is_mqtt))


def _device(area: str, household: str, user: str) -> Topics:
    if user != household:
        raise PermissionError("the user name is not the token's household")
    publish = (f"intake.{area}.{household}", f"readings.{area}.{household}")
    return Topics((*publish, f"orders.done.{household}", f"live.{household}"), (f"orders.{household}",))


def _concentrator(area: str, user: str) -> Topics:
    if user != area:
        raise PermissionError("the user name is not the token's area")
    return Topics((f"intake.{area}.all", f"readings.{area}.all"), ())


def _inboxes(user: str, is_mqtt: bool) -> tuple[str, ...]:
    """Where answers arrive. The server delivers QoS 1 below $MQTT.sub and lets no MQTT client name it; over
    NATS the same right would open every device's orders. So an inbox has its user's name too."""
    return ("$MQTT.sub.>",) if is_mqtt else (f"_INBOX.{user}.>",)


def _word(claims: dict[str, Any], name: str) -> str:
    """A claim that stands in a subject: no dots and no wildcards."""
    value = claims.get(name)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise PermissionError(f"the token names no usable {name}")
    return value
