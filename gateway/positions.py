"""Positions as clients hold them: opaque strings that name a place in the log, or a row within one."""

import base64
import binascii
from dataclasses import dataclass

from gateway.faults import Fault

_PREFIX = "p"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LONGEST = 300


@dataclass(frozen=True)
class Place:
    """A position in the log and, of the rows that stand at it, the last one seen; () is all of them."""

    position: int
    row: tuple[str, ...] = ()


def written(position: int, *row: str) -> str:
    """The opaque form of a position, or of one row at a position."""
    text = f"{_PREFIX}{_base36(position)}"
    if not row:
        return text
    return f"{text}.{base64.urlsafe_b64encode(chr(0).join(row).encode()).decode().rstrip('=')}"


def read(text: str) -> Place:
    """The place a client's position names; BAD_USER_INPUT for what no answer of ours ever held."""
    head, _, row = text.partition(".")
    try:
        if not head.startswith(_PREFIX) or len(text) > _LONGEST:
            raise ValueError(text)
        position = int(head[len(_PREFIX) :], 36)
        if position < 0 or position >= 2**63:
            raise ValueError(text)
        return Place(position, _row(row) if row else ())
    except (ValueError, binascii.Error):
        raise Fault("BAD_USER_INPUT", "this is not a position of this grid") from None


def _row(text: str) -> tuple[str, ...]:
    decoded = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
    return tuple(decoded.split(chr(0)))


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
