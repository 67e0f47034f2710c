"""The erasable table of places: a log from before communities were searched by their room is lifted once."""

from uuid import UUID

import psycopg

from tests.write_side.story import attach, id_of, register
from write_side.app import App
from write_side.commands import DetachDevice
from write_side.events import DeviceKind
from write_side.log import create_log

_AS_IT_WAS = """
alter table log.place drop column production_w;
drop table log.community_with_room;
create index place_cell on log.place (cell);
"""


def rows(url: str) -> list[list[tuple[object, ...]]]:
    with psycopg.connect(url) as connection:
        return [
            connection.execute(question).fetchall()
            for question in (
                "select name, production_w from log.place order by name",
                "select cell, community_id from log.community_with_room order by 1, 2",
            )
        ]


def test_an_older_log_is_lifted(new_database: str) -> None:
    app = App(new_database)
    commands = [
        *(register(f"neighbour {number:03}", "50") for number in range(200)),
        *(register("anna"), register("ben", "48.8700"), register("carl", "47")),
        attach("panels", "anna", DeviceKind.SOLAR, rated_power_w=3000),
        attach("generator", "anna", DeviceKind.GENERATOR, rated_power_w=2000),
        attach("other panels", "anna", DeviceKind.SOLAR, rated_power_w=500),
        attach("oven", "ben"),
        DetachDevice(household_id=id_of("anna"), device_id=id_of("other panels")),
    ]
    for future in [app.send(command, by="t") for command in commands]:
        future.result(10)
    app.close()
    before = rows(new_database)
    assert ("anna", 5000) in before[0]
    assert len({row[1] for row in before[1]}) == 2  # the one with 200 members has no room
    with psycopg.connect(new_database, autocommit=True) as connection:
        connection.execute(_AS_IT_WAS)
    create_log(new_database)
    assert rows(new_database) == before
    create_log(new_database)
    assert rows(new_database) == before
    assert all(isinstance(row[1], UUID) for row in before[1])
