"""Who is judged for autarky, as columns: households, communities, their rules, standings and memberships."""

from dataclasses import dataclass, field
from typing import LiteralString

import numpy as np

from projections.binary_copy import Array, Connection, Ints, read_columns
from write_side.events import (
    AutarkyRuleSet,
    CommunityFounded,
    CommunityJoined,
    CommunityLeft,
    HouseholdRegistered,
)
from write_side.rules.autarky import AutarkyRule
from write_side.rules.autarky_columns import STATES

# The facts that change who is judged or how.
_TELLING = [
    fact.__name__
    for fact in (AutarkyRuleSet, CommunityFounded, CommunityJoined, CommunityLeft, HouseholdRegistered)
]
NOBODY = -1
_NEVER = 2**31 - 1
_CODES = " ".join(f"when '{state.value}' then {code}" for code, state in enumerate(STATES))
_STANDING = f"""case s.state {_CODES} else 0 end as state, case s.remembered {_CODES} else 0 end as known"""
_SUBJECT_TYPES = {
    "number": "bigint", "id": "uuid", "since": "integer", "state": "integer", "known": "integer",
}  # fmt: skip
_HOUSEHOLDS = f"""select number, household_id as id,
      floor(extract(epoch from registered_at) / 900)::int as since, {_STANDING}
    from household left join autarky_state s on s.subject_id = household_id"""
_COMMUNITIES = f"""select community as number, community_id as id, 0 as since, {_STANDING}
    from community join meter_community using (community_id)
    left join autarky_state s on s.subject_id = community_id"""
_MEMBERSHIPS = f"""select h.number as household, community, from_slot,
      coalesce(until_slot, {_NEVER}) as until_slot
    from membership m join household h using (household_id) join meter_community on
      meter_community.community_id = m.community_id"""
_RULES: LiteralString = """window_slots, threshold_percent, hysteresis_points, dwell_slots,
    minimum_coverage_percent from autarky_rule"""


@dataclass
class Subjects:
    """Households or communities in the order of their numbers; `rule` is a place in `rules`.

    `state` and `known` are those of `rules.autarky_columns`; nobody is judged before slot `since`.
    """

    number: Ints
    id: Array
    since: Ints
    state: Ints
    known: Ints
    rule: Ints
    rules: list[AutarkyRule]

    def rule_column(self, name: str) -> Ints:
        """A whole number of each subject's rule."""
        return np.array([getattr(rule, name) for rule in self.rules], dtype=np.int64)[self.rule]


@dataclass
class Roster:
    """Everybody who is judged, as the views say it at `position`; `is_whole` once metering knows them all."""

    position: int
    households: Subjects
    communities: Subjects
    is_whole: bool
    _memberships: dict[str, Ints] = field(default_factory=dict)

    def community_at(self, slot: int) -> Ints:
        """The place of each household's community in a slot, NOBODY for none."""
        rows = self._memberships
        held = (rows["from_slot"] <= slot) & (slot < rows["until_slot"])
        found = np.full(len(self.households.number), NOBODY, dtype=np.int64)
        places = np.searchsorted(self.households.number, rows["household"][held])
        found[places] = np.searchsorted(self.communities.number, rows["community"][held])
        return found


def is_current(connection: Connection, roster: Roster, position: int) -> bool:
    """Whether no fact up to a position changes who is judged or how; the roster then stands for that one."""
    row = connection.execute(
        """select exists (select from fact where notification_id > %s and notification_id <= %s
             and topic = any(%s))""",
        (roster.position, position, _TELLING),
    ).fetchone()
    if row == (False,):
        roster.position = position
    return row == (False,)


def read_roster(connection: Connection, position: int) -> Roster:
    """Everybody, as the views are in this transaction; `position` is that of the view of households."""
    households = _subjects(connection, _HOUSEHOLDS, "household on household_id = subject_id", "number")
    communities = _subjects(
        connection, _COMMUNITIES, "meter_community on community_id = subject_id", "community"
    )
    row = connection.execute("select count(*) from community").fetchone()
    types = {"household": "bigint", "community": "bigint", "from_slot": "integer", "until_slot": "integer"}
    memberships = read_columns(connection, _MEMBERSHIPS, types)
    return Roster(position, households, communities, row == (len(communities.number),), memberships)


def _subjects(connection: Connection, query: str, joined: str, number: str) -> Subjects:
    columns = read_columns(connection, query, _SUBJECT_TYPES)
    order = np.argsort(columns["number"])
    subjects = Subjects(
        **{name: column[order] for name, column in columns.items()},
        rule=np.zeros(len(order), dtype=np.int64),
        rules=[AutarkyRule()],
    )
    places = {AutarkyRule(): 0}
    for of, window, threshold, hysteresis, dwell, coverage in connection.execute(
        f"select {number}, {_RULES} join {joined}".encode()
    ):
        rule = AutarkyRule(
            window_slots=window,
            threshold_percent=threshold,
            hysteresis_points=hysteresis,
            dwell_slots=dwell,
            minimum_coverage_percent=coverage,
        )
        place = places.setdefault(rule, len(places))
        if place == len(subjects.rules):
            subjects.rules.append(rule)
        at = np.searchsorted(subjects.number, of)
        subjects.rule[at] = place
    return subjects
