"""A hook of mkdocs: links to files outside docs/ become their paths, because a site holds the pages alone."""

from __future__ import annotations

import posixpath
import re
from typing import Any

LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Returns a page, in which what a link outside docs/ would show is followed by the path in the repository."""
    folder = posixpath.dirname(page.file.src_uri)

    def shown(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        path = posixpath.normpath(posixpath.join("docs", folder, target))
        if "://" in target or path.startswith("docs/"):
            return link[0]
        return text if path in text else f"{text} (`{path}`)"

    return LINK.sub(shown, markdown)
