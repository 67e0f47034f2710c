"""A smoke run of the bench of commands: its figures' shape, and that its check finds what is wrong."""

import random

import pytest

from bench import commands
from bench.figures import WrongAnswer
from bench.mutations import check, homes, mixed
from deploy.servers import servers
from write_side.app import App
from write_side.log import create_log


def test_few_commands_are_right_and_measured() -> None:
    figures = commands.run(0.005)
    assert [figure.unit for figure in figures] == ["ms", "ms", "1/s", "cores", "1/s", "cores"]
    assert all(figure.figure > 0 for figure in figures)


def test_a_command_lost_or_doubled_is_found() -> None:
    chance = random.Random(1)
    town = homes(3, chance)
    with servers() as grid:
        create_log(grid.database_url)
        app = App(grid.database_url)
        commands.called(app, [("t", str(n), home.commands()[0]) for n, home in enumerate(town)], 10)
        mutations = mixed(20, town, iter(homes(20, chance, 3)), chance)
        rename = next(each for each in mutations if each.kind == "rename")
        receipts = commands.called(app, [(rename.by, rename.key, rename.command())], 1)
        app.close()
        told = {rename.key: receipts[0].position}
        check(grid.database_url, told, [rename])
        never = next(each for each in mutations if each.kind == "rename" and each is not rename)
        for lie, sent in (
            ({rename.key: told[rename.key] + 1}, [rename]),
            (told | {never.key: 1}, [rename, never]),
        ):
            with pytest.raises(WrongAnswer):
                check(grid.database_url, lie, sent)
