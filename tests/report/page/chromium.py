"""Headless Chromium over a pipe: opens a page, waits until its plots are drawn, and asks it for values."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""Path of the browser; None where none is installed."""
WAIT = 120.0
"""Most seconds for an answer of the browser."""


class Chromium:
    """A browser with one page.

    Attributes:
        said: Messages of the console, errors of scripts, and addresses that the page asked for.
    """

    def __init__(self, folder):
        read_end, self.to = os.pipe()
        self.back, write_end = os.pipe()

        def keep():
            os.dup2(read_end, 3)
            os.dup2(write_end, 4)
            os.set_inheritable(3, True)  # dup2 changes nothing where the pipe already has the number
            os.set_inheritable(4, True)

        words = [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        words += ["--remote-debugging-pipe"]
        self.process = subprocess.Popen(
            [*words, f"--user-data-dir={folder}", "about:blank"], preexec_fn=keep, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_end)
        os.close(write_end)
        self.numbers, self.rest, self.said, self.session = itertools.count(1), b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Returns the result of a call, and notes what the page says meanwhile."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        message |= {} if self.session is None else {"sessionId": self.session}
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _message(self):
        end = time.monotonic() + WAIT
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.back], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            self.rest += os.read(self.back, 1 << 20)
        line, _, self.rest = self.rest.partition(b"\0")
        return json.loads(line)

    def _note(self, event):
        values = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.said.append(values["exceptionDetails"].get("exception", {}).get("description", "an error"))
        elif event.get("method") == "Runtime.consoleAPICalled":
            self.said.append(str(values["args"]))
        elif event.get("method") == "Log.entryAdded":
            self.said.append(values["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            address = values["request"]["url"]
            self.said += [] if address.startswith(("file:", "data:")) else [address]

    def value(self, expression):
        """Returns the value of an expression of the page; the page's policy does not restrict it."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def promised(self, expression, key):
        """Returns an entry of the object that a promise of the page comes to."""
        text = f"({expression}).then((all) => JSON.stringify(all[{json.dumps(key)}]))"
        made = self.call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        return json.loads(made["result"]["value"])

    def look(self, *, scheme="light", width=1280, media="screen"):
        """Shows what follows in light or dark, at a width in pixels, on the screen or as print."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def open(self, path):
        """Opens a file and waits until its plots are drawn."""
        self.call("Page.navigate", url=f"file://{path}")
        end = time.monotonic() + WAIT
        while self.value("document.documentElement.dataset.drawn") != "yes":
            assert time.monotonic() < end, f"the plots were not drawn: {self.said}"
            time.sleep(0.2)

    def close(self):
        """Ends the browser."""
        with contextlib.suppress(BrokenPipeError, AssertionError):
            self.session = None
            self.call("Browser.close")
        self.process.wait(timeout=60)
        os.close(self.to)
        os.close(self.back)
