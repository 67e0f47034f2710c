"""Signing up, and what a household says of itself: its name, its community, consent, autarky rule."""

from decimal import Decimal
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import relay

from gateway import refusals
from gateway.access import mint
from gateway.context import Info
from gateway.described import taken, told
from gateway.global_ids import raw_id
from gateway.households import Household, visible_household
from gateway.permission import inside
from gateway.positions import Place, written
from gateway.scalars import Position
from gateway.sending import key_of, new_id, own_household, send
from write_side import commands
from write_side.command_group import Receipt
from write_side.events import ConsentPurpose, Granularity

_KEY = "Repeated with the same input it answers the first answer."


@taken
class RegisterHouseholdInput:
    """A household that signs up."""

    name: str = strawberry.field(description="Its name, 1 to 200 characters.")
    address: str = strawberry.field(default="", description="Its postal address, at most 400 characters.")
    latitude: Decimal = strawberry.field(description="Where it stands, degrees north, WGS 84.")
    longitude: Decimal = strawberry.field(description="Where it stands, degrees east, WGS 84.")
    subscribed_power_w: int = strawberry.field(default=6000, description="The power it subscribes to, W.")
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@taken
class RenameHouseholdInput:
    """A household's new name."""

    household_id: relay.GlobalID = strawberry.field(description="The household.")
    name: str = strawberry.field(description="Its name, 1 to 200 characters.")
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@taken
class JoinCommunityInput:
    """A community to move into, from the next slot on."""

    household_id: relay.GlobalID = strawberry.field(description="The household.")
    community_id: relay.GlobalID = strawberry.field(description="A community of its own network area.")
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@taken
class LeaveCommunityInput:
    """A household that leaves its community, from the next slot on."""

    household_id: relay.GlobalID = strawberry.field(description="The household.")
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@taken
class SetConsentInput:
    """A consent to give or to withdraw."""

    household_id: relay.GlobalID = strawberry.field(description="The household.")
    purpose: ConsentPurpose = strawberry.field(description="What for.")
    granularity: Granularity | None = strawberry.field(
        default=None, description="How fine at most; null withdraws the consent."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@inside
class HouseholdPayload:
    """The household as it stands now."""

    raw_household_id: strawberry.Private[UUID]
    receipt: strawberry.Private[Receipt]

    @told
    def position(self) -> Position:
        """The receipt: `after` takes it."""
        return written(self.receipt.position)

    @told
    async def household(self, info: Info) -> Household | None:
        """The household; null while the view is behind."""
        place = Place(self.receipt.position)
        reached = await info.context.parts.views.reached("households", place.position)
        return await visible_household(info.context, self.raw_household_id, place) if reached else None


@inside
class RegisterHouseholdPayload(HouseholdPayload):
    """The household that signed up, with the tokens it needs."""

    household_id: relay.GlobalID = strawberry.field(
        description="Its id, there even while the view is behind."
    )
    token: str = strawberry.field(description="For its people: Authorization: Bearer TOKEN. 30 days.")
    device_token: str = strawberry.field(
        description="For its devices: the password over MQTT and NATS; the user is `uuid`. 30 days."
    )


RegisterHouseholdResult = Annotated[
    RegisterHouseholdPayload
    | refusals.HouseholdAlreadyRegistered
    | refusals.InvalidInput
    | refusals.KeyReused
    | refusals.NotPermitted,
    strawberry.union(
        "RegisterHouseholdResult", description="The household, or the rule it would have broken."
    ),
]
RenameHouseholdResult = Annotated[
    HouseholdPayload
    | refusals.HouseholdUnknown
    | refusals.InvalidInput
    | refusals.KeyReused
    | refusals.NotPermitted,
    strawberry.union("RenameHouseholdResult", description="The household, or the rule it would have broken."),
]
JoinCommunityResult = Annotated[
    HouseholdPayload
    | refusals.HouseholdUnknown
    | refusals.CommunityUnknown
    | refusals.CommunityNotJoinable
    | refusals.KeyReused
    | refusals.NotPermitted,
    strawberry.union("JoinCommunityResult", description="The household, or the rule it would have broken."),
]
LeaveCommunityResult = Annotated[
    HouseholdPayload
    | refusals.HouseholdUnknown
    | refusals.NotInCommunity
    | refusals.KeyReused
    | refusals.NotPermitted,
    strawberry.union("LeaveCommunityResult", description="The household, or the rule it would have broken."),
]
SetConsentResult = Annotated[
    HouseholdPayload | refusals.HouseholdUnknown | refusals.KeyReused | refusals.NotPermitted,
    strawberry.union("SetConsentResult", description="The household, or the rule it would have broken."),
]


async def register_household(info: Info, input: RegisterHouseholdInput) -> RegisterHouseholdResult:
    """Signs a household up; it is placed in a community by where it stands, at once."""
    key = key_of(input.idempotency_key)
    household_id = new_id(info, key, "household")
    command = commands.RegisterHousehold(
        household_id=household_id,
        name=input.name,
        address=input.address,
        latitude_deg=input.latitude,
        longitude_deg=input.longitude,
        subscribed_power_w=input.subscribed_power_w,
    )
    receipt = await send(info, command, key)
    own, area = str(household_id), receipt.answer["areaId"]
    signing_key = info.context.parts.settings.signing_key
    return RegisterHouseholdPayload(
        raw_household_id=household_id,
        receipt=receipt,
        household_id=relay.GlobalID("Household", own),
        token=mint(signing_key, "household", own, household=own),
        device_token=mint(signing_key, "device", own, household=own, area=area),
    )


async def rename_household(info: Info, input: RenameHouseholdInput) -> RenameHouseholdResult:
    """Gives a household another name."""
    household_id = own_household(info, input.household_id)
    command = commands.RenameHousehold(household_id=household_id, name=input.name)
    receipt = await send(info, command, key_of(input.idempotency_key))
    return HouseholdPayload(raw_household_id=household_id, receipt=receipt)


async def join_community(info: Info, input: JoinCommunityInput) -> JoinCommunityResult:
    """Moves a household into a community of its own network area, from the next slot on."""
    household_id = own_household(info, input.household_id)
    community_id = raw_id(input.community_id, "Community")
    if community_id is None:
        raise commands.CommunityUnknown
    command = commands.JoinCommunity(household_id=household_id, community_id=community_id)
    try:
        receipt = await send(info, command, key_of(input.idempotency_key))
    except commands.CommunityNotJoinable:
        # To a household a community it cannot join is as good as none.
        if info.context.asker.sees_every_household:
            raise
        raise commands.CommunityUnknown from None
    return HouseholdPayload(raw_household_id=household_id, receipt=receipt)


async def leave_community(info: Info, input: LeaveCommunityInput) -> LeaveCommunityResult:
    """Takes a household out of its community."""
    household_id = own_household(info, input.household_id)
    command = commands.LeaveCommunity(household_id=household_id)
    receipt = await send(info, command, key_of(input.idempotency_key))
    return HouseholdPayload(raw_household_id=household_id, receipt=receipt)


async def set_consent(info: Info, input: SetConsentInput) -> SetConsentResult:
    """Gives or withdraws consent."""
    household_id = own_household(info, input.household_id)
    command = commands.SetConsent(
        household_id=household_id, purpose=input.purpose, granularity=input.granularity
    )
    receipt = await send(info, command, key_of(input.idempotency_key))
    return HouseholdPayload(raw_household_id=household_id, receipt=receipt)
