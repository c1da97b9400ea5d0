"""WikiText-2 by article: its lines gathered, and its words put together as lm-eval's wikitext does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from holdfast.data.files import Record

_TITLE = re.compile(r"^\s*= (?!=)(.+?) =\s*$")

_FIXED = (
    (" @-@ ", "-"),
    (" @,@ ", ","),
    (" @.@ ", "."),
    (" : ", ": "),
    (" ; ", "; "),
    (" . ", ". "),
    (" ! ", "! "),
    (" ? ", "? "),
    (" , ", ", "),
)
_PAIRS = (
    (r"\(\s*([^\)]*?)\s*\)", r"(\1)"),
    (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
    (r"{\s*([^}]*?)\s*}", r"{\1}"),
    (r"\"\s*([^\"]*?)\s*\"", r'"\1"'),
    (r"'\s*([^']*?)\s*'", r"'\1'"),
)
_LAST = (
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (" ° ", "°"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)


def articles(records: Iterable[Record]) -> Iterator[Record]:
    """Yields an article as a record with its `page`, of records that are articles already, or lines or paragraphs."""
    lines: list[str] = []
    first = ""
    for origin, record in records:
        if isinstance(record, dict) and "page" in record:
            yield origin, record
            continue
        text = record if isinstance(record, str) else str(record.get("text", ""))
        for line in text.lstrip("\ufeff").split("\n"):
            if _TITLE.match(line) and any(map(str.strip, lines)):
                yield first, {"page": "\n".join(lines)}
                lines = []
            first = first if lines else origin
            lines.append(line)
    if any(map(str.strip, lines)):
        yield first, {"page": "\n".join(lines)}


def detokenized(page: str) -> str:
    """Returns an article without the blanks that its words and marks are set apart by."""
    text = page.replace("s '", "s'")
    for old, new in _FIXED:
        text = text.replace(old, new)
    for pattern, new in _PAIRS:
        text = re.sub(pattern, new, text)
    for old, new in _LAST:
        text = text.replace(old, new)
    return text


def bits_per_byte(nats: float, tokens: int, size: int) -> float:
    """Returns nats per token as bits per byte.

    Args:
        nats: Mean negative log-likelihood in nats per token.
        tokens: Number of tokens that it is the mean of.
        size: Number of bytes of their text in UTF-8.
    """
    return nats * tokens / (math.log(2) * size)
