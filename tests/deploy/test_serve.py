"""The grid as it is served: every part up, links that work, and nothing left after Ctrl-C."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import httpx
import psutil

from deploy.grid import REPOSITORY
from deploy.ports import free_port

PORTS = ("SMARTRIX_PORT", "SMARTRIX_NATS_PORT", "SMARTRIX_MQTT_PORT")


def _printed_until_ready(run: subprocess.Popen[str]) -> str:
    assert run.stdout is not None
    lines = []
    for line in run.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            break
    return "".join(lines)


def test_the_grid_is_served_until_interrupted(home: Path) -> None:
    environment = os.environ | {variable: str(free_port()) for variable in PORTS}
    url = f"http://127.0.0.1:{environment['SMARTRIX_PORT']}"
    command = [str(REPOSITORY / "run.sh"), "serve", "--home", str(home)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        try:
            printed = _printed_until_ready(run)
            health = httpx.get(f"{url}/health").json()
            tokens = dict(re.findall(r"^  (\S.*?) {2,}.*#token=(\S+)$", printed, re.MULTILINE))
            headers = {"Authorization": f"Bearer {tokens['Pierre & Marie']}"}
            question = {"query": "{ me { household { name } } }"}
            answer = httpx.post(f"{url}/graphql", json=question, headers=headers).json()
            parts = json.loads((home / "run.json").read_text())["parts"]
        finally:
            run.send_signal(signal.SIGINT)
        assert run.wait(30) == 0
    assert health["status"] == "ok"
    assert answer == {"data": {"me": {"household": {"name": "Pierre & Marie"}}}}
    assert len(parts) == 10
    assert not any(psutil.pid_exists(part["pid"]) for part in parts)
    assert not (home / "run.json").exists()
