"""The page of a run while it trains, served on this machine alone: `holdfast report RUN --live`."""

from __future__ import annotations

import hashlib
import http.server
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.specs import ReportSpec
from holdfast.bench.given.tasks import reranks
from holdfast.bench.machine.files import read_jsonl
from holdfast.bench.run.folder import folder_of_runs
from holdfast.bench.run.record import RunRecord
from holdfast.core.errors import HoldfastError
from holdfast.report.page.blocks import Facts, Page, Part, sections
from holdfast.report.page.clean import place_name
from holdfast.report.page.making import page_of
from holdfast.report.page.outcome import environment_block
from holdfast.report.page.render import html
from holdfast.report.page.run import done_pairs, loss_axis, loss_curves, read_object

HOST = "127.0.0.1"
STATE = "/state"
"""Address that tells a digest of the files behind the page."""
WATCHED = ("spec.json", "log.jsonl", "scores.jsonl", "result.json", "diff.json")
"""Files of a folder whose change makes the page new."""


def live_page(spec: ReportSpec) -> Page:
    """Returns the page of the folders, with a part for each run that has not finished.

    Raises:
        HoldfastError: A folder does not exist, or a file cannot be read.
    """
    training = [folder for place in spec.runs for folder in _unfinished(place)]
    try:
        done = page_of(spec)
    except HoldfastError as error:
        if not training:
            raise
        done = Page("", [], [str(error)] if len(spec.runs) > 1 else [])
    parts = [*map(training_part, training), *done.parts]
    return Page(parts[0].title if training else done.title, parts, done.notes)


def training_part(folder: Path) -> Part:
    """Returns the part on a run that trains: how far it is, and its curves so far."""
    spec = read_object(folder / "spec.json")
    rows = read_jsonl(folder / "log.jsonl") if (folder / "log.jsonl").exists() else []
    resolved = spec.get("resolved")
    steps = resolved.get("steps") if isinstance(resolved, dict) else None
    model, data = str(spec.get("model", "a model")), str(spec.get("data", "data"))
    axis = loss_axis(reranks(str(spec.get("task", "auto")), model))
    return Part(
        kind="A run that has not finished",
        title=f"{folder.name}: {place_name(model)} learns {place_name(data)}",
        word=None,
        sentence=_progress(folder, rows, steps),
        sections=sections(
            ("Training", [block for block in loss_curves(rows, axis) if block is not None]),
            ("What is done", [Facts(done_pairs(spec))]),
            ("Environment", environment_block(read_object(folder / "env.json"))),
        ),
    )


def _progress(folder: Path, rows: Sequence[dict[str, Any]], steps: object) -> str:
    """Returns how far a run is."""
    of = f" of {steps:,}" if isinstance(steps, int) else ""
    if not rows:
        asked = (folder / "scores.jsonl").exists()
        return "The base has been asked; no step has been logged yet." if asked else "The run has begun."
    done = int(rows[-1]["step"])
    if done == steps:
        return f"All {done:,} steps are done; the model is being asked again."
    return f"Step {done:,}{of}."


def _unfinished(given: str) -> list[Path]:
    """Returns the folders of runs that have begun and not finished, in a folder or directly below."""
    place = folder_of_runs(given)
    folders = [place] if (place / "spec.json").exists() else sorted(path.parent for path in place.glob("*/spec.json"))
    return [folder for folder in folders if not (folder / RunRecord.FILE).exists()]


def state_of(places: Sequence[str]) -> str:
    """Returns a digest of the sizes and times of the files behind the page."""
    digest = hashlib.sha256()
    for place in places:
        for path in sorted(path for name in WATCHED for path in Path(place).expanduser().glob(f"**/{name}")):
            status = path.stat()
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def server(spec: ReportSpec) -> http.server.ThreadingHTTPServer:
    """Returns a server of the page that listens on the loopback address alone.

    Raises:
        HoldfastError: A folder does not exist, or the port is taken.
    """
    live_page(spec)  # a wrong folder is an error here, and not in a browser

    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers with the page and with its state; refuses every other address and every foreign name of the host."""

        def do_GET(self) -> None:
            """Answers a request."""
            hosts = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}  # type: ignore[attr-defined]
            if self.headers.get("Host") not in hosts:  # a page of another site that resolves to this machine
                self.send_error(403)
                return
            path = urllib.parse.urlsplit(self.path).path
            if path == STATE:
                self._send(state_of(spec.runs), "text/plain")
            elif path == "/":
                try:
                    self._send(html(live_page(spec), live=STATE), "text/html")
                except HoldfastError as error:  # a file was read while the run replaced it
                    self._send(str(error), "text/plain", 503)
            else:
                self.send_error(404)

        def _send(self, text: str, kind: str, status: int = 200) -> None:
            data = text.encode()
            self.send_response(status)
            for name, value in (
                ("Content-Type", f"{kind}; charset=utf-8"),
                ("Content-Length", str(len(data))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("X-Frame-Options", "DENY"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing."""

    try:
        return http.server.ThreadingHTTPServer((HOST, spec.port), Handler)
    except (OSError, OverflowError) as error:
        raise HoldfastError(
            f"--port {spec.port} cannot be used ({error}); give another, or 0 for a free one."
        ) from error


def serve(spec: ReportSpec, console: Console) -> None:
    """Serves the page until the user interrupts it."""
    with server(spec) as serving:
        console.print(
            f"http://{HOST}:{serving.server_port}/ (this machine alone; Ctrl-C ends it)", highlight=False, markup=False
        )
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            console.print("", highlight=False)
