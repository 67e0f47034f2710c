"""Running sums of the windows autarky is judged on: each closing adds the slot that comes and takes the one
that goes; whose past flows have changed is summed afresh.
"""

from dataclasses import dataclass

import numpy as np

from projections.binary_copy import Connection, Ints, read_columns

# Two ends of a window are kept: the one judged, and the one before, which a dwell of two slots looks at.
ENDS = 2
_FEW = 1000  # so many are looked up each by itself, where more are read in one go
_SUM_TYPES = {"own": "bigint", "consumption": "bigint", "counted": "bigint"}


@dataclass(frozen=True)
class Source:
    """Where the flows of a slot are read: of all there are, and of one key."""

    flows: str
    of_key: str
    has_slot_index: bool


_HOUSEHOLD_SUMS = """sum(pv_to_load_wh + own_battery_to_load_wh)::bigint as own,
    sum(consumption_wh)::bigint as consumption, count(*) as counted"""
HOUSEHOLDS = Source(
    flows=f"select household as key, {_HOUSEHOLD_SUMS} from household_flow"
    " where slot between %s and %s group by household",
    of_key=f"select {_HOUSEHOLD_SUMS} from household_flow f"
    " where f.household = w.key and f.slot between w.first and w.last",
    has_slot_index=True,
)
COMMUNITIES = Source(
    flows="",
    of_key="""select sum(self_supplied_wh)::bigint as own, sum(consumption_wh)::bigint as consumption,
        sum(households)::bigint as counted from meter_community join community_flow f using (community_id)
        where community = w.key and f.slot between w.first and w.last""",
    has_slot_index=False,
)


class WindowSums:
    """The sums of every subject's window: `own`, `consumption`, `counted`, one row per end, the newest first.

    Subjects are named by ascending numbers; `windows` are their lengths in slots.
    """

    def __init__(self, source: Source, numbers: Ints, windows: Ints) -> None:
        self._source = source
        self.numbers = numbers
        self.windows = windows
        self.until: int | None = None
        self.sums = np.zeros((3, ENDS, len(numbers)), dtype=np.int64)

    def places_of(self, numbers: Ints) -> Ints:
        """Where these subjects stand, without those who are unknown here."""
        if not len(self.numbers):
            return np.empty(0, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        known: Ints = places[self.numbers[places] == numbers]
        return known

    def take_over(self, earlier: "WindowSums") -> Ints:
        """Keeps what stood before for those whose window is the same; answers who is to be summed afresh."""
        self.until = earlier.until
        if not len(earlier.numbers):
            return np.arange(len(self.numbers))
        places = np.minimum(np.searchsorted(earlier.numbers, self.numbers), len(earlier.numbers) - 1)
        is_same = (earlier.numbers[places] == self.numbers) & (earlier.windows[places] == self.windows)
        self.sums[:, :, is_same] = earlier.sums[:, :, places[is_same]]
        return np.flatnonzero(~is_same)

    def bring_to(self, connection: Connection, slot: int, changed: Ints) -> None:
        """Ends the windows with this slot; `changed` are the places whose flows before it are others now."""
        if self.until == slot - 1:
            everyone = np.arange(len(self.numbers))
            here, gone = np.full_like(everyone, slot), slot - self.windows
            moved = self.between(connection, everyone, here, here)
            moved -= self.between(connection, everyone, gone, gone)
            self.sums[:, 1] = self.sums[:, 0]
            self.sums[:, 0] += moved
        elif self.until != slot:
            changed = np.arange(len(self.numbers))
        self.until = slot
        for end in range(ENDS):
            last = np.full_like(changed, slot - end)
            first = last - self.windows[changed] + 1
            self.sums[:, end, changed] = self.between(connection, changed, first, last)

    def between(self, connection: Connection, places: Ints, first: Ints, last: Ints) -> Ints:
        """The sums of these places, each from its own first slot to its own last one."""
        found = np.zeros((3, len(places)), dtype=np.int64)
        alone = np.ones(len(places), dtype=np.bool_)
        if self._source.has_slot_index:
            spans, which, sizes = np.unique(
                np.stack([first, last]), axis=1, return_inverse=True, return_counts=True
            )
            for span in np.flatnonzero(sizes > max(_FEW, len(self.numbers) // 20)):
                part = np.flatnonzero(which == span)
                begin, end = spans[:, span]
                found[:, part] = self._of_all(connection, int(begin), int(end))[:, places[part]]
                alone[part] = False
        some = np.flatnonzero(alone)
        if len(some):
            found[:, some] = self._of_some(connection, self.numbers[places[some]], first[some], last[some])
        return found

    def _of_all(self, connection: Connection, first: int, last: int) -> Ints:
        rows = read_columns(connection, self._source.flows, {"key": "bigint", **_SUM_TYPES}, (first, last))
        places = np.minimum(np.searchsorted(self.numbers, rows["key"]), len(self.numbers) - 1)
        known = self.numbers[places] == rows["key"]
        found = np.zeros((3, len(self.numbers)), dtype=np.int64)
        found[:, places[known]] = np.stack([rows[name][known] for name in _SUM_TYPES])
        return found

    def _of_some(self, connection: Connection, numbers: Ints, first: Ints, last: Ints) -> Ints:
        rows = read_columns(
            connection,
            f"""select place, coalesce(own, 0) as own, coalesce(consumption, 0) as consumption,
                  coalesce(counted, 0) as counted
                from unnest(%s::bigint[], %s::int[], %s::int[]) with ordinality as w (key, first, last, place)
                cross join lateral ({self._source.of_key}) sums""",
            {"place": "bigint", **_SUM_TYPES},
            [_literal(column) for column in (numbers, first, last)],
        )
        found = np.zeros((3, len(numbers)), dtype=np.int64)
        found[:, rows["place"] - 1] = np.stack([rows[name] for name in _SUM_TYPES])
        return found


def _literal(column: Ints) -> str:
    return "{" + ",".join(map(str, column.tolist())) + "}"


def take_changed(connection: Connection) -> tuple[Ints, Ints]:
    """Households and communities, by number, whose flows of settled slots have changed since it was asked."""
    rows = connection.execute("delete from flow_change returning household, community").fetchall()
    households, communities = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return np.unique(households), np.unique(communities)
