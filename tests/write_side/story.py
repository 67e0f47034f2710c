"""Stories: given what happened, when something is asked, then that follows; pure, or on the real log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, Self, TypeVar
from uuid import UUID, uuid4, uuid5

import psycopg
from msgspec.structs import replace

from write_side.command_group import Job, Outcome, Receipt, decide_group
from write_side.commands import AttachDevice, Command, Refusal, RegisterHousehold
from write_side.events import DeviceKind, Fact, Flexibility
from write_side.log import head, read_facts
from write_side.past import Fold

S = TypeVar("S")

_IDS = UUID("6d1b7a8e-0000-4000-8000-000000000000")
SLOT = timedelta(minutes=15)
NOW = datetime(2026, 3, 14, 10, 7, 30, tzinfo=UTC)  # inside the slot that began at 10:00
BEGUN = datetime(2026, 3, 14, 10, 0, tzinfo=UTC)
NEXT = datetime(2026, 3, 14, 10, 15, tzinfo=UTC)


def id_of(name: str) -> UUID:
    """The same name, the same id."""
    return uuid5(_IDS, name)


@dataclass(frozen=True)
class Told:
    """What came of a command: facts and an answer, or a refusal."""

    facts: tuple[Fact, ...] = ()
    refusal: Exception | None = None
    answer: dict[str, str] = field(default_factory=dict)
    position: int = 0

    def then(self, *expected: Fact) -> Self:
        """Exactly these facts, in this order."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert self.facts == expected
        return self

    def refused(self, rule: type[Refusal], saying: str) -> None:
        """Refused by this rule, with these words in its text."""
        assert type(self.refusal) is rule, f"{self.refusal!r}, {self.facts}"
        assert saying in str(self.refusal)


@dataclass(frozen=True)
class Given(Generic[S]):
    """A state that facts have led to."""

    state: S

    def when(self, decide: Callable[..., Sequence[Fact]], *more: object) -> Told:
        """What a pure decision says of the state and what else it is given."""
        try:
            return Told(tuple(decide(self.state, *more)))
        except Refusal as refusal:
            return Told(refusal=refusal)


def given(fold: Fold[S], *facts: Fact) -> Given[S]:
    """The past, folded as its module folds it."""
    state = fold.initial
    for fact in facts:
        state = fold.evolve(state, fact)
    return Given(state)


class LogStory:
    """A story on the real log, in a transaction that the test's end takes back."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.now = NOW
        self.position = 0

    def at(self, now: datetime) -> Self:
        """What follows happens at this time."""
        self.now = now
        return self

    def given(self, *commands: Command) -> Self:
        """Commands that stood."""
        for command in commands:
            told = self.when(command)
            assert told.refusal is None, f"{command} was refused: {told.refusal!r}"
            self.position = told.position
        return self

    def when(self, command: Command) -> Told:
        """What comes of a command."""
        before = head(self.connection)
        outcome = self.group(command)[0]
        if not isinstance(outcome, Receipt):
            assert head(self.connection) == before, "a refused command left facts behind"
            return Told(refusal=outcome)
        facts = tuple(recorded.fact for recorded in read_facts(self.connection, before, 10_000))
        return Told(facts, None, outcome.answer, outcome.position)

    def group(self, *commands: Command) -> list[Outcome]:
        """What comes of commands that wait together."""
        jobs = [Job(command, "test", str(uuid4()), None, "story") for command in commands]
        return decide_group(self.connection, jobs, self.now, simulated=True)

    def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """What the tables beside the log hold."""
        return self.connection.execute(query, params).fetchall()


def register(
    who: str, /, latitude: str = "48.8566", longitude: str = "2.3522", **other: Any
) -> RegisterHousehold:
    """A household's registration, at Paris unless said otherwise."""
    command = RegisterHousehold(
        household_id=id_of(who),
        name=who,
        address=f"1, rue {who}",
        latitude_deg=Decimal(latitude),
        longitude_deg=Decimal(longitude),
        subscribed_power_w=6000,
    )
    return replace(command, **other)


def attach(who: str, of: str, /, kind: DeviceKind = DeviceKind.APPLIANCE, **other: Any) -> AttachDevice:
    """A device's attaching, an appliance of 1000 W unless said otherwise."""
    command = AttachDevice(
        device_id=id_of(who),
        household_id=id_of(of),
        kind=kind,
        name=who,
        since=None,
        flexibility=Flexibility.ESSENTIAL,
        rated_power_w=1000,
        capacity_wh=0,
        reserve_wh=0,
        efficiency_permille=1000,
        tilt_deg=None,
        azimuth_deg=None,
    )
    return replace(command, **other)
