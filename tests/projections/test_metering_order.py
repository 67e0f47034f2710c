"""The tables are a function of the facts and the readings, never of the order in which they came."""

import random
from typing import Any

import pytest

from projections import message_forms, metering_batch
from projections.message_forms import SMALLEST_BYTES
from projections.metering_batch import StreamMessage, advance
from projections.metering_rebuild import compare
from projections.metering_tables import DERIVED, VALUES
from tests.projections.metered_grid import apply, connect, database, rows, state, taken
from tests.projections.metered_story import Story, told

_VALUES = ", ".join(f"r.{name}" for name in VALUES)
# When an energy that follows from two indexes was first known depends on what else came in the same batch.
_MEASURED = {
    "reading": f"""select device, slot, {_VALUES}, r.revision, case when i.device is null then r.sequence end
                   from reading r left join index_reading i using (device, slot)""",
    "index_reading": "select * from index_reading",
    "superseded": """select s.* from superseded s
                     where not exists (select from index_reading i where i.device = s.device)""",
    "mark": "select * from mark",
}
_DERIVED = {table: f"select * from {table}" for table in DERIVED if table != "metering_position"}


def _tables(url: str) -> dict[str, list[Any]]:
    return {name: sorted(map(repr, rows(url, query))) for name, query in (_MEASURED | _DERIVED).items()}


def _deliver(url: str, story: Story, seed: int) -> None:
    """Facts and messages, each in its own order, interleaved and cut into batches at random."""
    dice = random.Random(seed)
    facts, messages = list(story.facts), list(story.messages)
    state(*facts[:4], url=url)
    del facts[:4]
    with connect(url) as connection:
        held = taken(connection)
        while facts or messages:
            if facts and dice.random() < 0.5:
                count = dice.randrange(1, 6)
                state(*facts[:count], url=url)
                del facts[:count]
            count = dice.choice([0, 1, 3, 20, 80])
            batch: list[StreamMessage] = messages[:count]
            del messages[:count]
            advance(connection, held, batch)
            if dice.random() < 0.2:
                held = taken(connection)  # another worker takes over


@pytest.mark.parametrize(
    ("seed", "smallest"), [*((seed, SMALLEST_BYTES) for seed in range(4)), (4, 1), (5, 1)]
)
def test_metering_any_interleaving_gives_the_same_tables(
    metering_servers: str, monkeypatch: pytest.MonkeyPatch, seed: int, smallest: int
) -> None:
    """With the messages decoded, and with their forms remembered, however small they are; with all partitions
    settled at once, and one after the other."""
    monkeypatch.setattr(message_forms, "SMALLEST_BYTES", smallest)
    story = told(seed)
    found = []
    for interleaving in range(3):
        monkeypatch.setattr(metering_batch, "SETTLED_AT_ONCE", 1 if interleaving == 1 else 50_000)
        with database(metering_servers) as url:
            if interleaving:
                _deliver(url, story, seed * 100 + interleaving)
            else:
                state(*story.facts, url=url)
                apply(url, *story.messages)
            assert compare(url) == []
            found.append(_tables(url))
    assert len(found[0]["household_flow"]) > 10
    assert len(found[0]["superseded"]) > 5
    for name, expected in found[0].items():
        for other in found[1:]:
            assert other[name] == expected, name


def test_metering_a_second_application_changes_nothing(metering_servers: str) -> None:
    story = told(7)
    with database(metering_servers) as url:
        state(*story.facts, url=url)
        apply(url, *story.messages)
        before = _tables(url)
        apply(url, *story.messages)
        assert _tables(url) == before
