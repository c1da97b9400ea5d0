"""A relation: one thing that can be said of things of a kind, in wordings to tell, to ask and to test with."""

from __future__ import annotations

import dataclasses


def lines(text: str) -> tuple[str, ...]:
    """Returns the lines of an indented block, without blanks around them."""
    return tuple(line.strip() for line in text.strip().splitlines())


@dataclasses.dataclass(frozen=True)
class Relation:
    """One thing that is known of every thing of a kind.

    Attributes:
        name: What it is called, also as a key in JSON.
        says: Statements; the first is the usual answer.
        asks: Questions that are asked in pretraining.
        held: Questions that are held out of it.
    """

    name: str
    says: tuple[str, ...]
    asks: tuple[str, ...]
    held: tuple[str, ...]

    def say(self, subject: str, value: str, wording: int = 0) -> str:
        """Returns the statement of one fact."""
        said = self.says[wording].format(s=subject, v=value)
        return said[0].upper() + said[1:]


def relation(name: str, says: str, asks: str, held: str) -> Relation:
    """Returns a relation, its wordings given one to a line."""
    return Relation(name, lines(says), lines(asks), lines(held))
