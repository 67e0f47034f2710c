"""The whole grid on one machine: servers and roles under one supervisor, in one home."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.home import Home
from deploy.kept_secret import kept_secret
from deploy.nats_server import nats_server
from deploy.people import tokens_of_roles
from deploy.ports import HOST, free_port, wanted_port
from deploy.postgres import PostgresServer, make_cluster, postgres_server
from deploy.process import Program
from deploy.setup_error import SetupError
from deploy.supervisor import Supervisor

REPOSITORY = Path(__file__).resolve().parent.parent
CLOCK_START = datetime(2026, 1, 5, tzinfo=UTC)
ROLE_OF_PART = {
    "device-access": ("device-access", 0),
    "relay": ("relay", 0),
    "metering-0": ("metering", 0),
    "metering-1": ("metering", 1),
    "views": ("views", 0),
    "standing-orders": ("standing-orders", 0),
    "gateway": ("gateway", 0),
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Ports (None: a free one) and servers that already run (None: the embedded one)."""

    port: int | None = None
    nats_port: int | None = None
    mqtt_port: int | None = None
    database_url: str | None = None
    nats_url: str | None = None
    mqtt_url: str | None = None
    signing_key: str | None = None


class Grid:
    """A running grid, from construction to `close`; a context manager.

    SetupError when a port is taken, the home is in use, or the machine does not allow it."""

    def __init__(
        self,
        home: Path | None = None,
        *,
        clock_start: datetime = CLOCK_START,
        wall: bool = False,
        place: Place | None = None,
        parts: Iterable[str] = tuple(ROLE_OF_PART),
    ) -> None:
        self._place = place or Place()
        self._clock = {"SMARTRIX_CLOCK": "wall" if wall else "simulated"}
        self._clock["SMARTRIX_CLOCK_START"] = clock_start.isoformat()
        self._home = Home(home)
        self._supervisor = Supervisor(self._home.path)
        try:
            self._start(parts)
        except BaseException:
            self.close()
            raise

    def _start(self, parts: Iterable[str]) -> None:
        self.home = self._home.path
        (self.home / "logs").mkdir(mode=0o700, exist_ok=True)
        self._port = _port(self._place.port, "SMARTRIX_PORT")
        self.url = f"http://{HOST}:{self._port}"
        self._signing_key = self._place.signing_key or self._own_key()
        postgres = self._postgres()
        programs = [*self._nats(), *map(self._role, parts)]
        addresses = {"url": self.url, "mqttUrl": self.mqtt_url, "natsUrl": self.nats_url}
        self._supervisor.start(programs, addresses | {"databaseUrl": self.database_url})
        if postgres is not None:
            make_cluster(postgres, self.home)  # while the roles, which wait for it, are being loaded
            self._supervisor.add(postgres.program(self.home / "logs"))

    @property
    def signing_key(self) -> bytes:
        """The key that tokens are signed with."""
        return self._signing_key.encode()

    @cached_property
    def tokens(self) -> dict[str, str]:
        """A token for each role, by role."""
        return tokens_of_roles(self.signing_key)

    def pids(self) -> dict[str, int]:
        """The process number of every part that runs now, by its name."""
        return self._supervisor.pids()

    def kill(self, name: str) -> None:
        """SIGKILL for one part, which is then started again."""
        self._supervisor.kill(name)

    def stop_part(self, name: str) -> None:
        """Stops one part and leaves it stopped."""
        self._supervisor.hold(name)

    def start_part(self, name: str) -> None:
        """Starts a stopped part again."""
        self._supervisor.release(name)

    def run_beside(self, program: Program) -> None:
        """Starts one program more, watched and ended like a part."""
        self._supervisor.add(program)

    def wait_for_servers(self, timeout: float = 60.0) -> None:
        """Until PostgreSQL answers and NATS lets devices in; TimeoutError after `timeout` seconds."""
        from deploy.health import wait_for_devices, wait_for_postgres  # when the parts are being started

        wait_for_postgres(self.database_url, timeout)
        wait_for_devices(self.nats_url, timeout)

    def wait_healthy(self, timeout: float = 60.0) -> None:
        """Until every part is well; TimeoutError, naming what is not, after `timeout` seconds."""
        self.wait_for_servers(timeout)
        from deploy.health import wait_for_gateway

        wait_for_gateway(self.url, timeout)

    def close(self) -> None:
        """Stops everything; a temporary home is deleted."""
        self._supervisor.stop()
        self._home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _own_key(self) -> str:
        if self._place.database_url or self._place.nats_url:
            raise SetupError("with outside servers SMARTRIX_SIGNING_KEY must be set: it signs every token")
        return kept_secret(self.home / "signing-key")

    def _postgres(self) -> PostgresServer | None:
        if self._place.database_url:
            self.database_url = self._place.database_url
            return None
        server = postgres_server(self.home, free_port(), self._home.is_temporary)
        self.database_url = server.url
        return server

    def _nats(self) -> list[Program]:
        if self._place.nats_url:
            self.nats_url, self.mqtt_url = self._place.nats_url, self._place.mqtt_url or ""
            return []
        port = _port(self._place.nats_port, "SMARTRIX_NATS_PORT")
        mqtt_port = _port(self._place.mqtt_port, "SMARTRIX_MQTT_PORT")
        server = nats_server(self.home, port, mqtt_port, self.signing_key)
        self.nats_url, self.mqtt_url = server.url, server.mqtt_url
        return [server.program(self.home / "logs")]

    def _role(self, part: str) -> Program:
        role, index = ROLE_OF_PART.get(part) or _numbered(part)
        command = (sys.executable, "-m", "deploy.role", role, "--index", str(index), "--supervised")
        options = {"env": self._role_environment(), "cwd": REPOSITORY}
        return Program(part, command, options, self.home / "logs" / f"{part}.log", is_role=True)

    def _role_environment(self) -> dict[str, str]:
        is_embedded = not (self._place.database_url or self._place.nats_url)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return (
            (inherited if is_embedded else dict(os.environ))
            | self._clock
            | {
                "DATABASE_URL": self.database_url,
                "NATS_URL": self.nats_url,
                "MQTT_URL": self.mqtt_url,
                "SMARTRIX_HOME": str(self.home),
                "SMARTRIX_PORT": str(self._port),
                "SMARTRIX_SIGNING_KEY": self._signing_key,
                "SMARTRIX_EMBEDDED": "1" if is_embedded else "",
                "PYTHONUNBUFFERED": "1",
                "OPENBLAS_NUM_THREADS": "1",  # numpy starts them when it is imported, and nothing uses them
            }
        )


def _numbered(part: str) -> tuple[str, int]:
    """The role and index of a part that is there more often than usual: `metering-2`."""
    role, _, index = part.rpartition("-")
    return role, int(index)


def _port(wanted: int | None, variable: str) -> int:
    return free_port() if wanted is None else wanted_port(wanted, variable)
