"""Autarky: how far a household or community feeds itself, its state, its rule, and every change of it."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry
from strawberry import relay

from gateway.access import Principal
from gateway.context import Context, Info
from gateway.described import listed, told
from gateway.following import follow
from gateway.global_ids import raw_id
from gateway.permission import guarded, inside
from gateway.positions import Place, written
from gateway.scalars import Position, WattHours
from gateway.series import percent
from gateway.tails import LAST_ID
from gateway.windows import Window
from projections import read_autarky, read_energy
from projections.expected_readings import Span, expected
from projections.read_autarky import ChangeRow, HourSums
from projections.read_communities import community
from projections.read_households import household
from projections.visibility import Scope
from write_side.rules import energy
from write_side.rules.autarky import AutarkyRule as Rule
from write_side.rules.timeslots import slot_start

if TYPE_CHECKING:
    from gateway.communities import Community
    from gateway.households import Household

LazyHousehold = Annotated["Household", strawberry.lazy("gateway.households")]
LazyCommunity = Annotated["Community", strawberry.lazy("gateway.communities")]
_HUNDREDTH = Decimal("0.01")


@listed
class AutarkyStatus(StrEnum):
    """Where a household or community stands with autarky."""

    REACHED = "REACHED"
    NOT_REACHED = "NOT_REACHED"
    UNKNOWN = "UNKNOWN"


@inside
class Figure:
    """A figure that can be undefined."""

    value: Decimal | None = strawberry.field(
        description="The figure, percent, to a hundredth; null: see reason."
    )
    coverage_percent: Decimal = strawberry.field(
        description="Slots with every series of the formula among those expected, percent."
    )
    reason: str | None = strawberry.field(description="Why there is no value; null where there is one.")


@inside
class MissingHour:
    """What one hour of the day lacks for full self-sufficiency."""

    local_hour: int = strawberry.field(description="The hour of the day, 0 to 23, in Europe/Paris.")
    wh: WattHours = strawberry.field(description="Load of that hour not served by own energy, Wh in all.")


@inside
class AutarkyFigures:
    """How far a household or community fed itself over a window."""

    start: datetime = strawberry.field(description="When the window begins.")
    end: datetime = strawberry.field(description="When the window ends.")
    self_sufficiency_percent: Figure = strawberry.field(
        description="The autarky rate: load served by own production and own stored energy over consumption; "
        "for a community also what members received from each other. Percent."
    )
    self_consumption_percent: Figure = strawberry.field(
        description="Production that did not leave the house (the community) over production, percent."
    )
    coverage_ratio_percent: Figure = strawberry.field(
        description="Production over consumption, percent; may pass 100 and is not autarky."
    )
    local_share_percent: Figure = strawberry.field(
        description="Load served by the community's other members over consumption, percent."
    )
    missing_wh: WattHours | None = strawberry.field(
        description="What keeps it below its threshold here, Wh; 0 at or above; null where unknown."
    )
    missing_hours: list[MissingHour] = strawberry.field(
        description="The hours of the day that lack own energy, the most first."
    )


@inside
class AutarkyState:
    """Where a household or community stands with autarky."""

    status: AutarkyStatus = strawberry.field(
        description="The state by its rule; UNKNOWN before any judgement."
    )
    since: datetime | None = strawberry.field(
        description="The first slot of the dwell that led to it; null before any."
    )
    changed_slot_start: datetime | None = strawberry.field(
        description="The slot whose closing changed it last; null before any."
    )


@inside
class AutarkyRule:
    """How autarky is judged at each closing."""

    window_slots: int = strawberry.field(description="Slots of 15 minutes that the rate is taken over.")
    threshold_percent: Decimal = strawberry.field(
        description="Reached from this self-sufficiency on, percent."
    )
    hysteresis_points: Decimal = strawberry.field(description="Lost when so many points below the threshold.")
    dwell_slots: int = strawberry.field(description="Slots it must hold before the state changes.")
    minimum_coverage_percent: Decimal = strawberry.field(
        description="A slot whose window has less data than this is not judged, percent."
    )


def rule_of(rule: Rule) -> AutarkyRule:
    """A rule as the schema tells it."""
    return AutarkyRule(
        window_slots=rule.window_slots,
        threshold_percent=rule.threshold_percent,
        hysteresis_points=rule.hysteresis_points,
        dwell_slots=rule.dwell_slots,
        minimum_coverage_percent=rule.minimum_coverage_percent,
    )


async def autarky_rule(context: Context, subject_id: UUID) -> AutarkyRule:
    """The rule of a household or community."""
    return rule_of(await context.parts.reads.autarky_rule(subject_id))


async def autarky_state(context: Context, subject_id: UUID) -> AutarkyState:
    """The state of a household or community."""
    row = await context.parts.reads.autarky_state(subject_id)
    if row is None:
        return AutarkyState(status=AutarkyStatus.UNKNOWN, since=None, changed_slot_start=None)
    return AutarkyState(
        status=AutarkyStatus(row.state),
        since=slot_start(row.since_slot),
        changed_slot_start=slot_start(row.changed_slot),
    )


async def household_figures(
    context: Context, household_id: UUID, number: int, window: Window
) -> AutarkyFigures:
    """A household's figures over a window."""
    reads = context.parts.reads
    hours = await reads.household_hours(number, window.edges[0], window.edges[-1])
    measured = await context.read(read_energy.household_span, number)
    # As the judging does, every slot of the window is expected, also those before the first device.
    spans = [Span(window.edges[0])] if measured else []
    return _figures(window, hours, spans, await reads.autarky_rule(household_id))


async def community_figures(context: Context, community_id: UUID, window: Window) -> AutarkyFigures:
    """A community's figures over a window."""
    reads = context.parts.reads
    hours = await reads.community_hours(community_id, window.edges[0], window.edges[-1])
    spans = await reads.memberships(community_id)
    return _figures(window, hours, spans, await reads.autarky_rule(community_id))


def _figures(window: Window, hours: Sequence[HourSums], spans: Sequence[Span], rule: Rule) -> AutarkyFigures:
    consumed, produced, supplied, surplus, local, counted = (
        sum(getattr(hour, name) for hour in hours)
        for name in (
            "consumption_wh",
            "production_wh",
            "self_supplied_wh",
            "surplus_wh",
            "local_wh",
            "counted",
        )
    )
    ends = [window.edges[0], window.edges[-1]]
    covered = percent(counted, int(expected(spans, ends, window.clock.slot).sum()))
    absent = _reason(spans, counted)

    def figure(value: Decimal | None, divisor: str) -> Figure:
        reason = absent or (f"no {divisor} in this window" if value is None else None)
        told = None if value is None else value.quantize(_HUNDREDTH)
        return Figure(value=told, coverage_percent=covered, reason=reason)

    wanted = -(-rule.threshold_percent * consumed // 100)
    lacking = [(hour.local_hour, hour.consumption_wh - hour.self_supplied_wh) for hour in hours]
    return AutarkyFigures(
        start=window.start,
        end=window.end,
        self_sufficiency_percent=figure(energy.self_sufficiency_percent(supplied, consumed), "consumption"),
        self_consumption_percent=figure(energy.self_consumption_percent(produced, surplus), "production"),
        coverage_ratio_percent=figure(energy.coverage_percent(produced, consumed), "consumption"),
        local_share_percent=figure(energy.self_sufficiency_percent(local, consumed), "consumption"),
        missing_wh=max(0, int(wanted) - supplied) if counted else None,
        missing_hours=[
            MissingHour(local_hour=hour, wh=wh)
            for hour, wh in sorted(lacking, key=lambda entry: (-entry[1], entry[0]))
            if wh > 0
        ],
    )


def _reason(spans: Sequence[Span], counted: int) -> str | None:
    if not spans:
        return "nothing is attached that could be measured"
    return None if counted else "no slot of this window has every reading yet"


@guarded
class AutarkyChangedEvent:
    """A household or community reached autarky, lost it, or became unknown."""

    row: strawberry.Private[ChangeRow]
    read_for: strawberry.Private[Scope]
    position: Position = strawberry.field(description="Resume behind this event with `after`.")
    at: datetime = strawberry.field(description="The grid's time of the change.")
    slot_start: datetime = strawberry.field(description="The slot whose closing brought it.")
    since: datetime = strawberry.field(description="The first slot of the dwell.")
    from_status: AutarkyStatus = strawberry.field(name="from", description="The state before.")
    to: AutarkyStatus = strawberry.field(description="The state now.")
    self_sufficiency_percent: Decimal | None = strawberry.field(
        description="The rate it was judged on, percent; null where the slot was not judged."
    )
    coverage_percent: Decimal = strawberry.field(description="Data coverage of the window judged, percent.")
    notify: bool = strawberry.field(description="Whether people are told; false for a first judgement.")
    closed_at: datetime = strawberry.field(description="The wall time of the slot's closing.")

    def seen_by(self, principal: Principal) -> bool:
        """Whoever it was read for."""
        return principal.scope == self.read_for

    @told
    async def household(self, info: Info) -> LazyHousehold | None:
        """The household that changed, null for a community's change."""
        from gateway.households import Household

        if self.row.is_community:
            return None
        row = await info.context.read(household, info.context.scope, self.row.subject_id)
        return None if row is None else Household(household_id=row.household_id, row=row)

    @told
    async def community(self, info: Info) -> LazyCommunity | None:
        """The community that changed, or the household's; null where it has none."""
        from gateway.communities import Community

        if self.row.community_id is None:
            return None
        row = await info.context.read(community, info.context.scope, self.row.community_id)
        return None if row is None else Community(community_id=row.community_id, row=row)


def _event(row: ChangeRow, scope: Scope) -> AutarkyChangedEvent:
    return AutarkyChangedEvent(
        row=row,
        read_for=scope,
        position=written(row.position, str(row.subject_id)),
        at=row.at,
        slot_start=slot_start(row.slot),
        since=slot_start(row.since_slot),
        from_status=AutarkyStatus(row.from_state),
        to=AutarkyStatus(row.to_state),
        self_sufficiency_percent=row.self_sufficiency_percent,
        coverage_percent=row.coverage_percent,
        notify=row.notify,
        closed_at=row.closed_at,
    )


async def autarky_events(
    context: Context, subjects: Sequence[UUID] | None, after: Place | None
) -> AsyncIterator[AutarkyChangedEvent]:
    """Every change of these subjects (of all the asker may see) behind a place, as they come."""
    start = None
    if after is not None:
        start = (after.position, UUID(after.row[0]) if after.row else LAST_ID)

    async def look(behind: read_autarky.Key, limit: int) -> list[ChangeRow]:
        return await context.read(
            read_autarky.changes_behind, context.scope, behind=behind, limit=limit, subjects=subjects
        )

    def is_wanted(row: ChangeRow) -> bool:
        return subjects is None or row.subject_id in subjects

    scope = context.scope
    async for row in follow(context, context.parts.tails.autarky, start, look, scope, is_wanted):
        yield _event(row, context.scope)


def subjects_of(
    household_id: relay.GlobalID | None, community_id: relay.GlobalID | None
) -> list[UUID] | None:
    """The subjects a subscription names, None for all; an id of something else names nothing."""
    if household_id is None and community_id is None:
        return None
    wanted = [
        raw_id(global_id, name)
        for global_id, name in ((household_id, "Household"), (community_id, "Community"))
        if global_id is not None
    ]
    return [subject for subject in wanted if subject is not None]
