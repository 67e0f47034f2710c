"""Placing a household in a community by where it stands: distance, cells to look in, and the choice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import asin, cos, degrees, floor, radians, sin
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS_M = 6_371_008.8

_CELL_DEGREES = 0.018
_BANDS = 10_000
_COLUMNS_AT_EQUATOR = 20_000

Id = TypeVar("Id")
Degrees = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CommunityRule:
    """The settings: greatest distance of two members, most households, and the production it stays under."""

    span_m: float = 2_000
    max_households: int = 200
    max_production_w: int = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Candidate(Generic[Id]):
    """A community that might take a newcomer: where its members stand (degrees), their rated production."""

    community_id: Id
    latitudes: Sequence[float]
    longitudes: Sequence[float]
    production_w: int = 0


def distances_m(
    latitude: float, longitude: float, latitudes: Degrees, longitudes: Degrees
) -> NDArray[np.float64]:
    """Great-circle distances in metres from one place to many (degrees), by the haversine formula."""
    here, there = radians(latitude), np.radians(np.asarray(latitudes, dtype=np.float64))
    half_east = np.radians(np.asarray(longitudes, dtype=np.float64) - longitude) / 2
    chord = np.sin((there - here) / 2) ** 2 + cos(here) * np.cos(there) * np.sin(half_east) ** 2
    distances: NDArray[np.float64] = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(chord, 1)))
    return distances


def cell(latitude: float, longitude: float) -> int:
    """The number of the cell, about 2 km by 2 km, that holds a place; ValueError for a place not on Earth."""
    _refuse_nowhere(latitude, longitude)
    band = _band(latitude)
    return _numbered(band, _column(band, longitude) % _columns(band))


def cells_around(latitude: float, longitude: float, reach_m: float = CommunityRule.span_m) -> list[int]:
    """All cells that may hold a place within `reach_m` of this one, ascending; ValueError as for `cell`.

    They cross the antimeridian, and near a pole they go all the way round it.
    """
    _refuse_nowhere(latitude, longitude)
    # A hair wider than asked, so that rounding never hides the cell of a place exactly at the reach.
    reach = min(reach_m / EARTH_RADIUS_M * (1 + 1e-9) + 1e-12, radians(90))
    east = _widest_east(latitude, reach)
    bands = range(_band(latitude - degrees(reach)), _band(latitude + degrees(reach)) + 1)
    return sorted(number for band in bands for number in _stretch(band, longitude, east))


def place(
    latitude: float,
    longitude: float,
    candidates: Iterable[Candidate[Id]],
    rule: CommunityRule | None = None,
    production_w: int = 0,
) -> Id | None:
    """The community that takes a newcomer with `production_w` of rated production; None: it founds a new one.

    Of those with all members within the span and with room, the one whose nearest member is nearest; of
    equally near ones the first given. ValueError as for `cell`.
    """
    _refuse_nowhere(latitude, longitude)
    rule = rule or CommunityRule()
    with_room = [candidate for candidate in candidates if _has_room(candidate, rule, production_w)]
    if not with_room:
        return None
    latitudes = np.concatenate([candidate.latitudes for candidate in with_room])
    longitudes = np.concatenate([candidate.longitudes for candidate in with_room])
    distances = distances_m(latitude, longitude, latitudes, longitudes)
    first = np.cumsum([0, *(len(candidate.latitudes) for candidate in with_room[:-1])])
    is_near = np.maximum.reduceat(distances, first) <= rule.span_m
    nearest = np.where(is_near, np.minimum.reduceat(distances, first), np.inf)
    best = int(nearest.argmin())
    return with_room[best].community_id if is_near[best] else None


def _has_room(candidate: Candidate[Id], rule: CommunityRule, production_w: int) -> bool:
    households = len(candidate.latitudes)
    under = candidate.production_w + production_w < rule.max_production_w
    return 0 < households < rule.max_households and under


def _widest_east(latitude: float, reach: float) -> float:
    """The greatest difference of longitude (degrees) within a reach (radians); 180 where it holds a pole."""
    width = cos(radians(latitude))
    return 180.0 if width <= sin(reach) else degrees(asin(sin(reach) / width))


def _stretch(band: int, longitude: float, east: float) -> set[int]:
    columns = _columns(band)
    first, last = _column(band, longitude - east), _column(band, longitude + east)
    return {_numbered(band, column % columns) for column in range(first, min(last, first + columns - 1) + 1)}


def _band(latitude: float) -> int:
    return min(max(floor((latitude + 90) / _CELL_DEGREES), 0), _BANDS - 1)


def _columns(band: int) -> int:
    middle = (band + 0.5) * _CELL_DEGREES - 90
    return max(1, floor(_COLUMNS_AT_EQUATOR * cos(radians(middle))))


def _column(band: int, longitude: float) -> int:
    """The column counted from the antimeridian, before wrapping round the Earth."""
    return floor((longitude + 180) / 360 * _columns(band))


def _numbered(band: int, column: int) -> int:
    return band * _COLUMNS_AT_EQUATOR + column


def is_on_earth(latitude: Decimal, longitude: Decimal) -> bool:
    """Whether these degrees are a place on Earth, which no NaN is."""
    are_numbers = latitude.is_finite() and longitude.is_finite()
    return are_numbers and -90 <= latitude <= 90 and -180 <= longitude <= 180


def _refuse_nowhere(latitude: float, longitude: float) -> None:
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError(f"no place on Earth: latitude {latitude}, longitude {longitude}")
