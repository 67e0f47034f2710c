"""Telling that closed slots have changed: one statement per community and run.

The metering workers note late changes per partition, in commit order. The end of a run is written down
before anything is stated, so that a successor states the same run under the same names.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID

from gateway.standing_orders.desk import Desk
from write_side.commands import CorrectSlots
from write_side.rules.timeslots import slot_start
from write_side.settings import PARTITIONS

LARGEST_RUN = 5000
LARGEST_STATEMENT = 200


@dataclass
class _Changes:
    households: dict[UUID, None] = field(default_factory=dict)
    slots: set[int] = field(default_factory=set)
    consumption_wh: int = 0
    production_wh: int = 0


async def correct(desk: Desk) -> None:
    """States every late change that has not been stated."""
    waiting = desk.rows("select partition, max(sequence) from late_change group by partition")
    for partition, latest in waiting:
        if partition < PARTITIONS and latest > (desk.progress(f"correct/{partition}") or 0):
            await _run(desk, partition)


async def _run(desk: Desk, partition: int) -> None:
    done = desk.progress(f"correct/{partition}") or 0
    end = desk.progress(f"correct-upto/{partition}") or 0
    if end <= done:
        end = desk.value(
            """select max(sequence) from (select sequence from late_change
               where partition = %s and sequence > %s order by sequence limit %s) run""",
            (partition, done, LARGEST_RUN),
        )
        desk.note_progress(f"correct-upto/{partition}", end)
    for name, community_id, changes in _by_community(desk, partition, done, end):
        command = _statement(community_id, changes, end)
        key = f"correct/{partition}/{end}/{name}"
        await desk.try_send(command, key=key, cause=None, correlation=f"correct/{partition}/{end}")
    desk.note_progress(f"correct/{partition}", end)


def _by_community(desk: Desk, partition: int, done: int, end: int) -> list[tuple[str, UUID | None, _Changes]]:
    rows = desk.rows(
        """select community_id, household_id, slot, consumption_wh_change, production_wh_change
           from late_change join meter_household using (household)
           where late_change.partition = %s and sequence > %s and sequence <= %s order by sequence""",
        (partition, done, end),
    )
    grouped: dict[tuple[str, UUID | None], _Changes] = defaultdict(_Changes)
    lone: dict[UUID, int] = {}
    for community_id, household_id, slot, consumption_wh, production_wh in rows:
        # Lone households share a statement too, as many as one fact should hold.
        chunk = lone.setdefault(household_id, len(lone)) // LARGEST_STATEMENT if community_id is None else 0
        changes = grouped[(str(community_id or f"lone-{chunk}"), community_id)]
        changes.households[household_id] = None
        changes.slots.add(slot)
        changes.consumption_wh += consumption_wh
        changes.production_wh += production_wh
    return [(name, community_id, changes) for (name, community_id), changes in grouped.items()]


def _statement(community_id: UUID | None, changes: _Changes, run: int) -> CorrectSlots:
    return CorrectSlots(
        community_id=community_id,
        household_ids=tuple(changes.households),
        first_slot_start=slot_start(min(changes.slots)),
        last_slot_start=slot_start(max(changes.slots)),
        slots=len(changes.slots),
        consumption_wh_change=changes.consumption_wh,
        production_wh_change=changes.production_wh,
        run=run,
    )
