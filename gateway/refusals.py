"""Refusals as data: one type for each rule that a mutation can break."""

from collections.abc import Callable
from typing import TypeVar

import strawberry

from gateway.messages import IntakeFull as StreamFull
from gateway.permission import public
from write_side import commands

C = TypeVar("C", bound=type)
_TYPES: dict[type[Exception], type["Refusal"]] = {}
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
    message: str = strawberry.field(description="What the rule says, and what can be done about it.")
    code: str = strawberry.field(description="The name of the rule, the same as the type's.")


def _tells(refusal: type[Exception], description: str) -> Callable[[C], C]:
    def decorated(cls: C) -> C:
        made = strawberry.type(description=description)(public(cls))
        _TYPES[refusal] = made
        return made

    return decorated


@_tells(commands.HouseholdUnknown, "There is no such household.")
class HouseholdUnknown(Refusal):
    pass


@_tells(commands.HouseholdAlreadyRegistered, "The household is registered already.")
class HouseholdAlreadyRegistered(Refusal):
    pass


@_tells(commands.DeviceUnknown, "There is no such device attached, or it is not one for this.")
class DeviceUnknown(Refusal):
    pass


@_tells(commands.DeviceAlreadyAttached, "The device is attached, or the household has a main meter already.")
class DeviceAlreadyAttached(Refusal):
    pass


@_tells(commands.CommunityUnknown, "There is no such community that could be joined or set.")
class CommunityUnknown(Refusal):
    pass


@_tells(commands.CommunityNotJoinable, "The community is full, too far away or in another network area.")
class CommunityNotJoinable(Refusal):
    pass


@_tells(commands.NotInCommunity, "The household is in no community.")
class NotInCommunity(Refusal):
    pass


@_tells(commands.ClockNotMovable, "The clock is the wall's, is moving already, or would have to go back.")
class ClockNotMovable(Refusal):
    pass


@_tells(commands.InvalidInput, "A value is out of its range; the message names it.")
class InvalidInput(Refusal):
    pass


@_tells(commands.KeyReused, "The idempotency key was used before with other input.")
class KeyReused(Refusal):
    pass


@_tells(RoleRefused, "This is not for whoever has this role, whatever the object.")
class NotPermitted(Refusal):
    pass


@_tells(StreamFull, "The intake takes nothing until the workers have caught up; nothing was kept.")
class IntakeFull(Refusal):
    pass


def told(error: Exception) -> Refusal:
    """The refusal as a client gets it; the error itself again where it is none."""
    refusal = _TYPES.get(type(error))
    if refusal is None:
        raise error
    name = refusal.__name__
    return refusal(message=_SAME_FOR_ALL.get(name, str(error)), code=name)
