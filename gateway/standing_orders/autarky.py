"""Judging autarky when a slot has closed: figures from the views, the rule, and what changed as a command."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from gateway.standing_orders.desk import Desk
from write_side.commands import ChangeAutarky
from write_side.events import AutarkyChange, AutarkyState
from write_side.rules.autarky import AutarkyRule, Change, Standing, judge, recount, window_rate
from write_side.rules.energy import self_sufficiency_percent
from write_side.rules.timeslots import slot_start

ORDER = "autarky"
LARGEST_STATEMENT = 200
_CENT = Decimal("0.01")

# Sums of the window that ends with slot %(slot)s, per subject; a subject without a rule has the default one.
_RULE = """coalesce(r.window_slots, %(window)s) as window_slots, coalesce(r.threshold_percent, %(threshold)s),
    coalesce(r.hysteresis_points, %(hysteresis)s), coalesce(r.dwell_slots, %(dwell)s),
    coalesce(r.minimum_coverage_percent, %(coverage)s)"""

_HOUSEHOLDS = f"""
select subject.household_id, subject.community_id, rule.*, coalesce(sums.own_wh, 0),
       coalesce(sums.consumption_wh, 0), coalesce(sums.counted, 0), rule.window_slots
from (select h.household_id, h.number, m.community_id from household h left join membership m
        on m.household_id = h.household_id and m.from_slot <= %(judged)s
           and (m.until_slot is null or m.until_slot > %(judged)s)
      where h.registered_at < %(end)s) subject
left join autarky_rule r on r.subject_id = subject.household_id
cross join lateral (select {_RULE}) rule
left join lateral (
    select sum(pv_to_load_wh + own_battery_to_load_wh) as own_wh, sum(consumption_wh) as consumption_wh,
           count(*) as counted
    from household_flow f where f.household = subject.number
      and f.slot > %(slot)s - rule.window_slots and f.slot <= %(slot)s) sums on true"""

_COMMUNITIES = f"""
select subject.community_id, subject.community_id, rule.*, coalesce(sums.own_wh, 0),
       coalesce(sums.consumption_wh, 0), coalesce(sums.counted, 0), rule.window_slots * subject.members
from (select community_id, count(*) as members from membership
      where from_slot <= %(judged)s and (until_slot is null or until_slot > %(judged)s)
      group by community_id) subject
left join autarky_rule r on r.subject_id = subject.community_id
cross join lateral (select {_RULE}) rule
left join lateral (
    select sum(self_supplied_wh) as own_wh, sum(consumption_wh) as consumption_wh, sum(households) as counted
    from community_flow f where f.community_id = subject.community_id
      and f.slot > %(slot)s - rule.window_slots and f.slot <= %(slot)s) sums on true"""


@dataclass(frozen=True)
class Figures:
    """The sums of one subject's window, energies in Wh; `expected` and `counted` are (household) slots."""

    subject_id: UUID
    community_id: UUID | None
    rule: AutarkyRule
    own_wh: int
    consumption_wh: int
    counted: int
    expected: int

    @property
    def rate(self) -> object:
        """The window's self-sufficiency in percent, None where it cannot be judged."""
        return window_rate(self.own_wh, self.consumption_wh, self.counted, self.expected, self.rule)


async def judge_slot(desk: Desk, slot: int, closing: int) -> None:
    """Judges every household and community at the closing of a slot and states what changed."""
    correlation = f"close/{slot_start(slot):%Y-%m-%dT%H:%MZ}"
    await desk.reached("households", closing)
    households = _changes(desk, _HOUSEHOLDS, slot)
    communities = {figures.subject_id: change for figures, change in _changes(desk, _COMMUNITIES, slot)}
    latest = None
    for name, command in _statements(slot, households, communities):
        key = f"autarky/{slot_start(slot):%Y-%m-%dT%H:%MZ}/{name}"
        position = await desk.try_send(command, key=key, cause=closing, correlation=correlation)
        latest = position or latest
    if latest is not None:
        await desk.reached("autarky", latest)
    desk.note_progress(ORDER, slot)


def _changes(desk: Desk, query: str, slot: int) -> list[tuple[Figures, AutarkyChange]]:
    figures = _figures(desk, query, slot, slot)
    longest = max((entry.rule.dwell_slots for entry in figures.values()), default=1)
    earlier = [_figures(desk, query, slot - back, slot) for back in range(longest - 1, 0, -1)]
    standings = _standings(desk)
    changes = []
    for subject_id, entry in figures.items():
        before = [window[subject_id].rate for window in earlier if subject_id in window]
        standing = standings.get(subject_id, Standing())
        kept = before[len(before) - (entry.rule.dwell_slots - 1) :] if entry.rule.dwell_slots > 1 else []
        standing = recount(standing, kept, entry.rule)  # type: ignore[arg-type]
        change = judge(standing, slot, entry.rate, entry.rule)[1]  # type: ignore[arg-type]
        if change is not None:
            changes.append((entry, _stated(entry, change)))
    return changes


def _figures(desk: Desk, query: str, slot: int, judged: int) -> dict[UUID, Figures]:
    default = AutarkyRule()
    rows = desk.connection.execute(
        query,
        {
            "slot": slot,
            "judged": judged,
            "end": slot_start(judged + 1),
            "window": default.window_slots,
            "threshold": default.threshold_percent,
            "hysteresis": default.hysteresis_points,
            "dwell": default.dwell_slots,
            "coverage": default.minimum_coverage_percent,
        },
    ).fetchall()
    return {row[0]: _read(row) for row in rows}


def _read(row: tuple[object, ...]) -> Figures:
    subject_id, community_id, window, threshold, hysteresis, dwell, coverage, *sums = row
    rule = AutarkyRule(
        window_slots=window,  # type: ignore[arg-type]
        threshold_percent=threshold,  # type: ignore[arg-type]
        hysteresis_points=hysteresis,  # type: ignore[arg-type]
        dwell_slots=dwell,  # type: ignore[arg-type]
        minimum_coverage_percent=coverage,  # type: ignore[arg-type]
    )
    own_wh, consumption_wh, counted, expected = (int(value) for value in sums)  # type: ignore[call-overload]
    return Figures(subject_id, community_id, rule, own_wh, consumption_wh, counted, expected)  # type: ignore[arg-type]


def _standings(desk: Desk) -> dict[UUID, Standing]:
    rows = desk.rows("select subject_id, state, since_slot, remembered from autarky_state")
    return {
        subject_id: Standing(
            state=AutarkyState(state),
            since_slot=since,
            known=None if remembered is None else AutarkyState(remembered),
        )
        for subject_id, state, since, remembered in rows
    }


def _stated(figures: Figures, change: Change) -> AutarkyChange:
    percent = self_sufficiency_percent(figures.own_wh, figures.consumption_wh)
    coverage = Decimal(100 * figures.counted) / max(figures.expected, 1)
    return AutarkyChange(
        subject_id=figures.subject_id,
        from_state=change.from_state,
        to_state=change.to_state,
        since_slot_start=slot_start(change.since_slot),
        self_sufficiency_percent=None if percent is None else percent.quantize(_CENT),
        own_wh=figures.own_wh,
        consumption_wh=figures.consumption_wh,
        coverage_percent=coverage.quantize(_CENT),
        notify=change.notify,
    )


def _statements(
    slot: int, households: list[tuple[Figures, AutarkyChange]], communities: dict[UUID, AutarkyChange]
) -> Iterator[tuple[str, ChangeAutarky]]:
    """One command per community with a change in it; lone households in chunks of a fact's size."""
    grouped: dict[UUID | None, list[AutarkyChange]] = defaultdict(list)
    for figures, change in households:
        grouped[figures.community_id].append(change)
    for community_id in [*communities, *(known for known in grouped if known not in communities)]:
        changed = grouped.get(community_id, [])
        for begin in range(0, max(len(changed), 1), LARGEST_STATEMENT):
            yield (
                f"{community_id or 'lone'}/{begin}",
                ChangeAutarky(
                    community_id=community_id,
                    slot_start=slot_start(slot),
                    households=tuple(changed[begin : begin + LARGEST_STATEMENT]),
                    community=communities.get(community_id) if community_id and begin == 0 else None,
                ),
            )
