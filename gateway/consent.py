"""Consent: what a household's data may be used for. Nothing by default."""

from datetime import datetime
from uuid import UUID

import strawberry

from gateway.context import Context
from gateway.permission import inside
from projections.read_households import consents
from write_side.events import ConsentPurpose, Granularity

strawberry.enum(ConsentPurpose, description="What a household's data may be used for.")
strawberry.enum(Granularity, description="The finest data a consent allows.")


@inside
class Consent:
    """A consent that is in force."""

    purpose: ConsentPurpose = strawberry.field(description="What for.")
    granularity: Granularity = strawberry.field(description="How fine at most.")
    version: int = strawberry.field(description="Counts every change the household made to its consent.")
    given_at: datetime = strawberry.field(description="The grid's time when it was given.")


async def consents_of(context: Context, household_id: UUID) -> list[Consent]:
    """What a household has consented to."""
    return [
        Consent(
            purpose=ConsentPurpose(row.purpose),
            granularity=Granularity(row.granularity),
            version=row.version,
            given_at=row.given_at,
        )
        for row in await context.read(consents, household_id)
    ]
