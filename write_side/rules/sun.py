"""The sun's elevation, and whether a slot is night for a solar panel (rule NIGHT)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from write_side.rules.timeslots import SLOT_SECONDS

NIGHT_BELOW_DEGREES = 5.0

_J2000_SECONDS = 946_728_000
_DAY_SECONDS = 86_400


def elevation_degrees(latitude: ArrayLike, longitude: ArrayLike, at: ArrayLike) -> NDArray[np.float64]:
    """Elevation of the sun's centre without refraction, degrees, at unix seconds; any shapes that broadcast.

    J. J. Michalsky, The Astronomical Almanac's algorithm for approximate solar position (1950-2050), Solar
    Energy 40 (3), 1988, pp. 227-235: within 0.01 degrees.
    """
    days = (np.asarray(at, dtype=np.float64) - _J2000_SECONDS) / _DAY_SECONDS
    anomaly = np.radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = np.radians(
        (280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)) % 360
    )
    obliquity = np.radians(23.439 - 0.0000004 * days)
    right_ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(obliquity) * np.sin(ecliptic))
    universal_hours = (days + 0.5) % 1 * 24
    sidereal_hours = 6.697375 + 0.0657098242 * days + universal_hours
    hour_angle = np.radians(sidereal_hours * 15 + np.asarray(longitude)) - right_ascension
    phi = np.radians(latitude)
    sine = np.sin(declination) * np.sin(phi) + np.cos(declination) * np.cos(phi) * np.cos(hour_angle)
    elevation: NDArray[np.float64] = np.degrees(np.arcsin(np.clip(sine, -1, 1)))
    return elevation


def is_night(latitude: ArrayLike, longitude: ArrayLike, slot: ArrayLike) -> NDArray[np.bool_]:
    """Whether the sun stands below 5 degrees at the middle of a slot; any shapes that broadcast."""
    middle = np.asarray(slot) * SLOT_SECONDS + SLOT_SECONDS / 2
    return np.asarray(elevation_degrees(latitude, longitude, middle) < NIGHT_BELOW_DEGREES)
