"""Placing a household: the distances of example 2 of the worked numbers, cells, and the choice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_side.rules.placement import Candidate, CommunityRule, cell, cells_around, distances_m, place

LYON = (45.764, 4.8357)
DEGREES_PER_KM = 0.0179 / 1.9904
LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)


def community(name: str, *north_km: float, production_w: int = 0) -> Candidate[str]:
    return Candidate(
        community_id=name,
        latitudes=[LYON[0] + km * DEGREES_PER_KM for km in north_km],
        longitudes=[LYON[1]] * len(north_km),
        production_w=production_w,
    )


def placed(north_km: float, *candidates: Candidate[str], production_w: int = 0) -> str | None:
    return place(LYON[0] + north_km * DEGREES_PER_KM, LYON[1], candidates, production_w=production_w)


def test_example_2_degrees_in_metres() -> None:
    assert np.round(distances_m(*LYON, [LYON[0] + 0.0180, LYON[0] + 0.0179], [LYON[1]] * 2), 1).tolist() == [
        2001.5,
        1990.4,
    ]


def test_example_2_the_limit_of_two_kilometres() -> None:
    home = [Candidate(community_id="home", latitudes=[45.0], longitudes=[4.0])]
    assert place(45.0180, 4.0, home) is None
    assert place(45.0179, 4.0, home) == "home"


def test_example_2_the_third_house_on_the_line_founds_a_new_community() -> None:
    assert placed(1.5, community("first", 0)) == "first"
    assert placed(3.0, community("first", 0, 1.5)) is None


def test_known_distances() -> None:
    assert distances_m(0, 0, [0], [180])[0] == pytest.approx(np.pi * 6_371_008.8)
    assert distances_m(90, 0, [90], [123])[0] == pytest.approx(0, abs=1e-6)
    assert distances_m(48.8566, 2.3522, [45.764], [4.8357])[0] == pytest.approx(391_500, rel=2e-3)


def test_the_nearest_with_room_is_chosen() -> None:
    near, far, full = community("near", 0.3, 0.4), community("far", -0.5), community("full", *[0.1] * 200)
    assert placed(0, far, near) == "near"
    assert placed(0, full, far, near) == "near"
    assert placed(0, community("almost full", *[0.1] * 199), near) == "almost full"
    assert placed(0) is None


def test_a_nearer_community_that_would_grow_too_long_is_passed_over() -> None:
    assert placed(0, community("long", 0.1, 2.1), community("short", 0.9)) == "short"


def test_of_equally_near_ones_the_first_is_taken() -> None:
    assert placed(0, community("b", 0.5), community("a", 0.5)) == "b"


def test_a_community_stays_under_its_production() -> None:
    sunny = community("sunny", 0.1, production_w=4_990_000)
    assert placed(0, sunny, production_w=9_999) == "sunny"
    assert placed(0, sunny, production_w=10_000) is None


def test_a_community_that_lost_all_its_members_takes_nobody() -> None:
    assert placed(0, community("empty")) is None


def test_the_settings_are_settings() -> None:
    rule = CommunityRule(span_m=10_000, max_households=1)
    wide = Candidate(community_id=7, latitudes=[LYON[0] + 8 * DEGREES_PER_KM], longitudes=[LYON[1]])
    assert place(*LYON, [wide], CommunityRule(span_m=10_000)) == 7
    assert place(*LYON, [wide]) is None
    assert place(*LYON, [wide], rule) is None


def test_cells_are_about_two_kilometres() -> None:
    here = cell(45.0001, 4.0001)
    assert cell(45.0001, 4.0011) == here
    assert cell(45.0001 + 0.018, 4.0001) != here
    assert cell(45.0001, 4.0001 + 0.026) != here
    assert 9 <= len(cells_around(*LYON)) <= 12


@pytest.mark.parametrize(("latitude", "longitude"), [(90.1, 0), (0, 180.1), (float("nan"), 0)])
def test_a_place_not_on_earth_is_refused(latitude: float, longitude: float) -> None:
    with pytest.raises(ValueError, match="no place on Earth"):
        cell(latitude, longitude)
    with pytest.raises(ValueError, match="no place on Earth"):
        cells_around(latitude, longitude)
    with pytest.raises(ValueError, match="no place on Earth"):
        place(latitude, longitude, [])


def test_the_antimeridian_is_one_line() -> None:
    assert cell(10, 180) == cell(10, -180)
    assert cell(10, 179.995) in cells_around(10, -179.995)
    assert cell(10, -179.995) in cells_around(10, 179.995)
    fiji = Candidate(community_id="Taveuni", latitudes=[-16.8], longitudes=[179.995])
    assert place(-16.8, -179.995, [fiji]) == "Taveuni"


def test_round_a_pole_every_longitude_is_near() -> None:
    assert cell(89.995, 0) in cells_around(89.995, 180)
    assert cell(-90, 12) in cells_around(-89.999, -100)


@given(LATITUDES, LONGITUDES, st.floats(0, 2 * np.pi), st.floats(0, 2000))
def test_whoever_is_within_reach_is_in_a_cell_around(
    latitude: float, longitude: float, bearing: float, metres: float
) -> None:
    phi, arc = np.radians(latitude), metres / 6_371_008.8
    to_phi = np.arcsin(np.sin(phi) * np.cos(arc) + np.cos(phi) * np.sin(arc) * np.cos(bearing))
    east = np.arctan2(np.sin(bearing) * np.sin(arc) * np.cos(phi), np.cos(arc) - np.sin(phi) * np.sin(to_phi))
    there = float(np.degrees(to_phi)), (longitude + float(np.degrees(east)) + 180) % 360 - 180
    if distances_m(latitude, longitude, [there[0]], [there[1]])[0] <= 2000:
        assert cell(*there) in cells_around(latitude, longitude)


@given(st.floats(-70, 70), LONGITUDES)
def test_few_cells_are_around_a_house(latitude: float, longitude: float) -> None:
    around = cells_around(latitude, longitude)
    assert cell(latitude, longitude) in around
    assert len(around) <= 16
    assert around == sorted(set(around))
