"""Refusals as data: one type for each rule that a mutation can break."""

from collections.abc import Callable
from typing import Any, TypeVar

import strawberry

from gateway.nats_connection import IntakeFull as StreamFull
from gateway.permission import public
from write_side import commands

T = TypeVar("T")
_TYPES: dict[type[Exception], type[Any]] = {}
# What does not exist and what is somebody else's are told alike, to the word.
_SAME_FOR_ALL = {
    "HouseholdUnknown": "there is no such household",
    "DeviceUnknown": "there is no such device attached",
    "CommunityUnknown": "there is no such community",
}


class RoleRefused(commands.Refusal):
    """Nobody of this role may do this, whatever the object."""


@strawberry.interface(description="A rule that the mutation would have broken. Nothing was changed.")
class Refusal:
    """A rule that the mutation would have broken."""

    message: str = strawberry.field(description="What the rule says, and what can be done about it.")
    code: str = strawberry.field(description="The name of the rule, the same as the type's.")


def _tells(refusal: type[Exception]) -> Callable[[type[T]], type[T]]:
    def decorated(cls: type[T]) -> type[T]:
        made = public(cls)
        _TYPES[refusal] = made
        return made

    return decorated


@_tells(commands.HouseholdUnknown)
class HouseholdUnknown(Refusal):
    """There is no such household."""


@_tells(commands.HouseholdAlreadyRegistered)
class HouseholdAlreadyRegistered(Refusal):
    """The household is registered already."""


@_tells(commands.DeviceUnknown)
class DeviceUnknown(Refusal):
    """There is no such device attached, or it is not one for this."""


@_tells(commands.DeviceAlreadyAttached)
class DeviceAlreadyAttached(Refusal):
    """The device is attached, or the household has a main meter already."""


@_tells(commands.CommunityUnknown)
class CommunityUnknown(Refusal):
    """There is no such community that could be joined or set."""


@_tells(commands.CommunityNotJoinable)
class CommunityNotJoinable(Refusal):
    """The community is full, too far away or in another network area."""


@_tells(commands.NotInCommunity)
class NotInCommunity(Refusal):
    """The household is in no community."""


@_tells(commands.ClockNotMovable)
class ClockNotMovable(Refusal):
    """The clock is the wall's, is moving already, or would have to go back."""


@_tells(commands.InvalidInput)
class InvalidInput(Refusal):
    """A value is out of its range; the message names it."""


@_tells(commands.KeyReused)
class KeyReused(Refusal):
    """The idempotency key was used before with other input."""


@_tells(RoleRefused)
class NotPermitted(Refusal):
    """This is not for whoever has this role, whatever the object."""


@_tells(StreamFull)
class IntakeFull(Refusal):
    """The intake takes nothing until the workers have caught up; nothing was kept."""


def told(error: Exception) -> Refusal:
    """The refusal as a client gets it; the error itself again where it is none."""
    refusal = _TYPES.get(type(error))
    if refusal is None:
        raise error
    name = refusal.__name__
    made: Refusal = refusal(message=_SAME_FOR_ALL.get(name, str(error)), code=name)
    return made
