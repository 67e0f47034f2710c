"""Sun and clouds over a place: what a panel there could yield, the same for the same seed."""

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime

_AXIAL_TILT_DEG = 23.44
_CLEAR_SKY_EXPONENT = 1.15


def sine_of_elevation(latitude_deg: float, longitude_deg: float, at: datetime) -> float:
    """Sine of the sun's height: declination by the cosine of the year, hour angle by mean solar time."""
    utc = at.astimezone(UTC)
    day_of_year = utc.timetuple().tm_yday
    declination = math.radians(-_AXIAL_TILT_DEG * math.cos(2 * math.pi * (day_of_year + 10) / 365.25))
    solar_hours = utc.hour + utc.minute / 60 + longitude_deg / 15
    hour_angle = math.radians(15 * (solar_hours - 12))
    latitude = math.radians(latitude_deg)
    return math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(
        hour_angle
    )


@dataclass(frozen=True)
class Weather:
    """The sky over one place; clouds come from the seed and the hour, never from when they are asked for."""

    latitude_deg: float
    longitude_deg: float
    seed: int = 1

    def yield_share(self, at: datetime) -> float:
        """The share of a panel's rated power that it gives at a time, 0 to 1."""
        height = max(0.0, sine_of_elevation(self.latitude_deg, self.longitude_deg, at))
        return float(height**_CLEAR_SKY_EXPONENT * self.clearness(at))

    def clearness(self, at: datetime) -> float:
        """What the clouds let through, 0.5 to 1, changing smoothly from hour to hour."""
        hours, seconds = divmod(int(at.timestamp()), 3600)
        ahead = seconds / 3600
        return self._clearness_of(hours) * (1 - ahead) + self._clearness_of(hours + 1) * ahead

    def _clearness_of(self, hour: int) -> float:
        return random.Random(f"{self.seed}/{hour}").uniform(0.5, 1.0)
