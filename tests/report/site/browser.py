"""Chromium without a window, driven over its DevTools protocol by aiohttp, which Lightning brings along."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
VIRTUAL = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
START_SECONDS, REPLY_SECONDS = 60.0, 60.0


def find_chromium() -> str:
    """Return the browser, LINEAGE_CHROMIUM first; skip the test where there is none."""
    names = [name for name in (os.environ.get("LINEAGE_CHROMIUM"), *NAMES) if name]
    path = next((path for name in names if (path := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium here (Debian: apt install chromium; or LINEAGE_CHROMIUM names one)")
    return path


class Page:
    """One page. It records messages of the console, errors and all requests."""

    def __init__(self, runner: asyncio.Runner, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._runner, self._socket, self._number = runner, socket, 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        return self._runner.run(self._call(method, params))

    async def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            message = json.loads((await asyncio.wait_for(self._socket.receive(), REPLY_SECONDS)).data)
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._record(message.get("method", ""), message.get("params", {}))

    def _record(self, event: str, params: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(" ".join(str(one.get("value", one.get("description"))) for one in params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, path: Path | str, fragment: str = "") -> None:
        url = path if isinstance(path, str) else path.resolve().as_uri()
        self.call("Page.navigate", url="about:blank")  # else a change of the fragment alone would open nothing anew
        self.call("Page.navigate", url=f"{url}{fragment}")
        self.wait("document.querySelector('main')?.dataset.ready")

    def go(self, fragment: str) -> None:
        """Go to another view of the open page."""
        same = f"location.hash === {json.dumps(fragment)} && dispatchEvent(new Event('hashchange'))"
        self.run(
            f"delete document.querySelector('main').dataset.ready; {same} || (location.hash = {json.dumps(fragment)})"
        )
        self.wait("document.querySelector('main').dataset.ready")

    def run(self, code: str) -> Any:
        """Return the value of an expression or of a promise."""
        reply = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def wait(self, condition: str, seconds: float = 30.0) -> None:
        """Wait until a condition is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"after {seconds} s still not: {condition}\n{self.errors}"
            time.sleep(0.03)

    def click(self, selector: str, text: str = "") -> None:
        """Click the first element of a selector whose text contains `text`, with the mouse."""
        code = f"""(() => {{
          const element = [...document.querySelectorAll({json.dumps(selector)})]
            .find((one) => one.textContent.includes({json.dumps(text)}));
          if (!element) return null;
          element.scrollIntoView({{block: "center"}});
          const {{x, y, width, height}} = element.getBoundingClientRect();
          return [x + width / 2, y + height / 2];
        }})()"""
        point = self.run(code)
        assert point, f"nothing to click: {selector} {text}"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=point[0], y=point[1], button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        """Press keys, by their names in the DOM."""
        for key in keys:
            code = {"windowsVirtualKeyCode": VIRTUAL[key]} if key in VIRTUAL else {}
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **code)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def write(self, selector: str, text: str) -> None:
        """Type a text into a field, in place of what is there."""
        self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.focus(); one.select?.(); }})()"
        )
        self.call("Input.insertText", text=text)

    def texts(self, selector: str) -> list[str]:
        listed: list[str] = self.run(
            f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.textContent.trim())"
        )
        return listed

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def shoot(self, path: Path, whole: bool = False) -> Path:
        """Save a screenshot: of the window, or of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"] if whole else None
        clip = {"clip": {**{name: size[name] for name in ("x", "y", "width", "height")}, "scale": 1}} if size else {}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    @property
    def foreign_requests(self) -> list[str]:
        """Requests that are neither files nor data in the page."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:", "about:"))]


@contextmanager
def open_browser() -> Iterator[Page]:
    """Start Chromium and yield its page."""
    with tempfile.TemporaryDirectory(prefix="lineage-chromium", ignore_cleanup_errors=True) as profile:
        flags = ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars",
                 "no-first-run", "disable-extensions", "disable-background-networking",
                 "remote-debugging-port=0"]  # fmt: skip
        command = [find_chromium(), *(f"--{flag}" for flag in flags), f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = _wait_for_port(Path(profile, "DevToolsActivePort"), process)
            with asyncio.Runner() as runner:
                session, socket = runner.run(_connect(port))
                try:
                    yield Page(runner, socket)
                finally:
                    runner.run(_close(session, socket))
        finally:
            process.terminate()
            process.wait()


def _wait_for_port(file: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + START_SECONDS
    while not (file.is_file() and (lines := file.read_text().splitlines())):
        if process.poll() is not None or time.monotonic() > end:
            pytest.skip(f"Chromium does not start here (exit code {process.poll()})")
        time.sleep(0.05)
    return int(lines[0])


async def _connect(port: int) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    session = aiohttp.ClientSession(trust_env=False)
    async with session.get(f"http://127.0.0.1:{port}/json") as reply:
        targets = await reply.json()
    address = next(one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page")
    return session, await session.ws_connect(address, max_msg_size=0)


async def _close(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.close()
    await session.close()
