"""A day's readings as bytes and back: nothing is lost, whatever the readings are."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.binary_copy import MISSING
from projections.day_codec import DAY_SLOTS, NAMED, DayReadings, decode, decode_measured, encode
from projections.metering_tables import VALUES

DAY = 20_458
NUMBER = st.integers(1, 2**62) | st.integers(1, 9)
VALUE = st.just(MISSING) | st.integers(0, 900) | st.integers(0, 2**31 - 1)
NAMES = st.tuples(
    st.integers(0, 2) | st.integers(0, 2**31 - 1),
    st.integers(0, 2**62) | st.integers(100, 102),
    st.integers(-(2**62), 2**62),
)
READING = st.tuples(st.lists(VALUE, min_size=len(VALUES), max_size=len(VALUES)), NAMES)
_Told = dict[tuple[int, int], tuple[list[int], tuple[int, ...]]]
READINGS = st.dictionaries(st.tuples(NUMBER, st.integers(0, DAY_SLOTS - 1)), READING, max_size=40)


def _readings(told: _Told) -> DayReadings:
    keys = np.array(list(told), dtype=np.int64).reshape(-1, 2)
    values = np.array([one for one, _ in told.values()], dtype=np.int64).reshape(-1, len(VALUES))
    named = np.array([names for _, names in told.values()], dtype=np.int64).reshape(-1, len(NAMED))
    return DayReadings(keys[:, 0], keys[:, 1] + DAY * DAY_SLOTS, values, named)


def _told(readings: DayReadings) -> _Told:
    keys = zip(readings.device.tolist(), (readings.slot - DAY * DAY_SLOTS).tolist(), strict=True)
    lines = zip(readings.values.tolist(), map(tuple, readings.named.tolist()), strict=True)
    return dict(zip(keys, lines, strict=True))


@given(READINGS)
@settings(max_examples=200, deadline=None)
def test_day_codec_gives_back_every_reading(told: _Told) -> None:
    parts = encode(_readings(told))
    found = decode(*parts)
    assert _told(found) == told
    measured = decode_measured(parts[0])
    assert len(measured) == len(found)
    assert (measured.values == found.values).all()
    assert (measured.device == found.device).all()
    some = np.unique(found.device)[::2]
    part = decode_measured(parts[0], some)
    expected = found.at(np.flatnonzero(np.isin(found.device, some)))
    assert (part.slot == expected.slot).all()
    assert (part.values == expected.values).all()
