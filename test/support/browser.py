"""A headless Chromium, driven over its own pipe (DevTools protocol): no package is needed."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")


def find_browser() -> str:
    """`$VLJEPA_CHROMIUM`, or one of those on the path, or an empty text."""
    found = [os.environ.get("VLJEPA_CHROMIUM"), *map(shutil.which, NAMES)]
    return next(filter(None, found), "")


class Browser:
    """One tab; use it as a context manager.

    Attributes:
        errors: Exceptions of the page's script, and what the browser refused, as texts.
    """

    def __init__(self, executable: str, folder: Path) -> None:
        self._ids = itertools.count(1)
        self._buffer = b""
        self._session = ""
        self.errors: list[str] = []
        ours, theirs = os.pipe(), os.pipe()  # commands, answers
        arguments = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
            *("--no-first-run", "--disable-dev-shm-usage", f"--user-data-dir={folder}"),
        ]
        self._process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}', "sh", executable, *arguments],
            pass_fds=(ours[0], theirs[1]),
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._out, self._in = ours[1], theirs[0]

    def __enter__(self) -> Browser:
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._out)
        os.close(self._in)

    def send(self, method: str, **parameters: Any) -> Any:
        """The result of a command; what comes before it is noted."""
        number = next(self._ids)
        command: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._out, json.dumps(command).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(answer["params"]["exceptionDetails"]))
            if answer.get("method") == "Log.entryAdded":
                self.errors.append(str(answer["params"]["entry"]["text"]))

    def _receive(self) -> Any:
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def open(self, url: str) -> None:
        """Go to an address."""
        self.send("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        done = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, script: str, seconds: float = 60.0) -> float:
        """Wait until an expression is true; the seconds that it took."""
        start = time.monotonic()
        while not self.run(script):
            assert time.monotonic() - start < seconds, f"not within {seconds:g} s: {script}"
            time.sleep(0.05)
        return time.monotonic() - start

    def submit(self, form: str, button: str = "button", **fields: str) -> None:
        """Fill a form in and press one of its buttons.

        Args:
            form: CSS selector.
            button: Of a button in it.
            fields: Values by name.
        """
        filled = json.dumps(fields)
        self.run(
            f"(() => {{ const form = document.querySelector({json.dumps(form)});"
            f" for (const [name, value] of Object.entries({filled})) form.elements[name].value ="
            f" value; form.querySelector({json.dumps(button)}).click(); }})()"
        )

    def look(self, width: int, height: int, scheme: str, phone: bool = False) -> None:
        """As which device the page is shown."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        self.send("Emulation.setScrollbarsHidden", hidden=True)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, file: Path) -> None:
        """A PNG of the whole page."""
        taken = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))
