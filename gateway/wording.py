"""What a notification says, in plain words, with local times."""

from dataclasses import dataclass
from datetime import datetime

from projections.read_notifications import NotificationRow
from write_side.rules.timeslots import LOCAL, slot_start


@dataclass(frozen=True)
class Wording:
    """One line, and the whole of it."""

    title: str
    text: str


def wording(row: NotificationRow) -> Wording:
    """The words for a notification."""
    body = row.body
    match row.kind:
        case "AUTARKY_REACHED":
            return Wording(
                "Your home feeds itself", f"Since {_since(row)} your home has fed itself{_rate(row)}."
            )
        case "AUTARKY_LOST":
            return Wording(
                "Your home no longer feeds itself",
                f"Since {_since(row)} your home has needed more than it has of its own{_rate(row)}.",
            )
        case "COMMUNITY_AUTARKY_REACHED":
            return Wording(
                "Your community feeds itself",
                f"Since {_since(row)} your community has fed itself{_rate(row)}.",
            )
        case "COMMUNITY_AUTARKY_LOST":
            return Wording(
                "Your community no longer feeds itself",
                f"Since {_since(row)} your community has needed energy from outside{_rate(row)}.",
            )
        case "ORDER_EXPIRED":
            device = row.device_name or "A device"
            return Wording(
                f"{device} does not answer",
                f"{device} was ordered several times and did not answer: the order was given up.",
            )
        case "SLOTS_CORRECTED":
            return Wording(
                "Figures were corrected",
                f"Readings that came late changed {body.get('slots')} slots, the first at {_slot(row)}.",
            )
        case _:
            return Wording(row.kind, row.kind)


def _since(row: NotificationRow) -> str:
    since = row.body.get("sinceSlotStart")
    return _local(row.at if since is None else datetime.fromisoformat(since))


def _slot(row: NotificationRow) -> str:
    return _local(row.at if row.slot is None else slot_start(row.slot))


def _rate(row: NotificationRow) -> str:
    percent = row.body.get("selfSufficiencyPercent")
    return "" if percent is None else f": {float(percent):.1f} % self-sufficient"


def _local(at: datetime) -> str:
    return f"{at.astimezone(LOCAL):%-d %B %Y, %H:%M}"
