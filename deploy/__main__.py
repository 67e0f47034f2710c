"""The command line of ./run.sh. Exit status: 0 held, 1 a step, test or comparison failed, 2 usage,
3 set-up or port."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.names import BENCHES
from deploy.access import Access, access_elsewhere, access_to, running
from deploy.checks import run_checks
from deploy.grid import REPOSITORY, Grid, Place
from deploy.interruption import raise_when_interrupted
from deploy.serve import serve
from deploy.setup_error import SetupError
from gateway.import_format import FORMAT

_INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Runs one command and answers its exit status."""
    raise_when_interrupted()
    if argv[:1] == ["test"]:
        return run_checks(argv[1:])
    chosen = _arguments().parse_args(argv)
    try:
        return int(chosen.run(chosen))
    except (SetupError, TimeoutError) as error:
        print(f"smartrix: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 0 if chosen.command == "serve" else _INTERRUPTED


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run.sh", description="Smartrix Grid. Without a command: plays scenarios."
    )
    parser.add_argument(
        "--scenarios", type=_numbers, default=(), metavar="1,2,3", help="all that stand, unless given"
    )
    parser.set_defaults(run=_play, command="play", url=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    scenario = commands.add_parser("scenario", help="one scenario, on its own grid or a running one")
    scenario.add_argument("scenarios", type=_numbers, metavar="N")
    served = commands.add_parser("serve", help="the grid until Ctrl-C, with a small living neighbourhood")
    served.add_argument("--wall", action="store_true", help="on the wall clock instead of the simulated one")
    served.add_argument("--fresh", action="store_true", help="delete what the home holds first")
    served.set_defaults(run=_serve, command="serve")
    commands.add_parser("test", help="the tests; arguments after it go to pytest")
    replayed = commands.add_parser("replay", help="measured data through the intake")
    replayed.add_argument("file", type=_path, metavar="FILE")
    replayed.add_argument("--household", metavar="ID", help="into this household instead of a new one")
    replayed.set_defaults(run=_replay)
    rebuilt = commands.add_parser("rebuild", help="a projection afresh, swapped in")
    rebuilt.add_argument("name", metavar="NAME")
    rebuilt.set_defaults(run=_rebuild)
    imported = commands.add_parser(
        "import",
        help="households with their devices from a CSV file",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=FORMAT,
    )
    imported.add_argument("file", type=_path, metavar="FILE")
    imported.set_defaults(run=_import)
    check = commands.add_parser("check", help="every live table against a rebuilt one, row by row")
    check.set_defaults(run=_check)
    measured = commands.add_parser("bench", help="figures, each beside its limit or rival in the same run")
    measured.add_argument("name", nargs="?", choices=BENCHES, metavar="NAME", help=", ".join(BENCHES))
    measured.add_argument("--json", type=_path, metavar="FILE", help="the rows, for a machine to read")
    measured.add_argument("--scale", type=float, default=1.0, metavar="N", help="less than 1: only a trial")
    measured.set_defaults(run=_bench)
    for command in (scenario, replayed):
        command.add_argument("--url", help="a running grid's address")
    for command in (scenario, served, replayed, rebuilt, imported, check):
        command.add_argument(
            "--home", type=_path, default=_default_home(), metavar="DIR", help="default: .grid"
        )
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _path(text: str) -> Path:
    """Relative to where ./run.sh was called, which is not always the repository."""
    return Path(os.environ.get("SMARTRIX_CALLED_FROM", ".")) / text


def _default_home() -> Path:
    return _path(os.environ["SMARTRIX_HOME"]) if "SMARTRIX_HOME" in os.environ else REPOSITORY / ".grid"


# What only one command needs is imported by it: `serve` is up a quarter of a second earlier.


def _play(chosen: argparse.Namespace) -> int:
    from simulator.scenarios import play

    def played(access: Access) -> int:
        numbers = list(chosen.scenarios or play.SCENARIOS)
        return play.main(access.url, access.mqtt_url, access.nats_url, access.tokens, numbers)

    if chosen.url:
        return played(access_elsewhere(chosen.url, chosen.home))
    with Grid(place=_place(free_ports=True)) as grid:
        grid.wait_healthy()
        return played(access_to(grid))


def _replay(chosen: argparse.Namespace) -> int:
    from simulator import replay

    def replayed(access: Access) -> int:
        return replay.main(str(chosen.file), access.url, access.tokens, access.mqtt_url, chosen.household)

    if not chosen.file.is_file():
        print(f"smartrix: there is no file {chosen.file}", file=sys.stderr)
        return 2
    if chosen.url:
        return replayed(access_elsewhere(chosen.url, chosen.home))
    with Grid(place=_place(free_ports=True)) as grid:
        grid.wait_healthy()
        return replayed(access_to(grid))


def _serve(chosen: argparse.Namespace) -> int:
    return serve(chosen.home, wall=chosen.wall, fresh=chosen.fresh, place=_place(free_ports=False))


def _rebuild(chosen: argparse.Namespace) -> int:
    return _on_projections(chosen.home, ["rebuild", chosen.name])


def _check(chosen: argparse.Namespace) -> int:
    return _on_projections(chosen.home, ["check"])


def _bench(chosen: argparse.Namespace) -> int:
    from bench.run import main as run_bench

    return run_bench(chosen.name, chosen.json, chosen.scale)


def _import(chosen: argparse.Namespace) -> int:
    from gateway import importing

    if not chosen.file.is_file():
        print(f"smartrix: there is no file {chosen.file}", file=sys.stderr)
        return 2
    return _with_database(chosen.home, lambda: importing.main(chosen.file, os.environ["DATABASE_URL"]))


def _on_projections(home: Path, arguments: list[str]) -> int:
    from projections import rebuild

    return _with_database(home, lambda: rebuild.main(arguments))


def _with_database(home: Path, work: Callable[[], int]) -> int:
    """Beside a grid that runs in the home, else with only its servers up."""
    run = running(home)
    if run is None and not (home / "postgres-password").exists():
        raise SetupError(f"there is no grid in {home}: ./run.sh serve makes one, --home names another")
    if run is not None:
        os.environ.update(_addresses(run["databaseUrl"], run["natsUrl"]))
        return work()
    with Grid(home, parts=["device-access"]) as grid:
        grid.wait_for_servers()
        os.environ.update(_addresses(grid.database_url, grid.nats_url))
        return work()


def _addresses(database_url: str, nats_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "NATS_URL": nats_url}


def _place(*, free_ports: bool) -> Place:
    """What the environment says of ports and of servers that already run."""
    env = os.environ
    return Place(
        port=None if free_ports else int(env.get("SMARTRIX_PORT", "8000")),
        nats_port=None if free_ports else int(env.get("SMARTRIX_NATS_PORT", "4222")),
        mqtt_port=None if free_ports else int(env.get("SMARTRIX_MQTT_PORT", "1883")),
        database_url=env.get("DATABASE_URL"),
        nats_url=env.get("NATS_URL"),
        mqtt_url=env.get("MQTT_URL"),
        signing_key=env.get("SMARTRIX_SIGNING_KEY"),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
