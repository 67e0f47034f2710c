"""Smoke runs of the intake benches: the shape of their figures, and that they see a wrong total."""

import itertools

import msgspec
import pytest

from bench import intake, intake_small, workers
from bench.figures import WrongAnswer
from bench.intake_messages import Expected, Sent, from_concentrators
from bench.metered_load import FIRST, VARIANTS, communities


@pytest.fixture
def misled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Each check is made again as if one message more had been sent; how many slots of homes there were."""
    check, found = Expected.check, list[int]()

    def twice(self: Expected, database_url: str) -> int:
        found.append(check(self, database_url))
        self.add([Sent(0, 0, FIRST + 30_000, 0, 0, 0)])
        with pytest.raises(WrongAnswer):
            check(self, database_url)
        return found[-1]

    monkeypatch.setattr(Expected, "check", twice)
    return found


def test_intake_says_its_figures_and_sees_a_wrong_total(misled: list[int]) -> None:
    figures = intake.run(0.01)
    assert [figure.unit for figure in figures] == ["readings/s", "", "readings/s", "ms", "% of a core"]
    assert all(figure.figure > 0 for figure in figures)
    assert misled[0] > 0


def test_intake_small_says_its_figures_and_sees_a_wrong_total(misled: list[int]) -> None:
    figures = intake_small.run(0.01)
    assert [figure.unit for figure in figures] == ["messages/s", "readings/s", "ms", "% of a core"]
    assert all(figure.figure > 0 for figure in figures)
    assert misled[0] > 0


def test_workers_says_its_figures_and_sees_a_wrong_total(misled: list[int]) -> None:
    figures = workers.run(0.01)
    assert [figure.unit for figure in figures] == ["readings/s"] * 4
    assert all(figure.figure > 0 for figure in figures)
    assert len(misled) == 3


def test_concentrators_messages_are_what_their_sums_say() -> None:
    community = communities(1, 10)[0]
    for variant in range(VARIANTS):
        told = msgspec.json.decode(community.message(variant, FIRST))["households"]
        for home, line in zip(community.homes, community.sums[variant].tolist(), strict=True):
            reading = told[str(home.household)]
            assert reading["slot"] == "2026-01-05T00:00:00Z"
            kinds = {str(device): kind for device, kind in home.devices}
            meter, others = {}, dict[str, int]()
            for device, values in reading["devices"].items():
                if kinds[device] == "METER":
                    meter = values
                elif kinds[device] in ("SOLAR", "BATTERY"):
                    others |= values
            assert line[2:4] == [meter["gridImportWh"], meter["gridExportWh"]]
            assert line[1] == others.get("productionWh", 0)
            entering = line[1] + meter["gridImportWh"] + others.get("dischargeWh", 0)
            assert line[0] == entering - meter["gridExportWh"] - others.get("chargeWh", 0)


def test_every_tenth_message_is_a_second_one() -> None:
    sent = list(itertools.islice(from_concentrators(4, 0, revisit=True), 1000))
    seen: set[tuple[int, int]] = set()
    again = corrected = 0
    for message in sent:
        again += (message.community, message.slot) in seen
        corrected += message.revision
        seen.add((message.community, message.slot))
    assert 90 < again < 110
    assert 0 < corrected < again
