"""Sharing a community's surplus among its members' needs, slot by slot, in whole Wh, by a key.

Surplus and need are what the meters saw: export and import. Rows are households in the order of their ids,
columns are slots. A key is a function of exports, imports and slot numbers; a new key is one more function
beside these.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from write_side.rules.energy import WattHours


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Wh per household (row) and slot (column). In every slot both have the same sum: the shared energy."""

    received: WattHours
    given: WattHours


Key = Callable[[WattHours, WattHours, NDArray[np.int64]], Shared]


def dynamic_by_default(export_wh: WattHours, import_wh: WattHours, slots: NDArray[np.int64]) -> Shared:
    """Each receives in proportion to its need: `N_h / sum N * min(S, sum N)`."""
    shared = np.minimum(export_wh.sum(axis=0), import_wh.sum(axis=0))
    return Shared(received=_apportion(shared, import_wh, slots), given=_apportion(shared, export_wh, slots))


def static(parts: NDArray[np.int64]) -> Key:
    """The key `min(k_h S, N_h)`, k_h = parts[h] / sum of parts (whole numbers); a share not used leaves."""
    return dynamic_simple(parts[:, np.newaxis])


def dynamic_simple(parts: NDArray[np.int64]) -> Key:
    """The organiser's key per household and slot, `parts[h, t]`, then as static; zeros share nothing."""
    _refuse_negative(parts)

    def key(export_wh: WattHours, import_wh: WattHours, slots: NDArray[np.int64]) -> Shared:
        surplus = export_wh.sum(axis=0)
        entitled = largest_remainder(parts * surplus, np.maximum(parts.sum(axis=0), 1), slots)
        received = np.minimum(entitled, import_wh)
        return Shared(received=received, given=_apportion(received.sum(axis=0), export_wh, slots))

    return key


def full_dynamic(parts: NDArray[np.int64], whole: int) -> Key:
    """The key per giver and receiver, k = parts[giver, receiver] / whole; ValueError where a row passes it.

    A receiver given more than its need takes from its givers in proportion.
    """
    _refuse_negative(parts)
    if parts.sum(axis=1).max(initial=0) > whole:
        raise ValueError("a giver's parts are more than the whole")

    def key(export_wh: WattHours, import_wh: WattHours, slots: NDArray[np.int64]) -> Shared:
        one = np.full(len(slots), whole, dtype=np.int64)
        offered = [
            largest_remainder(k[:, np.newaxis] * surplus, one, slots)
            for k, surplus in zip(parts, export_wh, strict=True)
        ]
        taken = np.stack(
            [
                _apportion(np.minimum(need, entitled.sum(axis=0)), entitled, slots)
                for entitled, need in zip(np.stack(offered, axis=1), import_wh, strict=True)
            ]
        )
        return Shared(received=taken.sum(axis=1), given=taken.sum(axis=0))

    return key


def share(
    export_wh: WattHours,
    import_wh: WattHours,
    slots: NDArray[np.int64],
    key: Key = dynamic_by_default,
) -> Shared:
    """What each household received and gave: export and import [households, slots], slot numbers [slots], Wh.

    Received = given in every slot, to the Wh; never above need, never above surplus. ValueError for shapes
    that do not fit or a negative energy.
    """
    if export_wh.shape != import_wh.shape or export_wh.shape[1:] != slots.shape:
        raise ValueError(f"shapes do not fit: {export_wh.shape}, {import_wh.shape} and {slots.shape} slots")
    if min(export_wh.min(initial=0), import_wh.min(initial=0)) < 0:
        raise ValueError("energy is never negative")
    if not export_wh.size:
        return Shared(received=import_wh, given=export_wh)
    return key(export_wh, import_wh, slots)


def largest_remainder(
    numerator: NDArray[np.int64], denominator: NDArray[np.int64], slots: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Whole parts of numerator[households, slots] / denominator[slots], of the sum rounded down.

    Whole numbers below 2**63 / households. The Wh left open go to the largest remainders. Equal ones go in
    the order of rows, among those that claim anything in the slot, beginning at claimant number `slot modulo
    claimants`.
    """
    parts, remainder = np.divmod(numerator, denominator)
    left = remainder.sum(axis=0) // denominator
    claims = numerator > 0
    claimants = np.maximum(claims.sum(axis=0), 1)
    turn = (claims.cumsum(axis=0) - 1 - slots) % claimants
    # One number to sort by: remainder first, then turn. No two claimants share it, so exactly `left` lie at
    # or above the last one that gets a Wh.
    order = remainder * len(numerator) - turn
    last: NDArray[np.int64] = np.take_along_axis(
        np.sort(order, axis=0), np.minimum(-left, -1)[np.newaxis], axis=0
    )
    extra: NDArray[np.bool_] = (order >= last) & (left > 0)
    return parts + extra


def _apportion(total_wh: WattHours, weights: WattHours, slots: NDArray[np.int64]) -> WattHours:
    """total_wh[slots] in proportion to weights[households, slots]; a total is 0 where all weights are."""
    return largest_remainder(weights * total_wh, np.maximum(weights.sum(axis=0), 1), slots)


def _refuse_negative(parts: NDArray[np.int64]) -> None:
    if parts.min(initial=0) < 0:
        raise ValueError("a key's parts are never negative")
