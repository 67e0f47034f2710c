"""Readings through the real database into household, community and grid energy."""

from collections.abc import Iterator

import pytest

from tests.projections.metered_grid import (
    FIRST,
    Stream,
    apply,
    clock,
    community,
    database,
    device,
    founded,
    household,
    id_of,
    joined,
    reading,
    rows,
    state,
)


@pytest.fixture
def url(metering_servers: str) -> Iterator[str]:
    with database(metering_servers) as url:
        state(
            founded(),
            community("c"),
            household("h1"),
            joined("c", "h1"),
            household("h2"),
            joined("c", "h2"),
            device("m1", "h1", "METER"),
            device("pv", "h1", "SOLAR"),
            device("bat", "h1", "BATTERY", capacity_wh=5000, efficiency_permille=900),
            device("m2", "h2", "METER"),
            clock(FIRST + 8),
            url=url,
        )
        yield url


def test_metering_example_3_of_a_community_with_a_battery(url: str) -> None:
    sent = Stream()
    apply(
        url,
        sent.sent(
            "h1",
            reading(
                FIRST,
                m1={"gridImportWh": 0, "gridExportWh": 300},
                pv={"productionWh": 1000},
                bat={"chargeWh": 500, "dischargeWh": 0},
            ),
        ),
        sent.sent("h2", reading(FIRST, m2={"gridImportWh": 400, "gridExportWh": 0})),
        *sent.marks(FIRST),
        sent.sent(
            "h1",
            reading(
                FIRST + 1,
                m1={"gridImportWh": 0, "gridExportWh": 100},
                pv={"productionWh": 0},
                bat={"chargeWh": 0, "dischargeWh": 400},
            ),
        ),
        sent.sent("h2", reading(FIRST + 1, m2={"gridImportWh": 400, "gridExportWh": 0})),
        *sent.marks(FIRST + 1),
    )
    assert rows(url, "select consumption_wh from household_energy order by slot, household") == [
        (200,),
        (400,),
        (300,),
        (400,),
    ]
    flows = rows(
        url,
        """select shared_wh, self_supplied_wh, consumption_wh, from_outside_wh, to_outside_wh, households
           from community_flow where community_id = %s order by slot""",
        id_of("c"),
    )
    assert flows == [(300, 200 + 300, 600, 100, 0, 2), (100, 300 + 100, 700, 300, 0, 2)]
    stock = rows(
        url, "select stock_own_wh, stock_local_wh, stock_grid_wh from household_flow order by slot, household"
    )
    assert stock[0] == (450, 0, 0)
    assert stock[2] == (50, 0, 0)


def test_rebuilt_equal(url: str) -> None:
    from projections.metering_rebuild import compare, rebuild

    test_metering_example_3_of_a_community_with_a_battery(url)
    assert compare(url) == []
    rebuild(url)
    assert compare(url) == []
    assert len(rows(url, "select * from household_flow")) == 4
