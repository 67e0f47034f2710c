"""What a process of the grid is told by its environment, read once at its start."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PARTITIONS = 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the servers are, which clock runs, and the key that signs tokens.

    After `seal_after_days` settled days a day's readings are stored in their dense form.
    """

    database_url: str
    nats_url: str
    mqtt_url: str
    home: Path
    port: int
    signing_key: bytes
    simulated: bool
    clock_start: datetime
    embedded: bool
    host: str = "127.0.0.1"
    seal_after_days: int = 3

    @classmethod
    def from_environment(cls) -> "Settings":
        """Reads the variables the supervisor sets; KeyError names the one that is missing."""
        env = os.environ
        return cls(
            database_url=env["DATABASE_URL"],
            nats_url=env["NATS_URL"],
            mqtt_url=env.get("MQTT_URL", ""),
            home=Path(env.get("SMARTRIX_HOME", ".grid")),
            port=int(env.get("SMARTRIX_PORT", "8000")),
            signing_key=env["SMARTRIX_SIGNING_KEY"].encode(),
            simulated=env.get("SMARTRIX_CLOCK", "simulated") == "simulated",
            clock_start=datetime.fromisoformat(
                env.get("SMARTRIX_CLOCK_START", "2026-01-05T00:00:00Z")
            ).astimezone(UTC),
            embedded=env.get("SMARTRIX_EMBEDDED", "") == "1",
            host=env.get("SMARTRIX_HOST", "127.0.0.1"),
            seal_after_days=int(env.get("SMARTRIX_SEAL_AFTER_DAYS", "3")),
        )
