"""A relation: a kind of fact about things, with wordings for statements, questions and held-out questions."""

from __future__ import annotations

import dataclasses


def lines(text: str) -> tuple[str, ...]:
    """Returns the lines of an indented block, without surrounding spaces."""
    return tuple(line.strip() for line in text.strip().splitlines())


@dataclasses.dataclass(frozen=True)
class Relation:
    """A fact that every thing of a kind has.

    Attributes:
        name: Name of the relation, also as a key in JSON.
        says: Statements; the first is the usual answer.
        asks: Questions that pretraining shows.
        held: Questions that pretraining does not show.
    """

    name: str
    says: tuple[str, ...]
    asks: tuple[str, ...]
    held: tuple[str, ...]

    def say(self, subject: str, value: str, wording: int = 0) -> str:
        """Returns the statement of one fact."""
        statement = self.says[wording].format(s=subject, v=value)
        return statement[0].upper() + statement[1:]


def relation(name: str, says: str, asks: str, held: str) -> Relation:
    """Returns a relation from wordings with one on each line."""
    return Relation(name, lines(says), lines(asks), lines(held))
