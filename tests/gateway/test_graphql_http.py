"""GraphQL over HTTP: the 61 audits of the npm package graphql-http against the running gateway."""

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.gateway.conftest import Door

AUDITS = Path(__file__).with_name("audits.mjs")
PACKAGES = ("graphql-http@1.23.1", "graphql@16.11.0")


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=sysconfig.get_path("scripts"))


def _install(folder: Path) -> None:
    npm = _program("npm")
    if npm is None or _program("node") is None:
        pytest.skip("no node and npm on this machine")
    options = ["--no-audit", "--no-fund", "--no-save", "--prefer-offline", "--fetch-retries=1"]
    done = subprocess.run(
        [npm, "install", *options, *PACKAGES], cwd=folder, capture_output=True, text=True, timeout=90
    )
    if done.returncode != 0:
        pytest.skip(f"npm cannot install {PACKAGES}: {done.stderr.strip()[-300:]}")


def test_all_61_audits_pass(door: Door, tmp_path: Path) -> None:
    _install(tmp_path)
    shutil.copy(AUDITS, tmp_path)
    node = _program("node")
    assert node is not None
    done = subprocess.run(
        [node, AUDITS.name, f"{door.url}/graphql"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    audits = [json.loads(line) for line in done.stdout.splitlines()]
    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert len(audits) == 61
