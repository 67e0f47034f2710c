"""The grid kept running for people to use, with a small living neighbourhood, until Ctrl-C."""

import sys
import time
from pathlib import Path

from deploy.access import Access, access_to
from deploy.grid import REPOSITORY, Grid, Place
from deploy.home import delete_home, is_in_use
from deploy.people import ROLE_OF, tokens_of_people
from deploy.process import Program
from deploy.setup_error import SetupError

_HEALTHY_WITHIN_SECONDS = 90.0


def serve(home: Path, *, wall: bool, fresh: bool, place: Place) -> int:
    """Runs until interrupted; `fresh` deletes what the home held before."""
    if fresh and home.exists():
        if is_in_use(home):
            raise SetupError(f"another run of the grid uses {home}: end it first")
        delete_home(home)
    with Grid(home, wall=wall, place=place) as grid:
        print(f"starting in {grid.home}", flush=True)
        grid.wait_healthy(_HEALTHY_WITHIN_SECONDS)
        access = access_to(grid)
        grid.run_beside(_neighbourhood(access, grid.home))
        print(_welcome(access), flush=True)
        while True:
            time.sleep(3600)


def _neighbourhood(access: Access, home: Path) -> Program:
    """Homes of the simulator, which reach the grid only as any outsider does."""
    addresses = ("--url", access.url, "--mqtt-url", access.mqtt_url, "--nats-url", access.nats_url)
    itself = ("--token", access.tokens["operator"], "--home", str(home / "neighbourhood"))
    command = (sys.executable, "-m", "simulator.neighbourhood", *addresses, *itself)
    return Program("neighbourhood", command, {"cwd": REPOSITORY}, home / "logs" / "neighbourhood.log")


def _welcome(access: Access) -> str:
    people = tokens_of_people(access.signing_key)
    links = [f"  {name:13} {ROLE_OF[name]:11} {access.url}/#token={token}" for name, token in people.items()]
    addresses = [
        f"playground  {access.url}/",
        f"GraphQL     {access.url}/graphql",
        f"health      {access.url}/health",
        f"MQTT        {access.mqtt_url}",
        f"NATS        {access.nats_url}",
    ]
    return "\n".join([*addresses, "", "the playground as one of its people:", *links, "", "Ctrl-C ends it."])
