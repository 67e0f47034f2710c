"""Mutations: a command under the asker's name, its receipt, and refusals as data."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import strawberry
from strawberry import relay
from strawberry.extensions import FieldExtension

from gateway import refusals
from gateway.context import Info, operation
from gateway.described import description_of
from gateway.faults import Fault, not_ready
from gateway.global_ids import fresh_id, raw_id
from gateway.nats_connection import IntakeFull
from write_side import commands
from write_side.app import derived_id
from write_side.command_group import Receipt

LONGEST_KEY = 200
_ANSWERED_WITHIN_S = 5.0  # the write side promises two seconds
PEOPLE = ("household", "operator", "aggregator")


class Answers(FieldExtension):
    """Lets only these roles in, and turns a broken rule into its type."""

    def __init__(self, roles: tuple[str, ...]) -> None:
        self.roles = roles

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: object, info: Info, **kwargs: object
    ) -> object:
        """The payload or the refusal; UNAUTHENTICATED without a token."""
        try:
            if info.context.asker.role not in self.roles:
                raise refusals.RoleRefused(f"this is for: {', '.join(self.roles)}")
            return await next_(source, info, **kwargs)
        except (commands.Refusal, IntakeFull) as refusal:
            return refusals.told(refusal)


def mutation(resolver: Callable[..., Any], *roles: str) -> Any:
    """A mutation of the root, described by its resolver, for these roles; without any, for people."""
    asked = Answers(roles or PEOPLE)
    return strawberry.mutation(resolver, description=description_of(resolver), extensions=[asked])


def key_of(given: str | None) -> str:
    """The idempotency key, made where none was given; BAD_USER_INPUT for one that cannot be kept."""
    if given is None:
        return fresh_id()
    if not 0 < len(given) <= LONGEST_KEY or not given.isprintable():
        raise Fault("BAD_USER_INPUT", f"idempotencyKey: 1 to {LONGEST_KEY} printable characters")
    return given


async def send(info: Info, command: commands.Command, key: str) -> Receipt:
    """The receipt of a command sent under the asker's name; raises the Refusal, or NotReady."""
    by, correlation = info.context.asker.name, operation().correlation
    future = info.context.parts.app.send(command, by=by, key=key, correlation=correlation)
    try:
        async with asyncio.timeout(_ANSWERED_WITHIN_S):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise not_ready("the write side does not answer") from None


def new_id(info: Info, key: str, what: str) -> UUID:
    """The id of what a command creates: a repeated key gives the same."""
    return derived_id(info.context.asker.name, key, what)


def own_household(info: Info, household_id: relay.GlobalID) -> UUID:
    """The household an asker may act for; HouseholdUnknown for another's as for one that is none."""
    asker, wanted = info.context.asker, raw_id(household_id, "Household")
    if wanted is None or not (asker.sees_every_household or asker.household_id == wanted):
        raise commands.HouseholdUnknown
    return wanted
