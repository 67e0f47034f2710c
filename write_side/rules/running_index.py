"""Whole Wh per slot from a running index or coarser data: the running total is rounded, never the slot."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

Number = int | float | Decimal | Fraction

_HALF = Fraction(1, 2)


def rounded_wh(index_wh: Number) -> int:
    """A running index as whole Wh, a half rounded up (1 W gives slots of 0, 1, 0, 0, 0, 1, 0, 0 Wh).

    ValueError for a number that is not finite.
    """
    return int((_exact(index_wh) + _HALF) // 1)


def energy_between(before_wh: Number | None, after_wh: Number | None) -> int | None:
    """Whole Wh of a slot from the index at its edges; None where one is missing or it fell."""
    if before_wh is None or after_wh is None or _exact(after_wh) < _exact(before_wh):
        return None
    return rounded_wh(after_wh) - rounded_wh(before_wh)


def slot_energies(indices_wh: Iterable[Number | None]) -> list[int | None]:
    """Whole Wh of n slots from the n + 1 indices at their edges; None as in `energy_between`."""
    return [energy_between(before, after) for before, after in pairwise(indices_wh)]


def energy_wh(power_w: Number, seconds: int) -> Fraction:
    """The exact energy of a mean power over so many seconds, Wh."""
    return _exact(power_w) * seconds / 3600


def spread(energies_wh: Sequence[Number | None], parts: int) -> list[int | None]:
    """A series of coarser energies (Wh) evenly over `parts` slots each, whole Wh; a gap stays a gap.

    The running total of the whole series is rounded, so the slots between any two edges sum to the true
    energy within 1 Wh. ValueError for fewer than one part.
    """
    if parts < 1:
        raise ValueError(f"cannot spread over {parts} slots")
    slots: list[int | None] = []
    total = Fraction(0)
    for energy in energies_wh:
        if energy is None:
            slots += [None] * parts
            continue
        edges = [rounded_wh(total + _exact(energy) * part / parts) for part in range(parts + 1)]
        slots += [after - before for before, after in pairwise(edges)]
        total += _exact(energy)
    return slots


def _exact(number: Number) -> Fraction:
    try:
        return Fraction(number)
    except OverflowError:
        raise ValueError(f"not a finite number: {number}") from None
