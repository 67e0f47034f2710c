"""Setting how autarky is judged, for one household or one community."""

from decimal import Decimal
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import relay

from gateway import refusals
from gateway.autarky import AutarkyRule
from gateway.context import Info
from gateway.described import taken
from gateway.global_ids import raw_id
from gateway.permission import inside
from gateway.positions import written
from gateway.scalars import Position
from gateway.sending import key_of, own_household, send
from write_side import commands
from write_side.rules.autarky import AutarkyRule as Rule

_DEFAULT = Rule()


@taken
class SetAutarkyRuleInput:
    """How the autarky of one household or one community is to be judged."""

    household_id: relay.GlobalID | None = strawberry.field(
        default=None, description="The household; exactly one of the two ids is given."
    )
    community_id: relay.GlobalID | None = strawberry.field(
        default=None, description="The community; for operator and aggregator."
    )
    window_slots: int = strawberry.field(
        default=_DEFAULT.window_slots, description="Slots of 15 minutes that the rate is taken over."
    )
    threshold_percent: Decimal = strawberry.field(
        default=_DEFAULT.threshold_percent, description="Reached from this self-sufficiency on, percent."
    )
    hysteresis_points: Decimal = strawberry.field(
        default=_DEFAULT.hysteresis_points, description="Lost when so many points below the threshold."
    )
    dwell_slots: int = strawberry.field(
        default=_DEFAULT.dwell_slots, description="Slots it must hold before the state changes."
    )
    minimum_coverage_percent: Decimal = strawberry.field(
        default=_DEFAULT.minimum_coverage_percent, description="Data a window needs to be judged, percent."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="Repeated with the same input it answers the first answer."
    )


@inside
class SetAutarkyRulePayload:
    """The rule that holds from the next closing on."""

    position: Position = strawberry.field(description="The receipt: `after` takes it.")
    autarky_rule: AutarkyRule = strawberry.field(description="The rule.")


SetAutarkyRuleResult = Annotated[
    SetAutarkyRulePayload
    | refusals.HouseholdUnknown
    | refusals.CommunityUnknown
    | refusals.InvalidInput
    | refusals.KeyReused
    | refusals.NotPermitted,
    strawberry.union("SetAutarkyRuleResult", description="The rule, or the rule it would have broken."),
]


async def set_autarky_rule(info: Info, input: SetAutarkyRuleInput) -> SetAutarkyRuleResult:
    """Sets how the autarky of a household or a community is judged from the next closing on."""
    if (input.household_id is None) == (input.community_id is None):
        raise commands.InvalidInput("householdId, communityId: exactly one of the two")
    command = commands.SetAutarkyRule(
        household_id=None if input.household_id is None else own_household(info, input.household_id),
        community_id=None if input.community_id is None else _community(info, input.community_id),
        window_slots=input.window_slots,
        threshold_percent=input.threshold_percent,
        hysteresis_points=input.hysteresis_points,
        dwell_slots=input.dwell_slots,
        minimum_coverage_percent=input.minimum_coverage_percent,
    )
    receipt = await send(info, command, key_of(input.idempotency_key))
    await info.context.parts.views.reached("households", receipt.position)
    rule = AutarkyRule(
        window_slots=input.window_slots,
        threshold_percent=input.threshold_percent,
        hysteresis_points=input.hysteresis_points,
        dwell_slots=input.dwell_slots,
        minimum_coverage_percent=input.minimum_coverage_percent,
    )
    return SetAutarkyRulePayload(position=written(receipt.position), autarky_rule=rule)


def _community(info: Info, community_id: relay.GlobalID) -> UUID:
    if not info.context.asker.sees_every_household:
        raise refusals.RoleRefused("a community's rule is set by: operator, aggregator")
    wanted = raw_id(community_id, "Community")
    if wanted is None:
        raise commands.CommunityUnknown
    return wanted
