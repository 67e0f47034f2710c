"""What the watcher of a scenario reads, above all when a step does not hold."""

import pytest

from simulator.scenarios.narrative import Narrative, StepFailed


def test_a_failed_step_says_what_was_expected_and_seen(capsys: pytest.CaptureFixture[str]) -> None:
    told = Narrative()

    def play() -> None:
        with told.step(7, "Production exceeds consumption."):
            told.holds("productionWh", 784, 784)
            told.holds("consumptionWh", None, 300)

    with pytest.raises(StepFailed):
        play()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "   7  Production exceeds consumption."
    assert lines[1].split() == ["holds", "productionWh:", "784"]
    assert lines[-1].strip() == "FAILED   consumptionWh: expected 300, seen None"


def test_facts_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    Narrative().facts(["SlotClosed", "AutarkyChanged", "SlotClosed"])
    assert capsys.readouterr().out.split() == ["facts", "SlotClosed", "x2,", "AutarkyChanged"]
