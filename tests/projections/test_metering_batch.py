"""What a worker does of many homes at a time, and that it lets go of them."""

import gc
import weakref
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import metering_batch
from projections.metered_homes import Homes, partition_of
from projections.metering_batch import load_partitions, portions
from tests.projections.metered_grid import community, connect, database, device, founded, household, joined
from tests.projections.metered_grid import state as stated
from write_side.settings import PARTITIONS


@given(counts=st.lists(st.integers(0, 9), min_size=PARTITIONS, max_size=PARTITIONS), most=st.integers(1, 30))
def test_portions_are_all_partitions_once_in_order_and_no_larger_than_need_be(
    counts: list[int], most: int
) -> None:
    homes, asked = Homes(), [p for p in range(PARTITIONS) if p != 3]
    for partition, count in enumerate(counts):
        for number in range(count):
            homes.add_household(number, uuid4(), _AREA[partition], 45.0, 4.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metering_batch, "SETTLED_AT_ONCE", most)
        found = list(portions(homes, asked))
    assert [partition for portion in found for partition in portion] == asked
    sizes = [sum(counts[p] for p in portion) for portion in found]
    assert all(size <= most or len(portion) == 1 for size, portion in zip(sizes, found, strict=True))
    firsts = [counts[portion[0]] for portion in found[1:]]
    assert all(size + first > most for size, first in zip(sizes, firsts, strict=False))


def test_what_is_known_of_partitions_goes_with_them_without_the_garbage_collector(
    metering_servers: str,
) -> None:
    """The workers take it out of the collector's sight."""
    facts = founded(), community("c"), household("h"), joined("c", "h"), device("m", "h", "METER")
    with database(metering_servers) as url:
        stated(*facts, url=url)
        with connect(url) as connection:
            metering_batch.advance(connection, load_partitions(connection, range(PARTITIONS)), [])
            gc.disable()
            try:
                held = load_partitions(connection, range(PARTITIONS))
                assert held.homes.households.count == 1
                homes = weakref.ref(held.homes)
                del held
                assert homes() is None
            finally:
                gc.enable()


def _areas() -> dict[int, str]:
    found: dict[int, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        found.setdefault(partition_of(f"area {number}"), f"area {number}")
        number += 1
    return found


_AREA = _areas()
