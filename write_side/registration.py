"""Signing up: a household gets its place in the network and a community at once."""

from decimal import ROUND_HALF_EVEN, Decimal

from write_side.commands import HouseholdAlreadyRegistered, InvalidInput, RegisterHousehold, is_storable
from write_side.communities import joined, place_newcomer
from write_side.events import HouseholdRegistered
from write_side.households import HOUSEHOLD, LONGEST_NAME, check_name, stream_of
from write_side.past import Decision, Past
from write_side.places import Home, SignedUp
from write_side.rules.placement import cell, is_on_earth

LARGEST_SUBSCRIBED_POWER_W = 36_000  # the largest household connection sold in France, 36 kVA
TENTH = Decimal("0.1")


def check_registration(command: RegisterHousehold) -> None:
    """InvalidInput for what cannot be a household on this planet and network."""
    check_name(command.name)
    if not is_storable(command.address, LONGEST_NAME * 2):
        raise InvalidInput(f"address: at most {LONGEST_NAME * 2} characters")
    if not is_on_earth(command.latitude_deg, command.longitude_deg):
        raise InvalidInput("latitude, longitude: degrees, -90 to 90 and -180 to 180")
    if not 0 < command.subscribed_power_w <= LARGEST_SUBSCRIBED_POWER_W:
        raise InvalidInput(f"subscribedPowerW: 1 to {LARGEST_SUBSCRIBED_POWER_W} W")


def handle_register(command: RegisterHousehold, past: Past) -> Decision:
    """Registers a household and places it in a community by where it stands, at once."""
    check_registration(command)
    stream = stream_of(command.household_id)
    if past.fold(stream, HOUSEHOLD).registered:
        raise HouseholdAlreadyRegistered("this household is registered already")
    latitude, longitude = float(command.latitude_deg), float(command.longitude_deg)
    placing = place_newcomer(past, command.household_id, latitude, longitude)
    home = Home(
        household_id=command.household_id,
        latitude=latitude,
        longitude=longitude,
        cell=str(cell(latitude, longitude)),
        community_id=placing.community_id,
        area_id=placing.area_id,
    )
    registered = HouseholdRegistered(
        household_id=command.household_id,
        area_id=placing.area_id,
        subscribed_power_w=command.subscribed_power_w,
        latitude_deg=command.latitude_deg.quantize(TENTH, ROUND_HALF_EVEN),
        longitude_deg=command.longitude_deg.quantize(TENTH, ROUND_HALF_EVEN),
    )
    membership = joined(placing.community_id, command.household_id, past.at)
    return Decision(
        facts=[(stream, registered), *placing.founding, (stream, membership)],
        places=[SignedUp(home, command.name.strip(), command.address)],
        answer={"communityId": str(placing.community_id), "areaId": str(placing.area_id)},
    )
