"""Messages of the intake, form by form, as rows or as what is wrong with them."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from projections.metering_tables import VALUES
from projections.reading_messages import FIELDS, Arrivals, IntakeMessage, read
from tests.projections.metered_grid import FIRST

_SLOT = "2026-01-05T00:00:00Z"


def _arrived(body: Any, household: str = "h") -> Arrivals:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    message = IntakeMessage(1, 3, "a", household, f"meter.3.a.{household}", datetime.now(UTC), data)
    arrivals = Arrivals()
    read(message, arrivals)
    return arrivals


def _lines(arrivals: Arrivals) -> list[tuple[str, int, dict[str, int]]]:
    item, slot, values = arrivals.columns()
    return [
        (
            arrivals.items[place].device,
            number - FIRST,
            {FIELDS[column]: int(line[column]) for column in np.flatnonzero(line != -1)},
        )
        for place, number, line in zip(item.tolist(), slot.tolist(), values, strict=True)
    ]


def _reasons(arrivals: Arrivals) -> list[tuple[int, str | None, str]]:
    return [(part.number, part.device, part.reason) for part in arrivals.unusable]


def test_metering_one_slot() -> None:
    devices = {"d": {"gridImportWh": 5, "gridExportWh": 0, "socWh": None}, "e": {"powerW": 12}}
    arrivals = _arrived({"slot": _SLOT, "revision": 2, "devices": devices})
    assert _lines(arrivals) == [
        ("d", 0, {"grid_import_wh": 5, "grid_export_wh": 0}),
        ("e", 0, {"power_w": 12}),
    ]
    assert [item.revision for item in arrivals.items] == [2, 2]


def test_metering_several_slots_with_gaps() -> None:
    body = {
        "from": _SLOT,
        "slots": 3,
        "devices": {"d": {"consumptionWh": [1, None, 0], "powerW": [None, None, 9]}},
    }
    assert _lines(_arrived(body)) == [
        ("d", 0, {"consumption_wh": 1}),
        ("d", 2, {"consumption_wh": 0, "power_w": 9}),
    ]


def test_metering_households_in_either_form() -> None:
    one = {"slot": _SLOT, "devices": {"d": {"productionWh": 1}}}
    many = {"from": _SLOT, "slots": 2, "devices": {"e": {"productionWh": [1, 2]}}}
    arrivals = _arrived({"households": {"h1": one, "h2": many}}, "all")
    assert [(item.household, item.number) for item in arrivals.items] == [("h1", 0), ("h2", 1)]
    assert len(_lines(arrivals)) == 3


def test_metering_an_index_is_rounded_half_up_and_a_negative_number_stays_one() -> None:
    devices = {"d": {"consumptionIndexWh": 0.5}, "e": {"consumptionIndexWh": 0.25}, "f": {"powerW": -1}}
    assert _lines(_arrived({"slot": _SLOT, "devices": devices})) == [
        ("d", 0, {"consumption_index_wh": 1}),
        ("e", 0, {"consumption_index_wh": 0}),
        ("f", 0, {"power_w": -2}),  # one less, as -1 means that there is none
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"{",
        b"[]",
        b"7",
        b"{}",
        b'{"slot": "2026-01-05T00:00:00Z"}',
        b'{"slot": 5, "devices": {}}',
        b'{"slot": "2026-01-05T00:00:00", "devices": {}}',
        b'{"slot": "soon", "devices": {}}',
        b'{"from": "2026-01-05T00:00:00Z", "slots": 0, "devices": {}}',
        b'{"from": "2026-01-05T00:00:00Z", "slots": 99999999999, "devices": {"d": {"powerW": []}}}',
        b'{"slot": "2026-01-05T00:00:00Z", "devices": {"d": {"consumptionWh": 1.5}}}',
        b'{"slot": "2026-01-05T00:00:00Z", "devices": {"d": {"consumptionWh": true}}}',
        b'{"slot": "2026-01-05T00:00:00Z", "devices": {"d": {"consumptionWh": 10000001}}}',
        b'{"slot": "2026-01-05T00:00:00Z", "devices": {"d": {"consumptionWh": [1]}}}',
        b'{"slot": "2026-01-05T00:00:00Z", "devices": {"d": {"consumption": 1}}}',
        b'{"from": "2026-01-05T00:00:00Z", "slots": 2, "devices": {"d": {"consumptionWh": [1]}}}',
        b'{"slot": "2026-01-05T00:00:00Z", "revision": -1, "devices": {"d": {"consumptionWh": 1}}}',
        b'{"households": 3}',
        b'{"households": {"h": 3}}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("household", ["h", "all"])
def test_metering_what_is_no_reading_is_malformed(body: bytes, household: str) -> None:
    arrivals = _arrived(body, household)
    assert _lines(arrivals) == []
    assert [part.reason for part in arrivals.unusable] == ["MALFORMED"]


def test_metering_a_time_within_a_slot_is_no_slot() -> None:
    body = {"slot": "2026-01-05T00:07:00Z", "devices": {"d": {"consumptionWh": 1}}}
    assert _reasons(_arrived(body)) == [(0, None, "NOT_A_SLOT")]


def test_metering_a_message_too_large() -> None:
    assert _reasons(_arrived(b" " * 1_000_001)) == [(0, None, "TOO_LARGE")]


def test_metering_one_bad_part_spoils_no_other() -> None:
    good = {"slot": _SLOT, "devices": {"d": {"consumptionWh": 1}}}
    mixed = {"slot": _SLOT, "devices": {"e": {"consumptionWh": "x"}, "f": {"consumptionWh": 2}}}
    arrivals = _arrived({"households": {"h1": good, "h2": mixed, "h3": {"slot": _SLOT}, "h4": good}}, "all")
    assert _lines(arrivals) == [
        ("d", 0, {"consumption_wh": 1}),
        ("f", 0, {"consumption_wh": 2}),
        ("d", 0, {"consumption_wh": 1}),
    ]
    assert _reasons(arrivals) == [(1, "e", "MALFORMED"), (3, None, "MALFORMED")]
    assert [item.number for item in arrivals.items] == [0, 2, 4]


def test_metering_fields_are_the_columns() -> None:
    assert FIELDS[: len(VALUES)] == VALUES
