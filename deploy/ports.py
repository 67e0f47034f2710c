"""Ports on the loopback address: a free one for a test, or the one that was asked for if nobody has it."""

import random
import socket

from deploy.setup_error import SetupError

HOST = "127.0.0.1"
# Below the ports that Linux and macOS hand out to clients: a client that connects while our server is
# being restarted would otherwise be given the server's own port, and the server could not come back.
_LOWEST, _HIGHEST = 15_000, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A loopback port nobody listens on; SetupError when a hundred tries found none."""
    for _ in range(100):
        port = random.randint(_LOWEST, _HIGHEST)
        if is_free(port):
            return port
    raise SetupError("no free port found on 127.0.0.1 between 15000 and 32000")


def wanted_port(port: int, variable: str) -> int:
    """The port that was asked for; SetupError naming the variable when another program has it."""
    if not is_free(port):
        raise SetupError(f"port {port} on 127.0.0.1 is taken by another program: set {variable} to another")
    return port
