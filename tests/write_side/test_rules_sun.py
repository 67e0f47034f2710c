"""The sun's elevation against the astral package, an implementation of others (NOAA), and the rule NIGHT."""

from datetime import UTC, datetime

import numpy as np
import pytest
from astral import Observer
from astral.sun import elevation
from hypothesis import given
from hypothesis import strategies as st

from write_side.rules.sun import elevation_degrees, is_night
from write_side.rules.timeslots import slot_of, slot_start

YEARS_2000_TO_2050 = st.integers(946_684_800, 2_524_608_000)


@given(st.floats(-89, 89), st.floats(-180, 180), YEARS_2000_TO_2050)
def test_elevation_agrees_with_astral_within_a_tenth_of_a_degree(lat: float, lon: float, at: int) -> None:
    theirs = elevation(Observer(lat, lon), datetime.fromtimestamp(at, UTC), with_refraction=False)
    assert float(elevation_degrees(lat, lon, at)) == pytest.approx(theirs, abs=0.1)


def test_a_whole_year_of_slots_at_once() -> None:
    first = slot_of(datetime(2024, 2, 28, tzinfo=UTC))
    slots = np.arange(first, first + 366 * 96)
    ours = elevation_degrees(45.8, 4.0, slots * 900)
    place = Observer(45.8, 4.0)
    sample = range(0, len(slots), 97)
    theirs = [elevation(place, slot_start(int(slots[i])), with_refraction=False) for i in sample]
    assert np.abs(ours[list(sample)] - theirs).max() < 0.1


def test_many_places_and_many_times_broadcast() -> None:
    at = np.array([0, 43_200, 86_400]) + 1_718_841_600
    both = elevation_degrees(np.array([[45.8], [-45.8]]), np.array([[4.0], [4.0]]), at)
    assert both.shape == (2, 3)
    assert both[0, 1] > 60 > 25 > both[1, 1]


def test_midsummer_noon_and_midnight_near_clermont() -> None:
    noon = slot_of(datetime(2024, 6, 21, 11, 45, tzinfo=UTC))
    assert float(elevation_degrees(45.8, 4.0, noon * 900)) == pytest.approx(90 - 45.8 + 23.44, abs=0.1)
    assert not is_night(45.8, 4.0, noon)
    assert is_night(45.8, 4.0, noon + 48)


def test_night_is_judged_at_the_middle_of_the_slot() -> None:
    day = slot_of(datetime(2024, 3, 20, tzinfo=UTC)) + np.arange(96)
    night = is_night(45.8, 4.0, day)
    middle = elevation_degrees(45.8, 4.0, day * 900 + 450)
    assert np.array_equal(night, middle < 5)
    changes = np.flatnonzero(np.diff(night.astype(int)))
    assert len(changes) == 2
    dawn = changes[0] + 1
    assert middle[dawn] >= 5 > middle[dawn - 1]
