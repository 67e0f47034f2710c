"""A message of a known form, scanned, is what the general way reads in it; all else goes the general way."""

import json
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import message_forms
from projections.message_forms import Forms, rows_of
from projections.metered_homes import NEVER, Homes
from projections.reading_messages import Arrivals, IntakeMessage, read
from projections.readings import microseconds, sift
from tests.projections.metered_grid import FIRST, START, id_of
from write_side.rules.timeslots import slot_start

AREA = str(id_of("area"))
HOMES = ("h1", "h2", "h3")
KINDS = ("METER", "APPLIANCE", "SOLAR")
FIELDS = {"METER": ("gridImportWh", "gridExportWh"), "APPLIANCE": ("consumptionWh", "powerW"),
          "SOLAR": ("productionWh",)}  # fmt: skip
LATER = microseconds(slot_start(FIRST + 1_000_000))


@pytest.fixture(autouse=True)
def _small_messages_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_forms, "SMALLEST_BYTES", 1)


def _homes(until: int = NEVER) -> Homes:
    homes, number = Homes(), 0
    for name in HOMES:
        household = homes.add_household(number, id_of(name), AREA, 45.8, 4.8)
        for kind in KINDS:
            number += 1
            homes.add_device(number, str(id_of(name + kind)), household, kind, FIRST, until, 1000, 0)
    return homes


def _message(data: bytes, household: str = "all", sequence: int = 1) -> IntakeMessage:
    return IntakeMessage(sequence, 3, AREA, household, f"meter.3.{AREA}.{household}", START, data)


def _body(slot: int, numbers: Any, revision: int | None = None, homes: tuple[str, ...] = HOMES) -> bytes:
    start = slot_start(slot).strftime("%Y-%m-%dT%H:%M:%SZ")
    told: dict[str, Any] = {}
    for name in homes:
        devices = {str(id_of(name + k)): {f: next(numbers) for f in FIELDS[k]} for k in KINDS}
        told[str(id_of(name))] = {"slot": start, "devices": devices}
        if revision is not None:
            told[str(id_of(name))]["revision"] = revision
    return json.dumps({"households": told}, separators=(",", ":")).encode()


def _counted(first: int = 0) -> Any:
    return iter(range(first, first + 10_000))


def _general(homes: Homes, message: IntakeMessage) -> Any:
    arrivals = Arrivals()
    read(message, arrivals)
    rows, kept = sift(None, homes, arrivals, slot_start(FIRST + 1_000_000))  # type: ignore[arg-type]
    assert not kept
    rows.values = rows.values[:, :8]
    return rows


def _assert_alike(homes: Homes, forms: Forms, message: IntakeMessage) -> bool:
    """Whether it was scanned; what it says is the same either way."""
    scanned = forms.scan(homes, message)
    if scanned is None:
        return False
    rows, refused = rows_of(homes, [scanned], LATER)
    assert not refused
    expected = _general(homes, message)
    for name in ("device", "slot", "values", "revision", "sequence", "known_at"):
        assert np.array_equal(getattr(rows, name), getattr(expected, name)), name
    return True


def _learnt(homes: Homes, data: bytes) -> Forms:
    forms = Forms()
    assert _assert_alike(homes, forms, _message(data))
    return forms


def test_a_form_is_known_in_every_slot_and_with_any_numbers() -> None:
    homes = _homes()
    forms = _learnt(homes, _body(FIRST, _counted()))
    assert _assert_alike(homes, forms, _message(_body(FIRST + 700, _counted(999_000)), sequence=9))
    assert _assert_alike(homes, forms, _message(_body(FIRST, _counted(), homes=("h1",))))


def test_a_form_knows_where_revisions_stand() -> None:
    homes = _homes()
    forms = _learnt(homes, _body(FIRST, _counted(), revision=0))
    assert _assert_alike(homes, forms, _message(_body(FIRST + 1, _counted(7), revision=12)))


@pytest.mark.parametrize(
    "text",
    ["-5", "012", "1.5", "1e3", " 7", "1000001", "99999999999999999999", '"5"', "null", "[1]", "true"],
)
def test_a_number_that_is_not_plain_goes_the_general_way(text: str) -> None:
    homes = _homes()
    data = _body(FIRST, _counted(500))
    forms = _learnt(homes, data)
    changed = data.replace(b":500,", f":{text},".encode())
    assert changed != data
    assert forms.scan(homes, _message(changed)) is None


@pytest.mark.parametrize(
    "change",
    [
        (b'"slot":"2026-01-05T00:00:00Z"', b'"slot":""'),
        (b'"slot":"2026-01-05T00:00:00Z"', b"\x00"),
        (b'"slot":"2026-01-05T00:00:00Z"', b'"slot":"2026-01-05T00:15:00Z"'),
        (b'"slot":"2026-01-05T00:00:00Z"', b'"slot":"2026-01-05\\"00:00:00Z"'),
    ],
)
def test_slots_that_differ_within_a_message_go_the_general_way(change: tuple[bytes, bytes]) -> None:
    homes = _homes()
    data = _body(FIRST, _counted())
    forms = _learnt(homes, data)
    assert forms.scan(homes, _message(data.replace(*change, 1))) is None


def test_another_senders_form_is_not_this_senders() -> None:
    homes = _homes()
    data = _body(FIRST, _counted(), homes=("h1",))
    forms = _learnt(homes, data)
    for _ in range(3):
        assert forms.scan(homes, _message(data, str(id_of("h2")))) is None
    assert _assert_alike(homes, forms, _message(data, str(id_of("h1"))))


def test_a_sender_whose_form_did_not_come_again_is_learnt_from_at_second_sight() -> None:
    homes, forms = _homes(), Forms()
    one, other = _body(FIRST, _counted(), homes=HOMES), _body(FIRST, _counted(), homes=HOMES[:2])
    assert _assert_alike(homes, forms, _message(one))
    assert [_assert_alike(homes, forms, _message(other)) for _ in range(2)] == [False, True]
    assert _assert_alike(homes, forms, _message(one))
    assert _assert_alike(homes, forms, _message(_body(FIRST, _counted(), homes=HOMES[1:])))


def test_a_device_twice_in_a_message_or_constant_numbers_are_not_learnt() -> None:
    homes = _homes()
    meter = str(id_of("h1METER")).encode()
    for data in (
        _body(FIRST, _counted()).replace(str(id_of("h1SOLAR")).encode(), meter.upper()),
        _body(FIRST, _counted()).replace(b":0,", b": 3,"),
    ):
        forms = Forms()
        for _ in range(3):
            assert forms.scan(homes, _message(data)) is None


def test_an_unknown_device_is_learnt_once_it_is_there() -> None:
    homes = _homes()
    data = _body(FIRST, _counted()).replace(str(id_of("h3SOLAR")).encode(), str(id_of("new")).encode())
    forms = Forms()
    for _ in range(3):
        assert forms.scan(homes, _message(data)) is None
    homes.add_device(99, str(id_of("new")), 2, "SOLAR", FIRST, NEVER, 1000, 0)
    assert [_assert_alike(homes, forms, _message(data)) for _ in range(3)][1:] == [True, True]


def test_what_must_be_refused_goes_the_general_way() -> None:
    homes = _homes(until=FIRST + 2)
    forms = _learnt(homes, _body(FIRST, _counted()))
    messages = [_message(_body(FIRST + slot, _counted()), sequence=slot) for slot in range(4)]
    scanned = [forms.scan(homes, message) for message in messages]
    now = microseconds(slot_start(FIRST))
    known = [each for each in scanned if each is not None]
    assert len(known) == 4
    rows, refused = rows_of(homes, known, LATER)
    assert (set(rows.slot.tolist()), [message.sequence for message in refused]) == (
        {FIRST, FIRST + 1},
        [2, 3],
    )
    rows, refused = rows_of(homes, known, now)
    assert (set(rows.slot.tolist()), [message.sequence for message in refused]) == ({FIRST}, [1, 2, 3])


_VALUES = st.one_of(
    st.integers(0, 1_000_001),
    st.sampled_from([0, 7, 10, 1_000_000]),
    st.none(),
    st.floats(0, 50),
    st.just(-1),
)
_EDITS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from([*b'0123456789:,}{"[]-.eE \\n', 0, 200]),
              st.sampled_from(["replace", "insert", "delete"])),
    max_size=3,
)  # fmt: skip


@given(
    values=st.lists(_VALUES, min_size=15, max_size=15),
    then=st.lists(st.integers(0, 1_000_000), min_size=15, max_size=15),
    revision=st.none() | st.integers(0, 3),
    edits=_EDITS,
    is_spaced=st.booleans(),
)
def test_whatever_comes_both_ways_read_the_same(
    values: list[Any], then: list[int], revision: int | None, edits: list[tuple[float, int, str]],
    is_spaced: bool,
) -> None:  # fmt: skip
    homes, forms = _homes(), Forms()
    first = _body(FIRST, iter(values), revision)
    second = _body(FIRST + 5, iter(then), revision)
    if is_spaced:
        first, second = first.replace(b",", b" ,"), second.replace(b",", b" ,")
    edited = bytearray(second)
    for place, byte, kind in edits:
        at = int(place * len(edited))
        edited[at : at + (kind != "insert")] = b"" if kind == "delete" else bytes([byte])
    for data in (first, first, second, second, bytes(edited), bytes(edited), first):
        _assert_alike(homes, forms, _message(data))


def test_ids_in_another_spelling_are_the_same_device() -> None:
    homes = _homes()
    data = _body(FIRST, _counted())
    for home in HOMES:
        plain = str(id_of(home + "METER"))
        data = data.replace(plain.encode(), UUID(plain).hex.upper().encode())
    forms = _learnt(homes, data)
    assert _assert_alike(homes, forms, _message(data.replace(b":0,", b":77,")))
