"""Import in bulk: households with their devices, many to a group, by the same commands and deciders.

A household and its devices stand or fall together under one key, so a file that is sent again adds
nothing, and a refusal names the command that broke a rule.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import uuid4

import psycopg

from write_side.app import utc_now
from write_side.clock import FOUNDING, GRID_STREAM
from write_side.commands import AttachDevice, RegisterHousehold
from write_side.group import Job, Outcome, decide_group
from write_side.past import Past

LARGEST_GROUP = 400
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Newcomer:
    """A household and what is attached in it, under the key that tells it from all others."""

    key: str
    household: RegisterHousehold
    devices: tuple[AttachDevice, ...]


def import_newcomers(
    connection: psycopg.Connection[Any], newcomers: Iterable[Newcomer], *, by: str
) -> Iterator[Sequence[tuple[Newcomer, Outcome]]]:
    """What became of each newcomer, group by group; each group stands on disk when it is answered.

    A group that was not answered is sent once more: the keys tell what stood. psycopg.Error after that.
    """
    simulated = Past(connection, utc_now()).fold(GRID_STREAM, FOUNDING).simulated
    correlation = str(uuid4())
    each = iter(newcomers)
    while group := list(islice(each, LARGEST_GROUP)):
        jobs = [
            Job(newcomer.household, by, newcomer.key, None, correlation, newcomer.devices)
            for newcomer in group
        ]
        outcomes = decide_group(connection, jobs, utc_now(), simulated=simulated, patience_s=PATIENCE_S)
        yield list(zip(group, outcomes, strict=True))
