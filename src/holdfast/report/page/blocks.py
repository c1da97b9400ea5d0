"""What a page consists of: parts with sections, and in these a few kinds of blocks, which the template renders.

Every text is data and is escaped when it is rendered. Only `Tone` becomes part of the markup.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

Tone = Literal["", "good", "bad", "open"]
"""How a word is colored: the words themselves say the same, so that color is never the only sign."""

TONES: Mapping[str, Tone] = {
    "kept": "good",
    "forgot": "bad",
    "not enough evidence": "open",
    "unsettled": "open",
    "learned": "good",
    "better": "good",
    "learned little": "open",
    "not learned": "open",
    "lost": "bad",
    "worse": "bad",
}
"""Tone of the words of verdicts, of learning and of readings."""


@dataclasses.dataclass(frozen=True)
class Word:
    """A word of a verdict or a reading in a cell.

    Attributes:
        text: The word.
    """

    text: str

    @property
    def tone(self) -> Tone:
        """Returns its tone; "" for a word without one."""
        return TONES.get(self.text.partition(",")[0], "")


Cell = str | Word


@dataclasses.dataclass(frozen=True)
class Paragraphs:
    """Sentences, each a paragraph."""

    kind: ClassVar[str] = "paragraphs"
    lines: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names with their values."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


_NUMBER = re.compile(r"(< ?)?[+-]?\d[\d.,e-]*(x|%| [a-zµ]+)?( [+-]\d+)?( \[[^\[\]]*\])?( [a-z]+)?")
"""A number in a cell, with a unit, a second number or an interval: 4, 31.5%, -3 +2, +1.0 [-0.5, 2.5] points."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table. Columns of numbers stand to the right, and all others to the left, where their lines may break.

    Attributes:
        caption: What it shows.
        columns: Headings.
        rows: Cells; the first of a row is its heading.
        note: A sentence below.
        folded: Whether it is closed until the reader opens it.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    folded: bool = False

    @property
    def texts(self) -> tuple[bool, ...]:
        """Returns for each column whether it holds texts: other things than numbers, apart from words of a verdict."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.columns)
        return tuple(place == 0 or _holds_texts(cells) for place, cells in enumerate(columns))


def _holds_texts(cells: Sequence[Cell]) -> bool:
    texts = [cell for cell in cells if isinstance(cell, str) and cell]
    return not texts or not all(map(_NUMBER.fullmatch, texts))


@dataclasses.dataclass(frozen=True)
class Chart:
    """A plot with its numbers as a table.

    Attributes:
        title: What it shows.
        about: One sentence for a reader who cannot see it.
        spec: The specification, in Vega-Lite, with its data.
        numbers: The same data as a table.
    """

    kind: ClassVar[str] = "chart"
    title: str
    about: str
    spec: Mapping[str, Any]
    numbers: Table


@dataclasses.dataclass(frozen=True)
class Quote:
    """A question with the answers of both models.

    Attributes:
        suite: Its suite.
        item: Its name in the suite.
        asked: The question.
        right: The right answer; "" without one.
        before: The base's answer.
        after: The tuned model's answer.
        note: Why the answers are cut short; "" if they are not.
    """

    suite: str
    item: str
    asked: str
    right: str
    before: str
    after: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Quotes:
    """Quoted answers under a sentence."""

    kind: ClassVar[str] = "quotes"
    title: str
    rows: Sequence[Quote]


@dataclasses.dataclass(frozen=True)
class Code:
    """A command to type."""

    kind: ClassVar[str] = "code"
    text: str


Block = Paragraphs | Facts | Table | Chart | Quotes | Code


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading with blocks below."""

    heading: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Part:
    """What a page says of one record.

    Attributes:
        kind: What kind of record it is, in a word or two.
        title: What the record is about.
        word: The word of its verdict; None without one.
        sentence: The sentence to read if one reads only one.
        sections: Its sections, without empty ones.
        folded: Whether it is closed until the reader opens it.
    """

    kind: str
    title: str
    word: Word | None
    sentence: str
    sections: Sequence[Section]
    folded: bool = False


@dataclasses.dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Its title.
        parts: Its parts.
        notes: What was left out, and why.
    """

    title: str
    parts: Sequence[Part]
    notes: Sequence[str] = ()


def sections(*named: tuple[str, Sequence[Block]]) -> list[Section]:
    """Returns the sections that have a block."""
    return [Section(heading, blocks) for heading, blocks in named if blocks]
