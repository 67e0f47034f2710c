"""Drives headless Chromium over the DevTools protocol: one page, its script and every request it makes."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
START_SECONDS = 30.0
CALL_SECONDS = 20.0
END_SECONDS = 10.0
POLL_SECONDS = 0.05
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    "--window-size=1600,1000",
)


class PageError(Exception):
    """The browser refused a call, a script threw, or what was waited for did not come."""


class Page:
    """One page of the browser, the workers it starts, and the addresses all of them asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._calls = 0
        self.requested: list[str] = []
        self.frames: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self._watch(None)

    def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Calls `method`, taking in the events that come before its answer."""
        wanted = self._send(method, params or {}, None)
        until = time.monotonic() + CALL_SECONDS
        while True:
            message = json.loads(self._socket.recv(timeout=max(0.0, until - time.monotonic())))
            if message.get("id") != wanted:
                self._take(message)
            elif "error" in message:
                raise PageError(f"{method}: {message['error']['message']}")
            else:
                return dict(message["result"])

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call(
            "Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True}
        )
        if "exceptionDetails" in answer:
            raise PageError(answer["exceptionDetails"]["exception"].get("description", script))
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float) -> Any:
        """The first true value of an expression, asked for again and again for at most `seconds`."""
        until = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > until:
                raise PageError(f"not within {seconds} s: {script}; complaints: {self.complaints}")
            time.sleep(POLL_SECONDS)
        return value

    def picture(self, path: Path) -> None:
        """Writes what the page shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _send(self, method: str, params: dict[str, Any], session: str | None) -> int:
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        return self._calls

    def _watch(self, session: str | None) -> None:
        """Sees the requests of a page or worker from its first, because it is let go only afterwards."""
        attach = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self._send("Network.enable", {}, session)
        self._send("Target.setAutoAttach", attach, session)
        self._send("Runtime.runIfWaitingForDebugger", {}, session)

    def _take(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Target.attachedToTarget":
                self._watch(params["sessionId"])
            case "Network.requestWillBeSent" if not params["request"]["url"].startswith(("data:", "blob:")):
                self.requested.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requested.append(params["url"])
            case "Network.webSocketFrameSent" | "Network.webSocketFrameReceived":
                self.frames.append(params["response"]["payloadData"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"])[:500])
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")


@contextmanager
def opened() -> Iterator[Page]:
    """A browser with one empty page, which knows no name but this machine; ended with all its processes."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as home:
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={home}", "about:blank"]
        environment = {**os.environ, "HOME": home, "TMPDIR": home}
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            with connect(_page_address(Path(home)), max_size=None, proxy=None) as socket:
                yield Page(socket)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(END_SECONDS)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=END_SECONDS)


def _page_address(home: Path) -> str:
    """Where the first page listens; the browser writes its port into its folder once it is up."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        said = home / "DevToolsActivePort"
        if said.is_file() and (lines := said.read_text().split()):
            return _first_page(int(lines[0]), until)
        time.sleep(POLL_SECONDS)
    raise PageError(f"{CHROMIUM} was not up within {START_SECONDS} s")


def _first_page(port: int, until: float) -> str:
    with httpx.Client(trust_env=False, timeout=CALL_SECONDS) as client:
        while time.monotonic() < until:
            for target in client.get(f"http://127.0.0.1:{port}/json/list").json():
                if target["type"] == "page":
                    return str(target["webSocketDebuggerUrl"])
            time.sleep(POLL_SECONDS)
    raise PageError("the browser opened no page")
