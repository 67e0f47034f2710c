"""What somebody outside needs to use a grid: its addresses and tokens, of one just started, one that runs
in a home, or one elsewhere."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.grid import Grid
from deploy.home import is_in_use
from deploy.people import tokens_of_people, tokens_of_roles
from deploy.setup_error import SetupError


@dataclass(frozen=True, kw_only=True)
class Access:
    """A grid's public addresses and the key its tokens are signed with."""

    url: str
    mqtt_url: str
    nats_url: str
    signing_key: bytes

    @property
    def tokens(self) -> dict[str, str]:
        """A token for each role and for each person, by role and by name."""
        return tokens_of_roles(self.signing_key) | tokens_of_people(self.signing_key)


def access_to(grid: Grid) -> Access:
    """The access to a grid of this process."""
    public = without_password(grid.nats_url)
    return Access(url=grid.url, mqtt_url=grid.mqtt_url, nats_url=public, signing_key=grid.signing_key)


def access_elsewhere(url: str, home: Path) -> Access:
    """The access to a grid that answers at the URL: the home's, if it is that one, else what the
    environment says.

    SetupError when nothing tells the signing key."""
    run = running(home)
    if run is not None and run["url"] == url:
        key = (home / "signing-key").read_text().strip()
        public = without_password(run["natsUrl"])
        return Access(url=url, mqtt_url=run["mqttUrl"], nats_url=public, signing_key=key.encode())
    if "SMARTRIX_SIGNING_KEY" not in os.environ:
        raise SetupError(
            f"no grid of {home} answers at {url}: set SMARTRIX_SIGNING_KEY, MQTT_URL and NATS_URL"
        )
    return Access(
        url=url,
        mqtt_url=os.environ.get("MQTT_URL", ""),
        nats_url=without_password(os.environ.get("NATS_URL", "")),
        signing_key=os.environ["SMARTRIX_SIGNING_KEY"].encode(),
    )


def running(home: Path) -> dict[str, Any] | None:
    """What run.json says while a run holds the home, else None."""
    if not is_in_use(home) or not (home / "run.json").exists():
        return None
    run: dict[str, Any] = json.loads((home / "run.json").read_text())
    return run


def without_password(url: str) -> str:
    """The server's address alone, as everybody may know it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}" if parts.hostname else url
