"""The embedded nats-server: JetStream flushed at every write, MQTT beside it, its users asked for tokens."""

import json
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from deploy.kept_secret import kept_secret
from deploy.nkey_tokens import Issuer
from deploy.ports import HOST
from deploy.process import Program
from deploy.setup_error import SetupError

_CONFIGURATION = Path(__file__).with_name("nats.conf")


@dataclass(frozen=True)
class NatsServer:
    """What to start, the environment its configuration reads, and the URLs it then answers at."""

    command: tuple[str, ...]
    environment: dict[str, str]
    url: str
    mqtt_url: str

    def program(self, logs: Path) -> Program:
        """The part `nats`."""
        options = {"env": self.environment, "cwd": "/"}
        return Program("nats", self.command, options, logs / "nats.log", is_server=True, longest_delay=0.5)


def nats_server(home: Path, port: int, mqtt_port: int, signing_key: bytes) -> NatsServer:
    """The server of the home's streams. The internal user `platform` has a password kept in the home."""
    password = kept_secret(home / "nats-password")
    return NatsServer(
        command=(_program(), "-c", str(_CONFIGURATION)),
        environment=nats_environment(
            listen=f"{HOST}:{port}",
            mqtt_listen=f"{HOST}:{mqtt_port}",
            store=str(home / "nats"),
            password=password,
            signing_key=signing_key,
        ),
        url=f"nats://platform:{password}@{HOST}:{port}",
        mqtt_url=f"mqtt://{HOST}:{mqtt_port}",
    )


def nats_environment(
    *, listen: str, mqtt_listen: str, store: str, password: str, signing_key: bytes
) -> dict[str, str]:
    """The variables `deploy/nats.conf` reads. Quoted, as NATS takes each for a piece of configuration."""
    values = {
        "SMARTRIX_NATS_NAME": "smartrix",
        "SMARTRIX_NATS_LISTEN": listen,
        "SMARTRIX_MQTT_LISTEN": mqtt_listen,
        "SMARTRIX_NATS_STORE": store,
        "SMARTRIX_NATS_PASSWORD": password,
        "SMARTRIX_NATS_ISSUER": Issuer(signing_key).public_key,
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}


def _program() -> str:
    """The wheel puts the program among the scripts of the virtual environment."""
    program = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    if program is None:
        raise SetupError("nats-server is not installed beside this Python: run ./prepare.sh")
    return program
