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
from gateway.access import mint

_HEALTHY_WITHIN_SECONDS = 90.0
_SETTLED_WITHIN_SECONDS = 20.0


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
        print(_welcome(access, _pierre_and_marie(access)), flush=True)
        while True:
            time.sleep(3600)


def _neighbourhood(access: Access, home: Path) -> Program:
    """Homes of the simulator, which reach the grid only as any outsider does."""
    addresses = ("--url", access.url, "--mqtt-url", access.mqtt_url, "--nats-url", access.nats_url)
    itself = ("--token", access.tokens["operator"], "--home", str(home / "neighbourhood"))
    command = (sys.executable, "-m", "simulator.neighbourhood", *addresses, *itself)
    return Program("neighbourhood", command, {"cwd": REPOSITORY}, home / "logs" / "neighbourhood.log")


def _pierre_and_marie(access: Access) -> dict[str, str]:
    """Their token once they live in the neighbourhood; nothing when they do not within some seconds."""
    deadline = time.monotonic() + _SETTLED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        own = _households(access).get("Pierre & Marie")
        if own is not None:
            return {"Pierre & Marie": mint(access.signing_key, "household", own, household=own)}
        time.sleep(0.2)
    return {}


def _households(access: Access) -> dict[str, str]:
    """Ids of the first households by their names, asked as the operator may; none while nobody answers."""
    import httpx  # not before the grid is up

    headers = {"Authorization": f"Bearer {access.tokens['operator']}"}
    question = {"query": "{ households(first: 20) { edges { node { uuid name } } } }"}
    try:
        answer = httpx.post(f"{access.url}/graphql", json=question, headers=headers, timeout=10).json()
        nodes = [edge["node"] for edge in answer["data"]["households"]["edges"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return {}
    return {node["name"]: node["uuid"] for node in nodes}


def _welcome(access: Access, household: dict[str, str]) -> str:
    people = household | tokens_of_people(access.signing_key)
    roles = {name: ROLE_OF.get(name, "household") for name in people}
    links = [f"  {name:14}  {roles[name]:10}  {access.url}/#token={people[name]}" for name in people]
    addresses = [
        f"playground  {access.url}/",
        f"GraphQL     {access.url}/graphql",
        f"health      {access.url}/health",
        f"MQTT        {access.mqtt_url}",
        f"NATS        {access.nats_url}",
    ]
    return "\n".join([*addresses, "", "the playground as one of its people:", *links, "", "Ctrl-C ends it."])
