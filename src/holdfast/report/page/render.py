"""A page as HTML: one file that needs nothing else, in which everything that comes from data is escaped.

The content security policy allows the scripts and the style sheet of this package by their digests, and nothing else:
no handler, no `eval`, no other file, no network.
"""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import markupsafe

import holdfast
from holdfast.report.page.blocks import Page
from holdfast.report.page.clean import shortened, visible

LIBRARY = ("vendor/vega.min.js", "vendor/vega-lite.min.js", "vendor/vega-interpreter.js")
"""The charting library, in the order in which a browser reads it."""
SCRIPTS = (*LIBRARY, "page.js")
STYLE = "page.css"
LONGEST = 4_000
"""Most characters of a text, so that no name can bring a browser to a halt."""
LONGEST_COMMAND = 20_000
"""Most characters of a command."""
LIVE = "live.js"
"""Script that reloads the page while a run trains."""


def html(page: Page, *, live: str = "", written: datetime.datetime | None = None) -> str:
    """Returns a page as HTML.

    Args:
        page: The page.
        live: Address that tells the state of a run that trains, for a page that reloads itself; "" for a file.
        written: Time to show; now if None.
    """
    scripts = [asset(name) for name in (*SCRIPTS, *([LIVE] if live else []))]
    style = asset(STYLE)
    when = written or datetime.datetime.now().astimezone()
    return _template().render(
        page=page,
        scripts=scripts,
        style=style,
        policy=policy(scripts, style, live=bool(live)),
        live=live,
        version=holdfast.__version__,
        written=f"{when:%Y-%m-%d %H:%M}",
    )


def policy(scripts: Sequence[str], style: str, *, live: bool) -> str:
    """Returns the content security policy: these scripts and this style sheet, by their SHA-256.

    Args:
        scripts: Texts of the scripts.
        style: Text of the style sheet.
        live: Whether the page may ask the server that it comes from.
    """
    allowed = {
        "default-src": "'none'",
        "script-src": " ".join(map(_digest, scripts)),
        "style-src": _digest(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        **({"connect-src": "'self'"} if live else {}),
    }
    return "; ".join(f"{name} {sources}" for name, sources in allowed.items())


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def asset(name: str) -> str:
    """Returns the text of a file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_visible
    )
    environment.filters.update(spec=_spec, command=_command)
    return environment.from_string(asset("page.html.jinja"))


def _visible(value: Any) -> Any:
    """Spells out hidden characters in every text that the template shows, and cuts it; not what is safe already."""
    return shortened(visible(value), LONGEST) if type(value) is str else value


def _command(text: str) -> Any:
    """Returns a command, escaped; it is cut only if it is far longer than any that was typed."""
    return markupsafe.escape(shortened(visible(text), LONGEST_COMMAND))


def _spec(spec: Mapping[str, Any]) -> Any:
    """Returns a plot as JSON that may stand inside a script element: without `<`, `>` and `&`."""
    text = json.dumps(_cleaned(spec), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return markupsafe.Markup(text)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {key: _cleaned(entry) for key, entry in value.items()}
    return [_cleaned(entry) for entry in value] if isinstance(value, (list, tuple)) else value
