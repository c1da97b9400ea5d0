"""The sections of a method's docstring: what it says of its arguments, its source, its cost and its departures."""

from __future__ import annotations

import inspect
import re
import textwrap

from holdfast.core.method import Method


def sections_of(doc: str) -> dict[str, str]:
    """Splits a docstring at its headings; the text before the first heading has the key ""."""
    sections: dict[str, list[str]] = {"": []}
    heading = ""
    for line in doc.splitlines():
        mark = re.fullmatch(r"(Args|Returns|Raises|Reference|Confidence|Cost|Departs):", line)
        if mark:
            heading = mark[1]
            sections[heading] = []
        else:
            sections[heading].append(line)
    parted = {name: textwrap.dedent("\n".join(lines)).strip("\n") for name, lines in sections.items()}
    return {**dict.fromkeys(("Args", "Reference", "Confidence", "Cost", "Departs"), ""), **parted}


def joined(text: str) -> str:
    """Returns a text on one line."""
    return " ".join(text.split())


def reference_of(cls: type[Method]) -> str:
    """Returns the sources of a method, as its docstring cites them; "" without any."""
    return joined(sections_of(inspect.getdoc(cls) or "")["Reference"])
