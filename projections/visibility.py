"""Whose data a read may answer with: every read of somebody's data takes an asker's scope."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Scope:
    """All there is (`everything`), or what belongs to one household, or, with neither, nothing."""

    everything: bool = False
    household_id: UUID | None = None

    def parameters(self) -> dict[str, object]:
        """The two parameters that the SQL of the reads names."""
        return {"everything": self.everything, "own": self.household_id}
