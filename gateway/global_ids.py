"""Global ids, as Relay has them: a type's name and the raw id."""

from random import getrandbits
from uuid import UUID

from strawberry import relay


def raw_id(global_id: relay.GlobalID, type_name: str) -> UUID | None:
    """The raw id, None for another type's id: such an object does not exist under this name."""
    if global_id.type_name != type_name:
        return None
    try:
        return UUID(global_id.node_id)
    except ValueError:
        return None


def fresh_id() -> str:
    """A new id that nobody has to be unable to guess.

    `uuid4` asks the system for its bits, and back from the system one waits for the writer's thread.
    """
    return str(UUID(int=getrandbits(128), version=4))
