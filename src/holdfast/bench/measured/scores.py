"""The atom of what a run measures: one item's score, before or after. Standard library only."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from holdfast.bench.given.options import hints_of, in_words, is_a
from holdfast.bench.machine.files import read_jsonl, write_jsonl
from holdfast.core.errors import HoldfastError, nearest

Moment = Literal["before", "after"]
Role = Literal["learned", "transfer", "retained"]
Split = Literal["watch", "proof"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One item's score, before or after a run.

    Attributes:
        run: Name of the run.
        moment: Whether the base (`before`) or the tuned model (`after`) was asked.
        suite: Name of the set of items.
        role: What the suite is there to show: the skill learned, its transfer to a shifted domain, or what is to stay.
        split: `watch` items may steer a run; `proof` items are read once per model.
        item: Identity of the item within its suite; the same before and after.
        group: What items that are not independent share (the document a question is about); the item if nothing.
        value: The score: finite, in `unit`, summed over `weight` units.
        unit: Unit of `value`: "nats", "points", "1" for a pure number.
        higher_is_better: Whether more is better.
        weight: How many units `value` is a sum over (the tokens of a document); 1 for a score of the item as a whole.
        choices: How many choices the answer was picked from, 0 if it was generated; None if that is not known.
    """

    run: str
    moment: Moment
    suite: str
    role: Role
    split: Split
    item: str
    group: str
    value: float
    unit: str
    higher_is_better: bool
    weight: float = 1.0
    choices: int | None = None

    def __post_init__(self) -> None:
        """Raises `HoldfastError` for a value that a score cannot have."""
        where = f"Score of {self.item!r} in {self.suite!r}"
        cls: Any = type(self)
        hints = hints_of(cls)
        for field in dataclasses.fields(self):
            value, hint = getattr(self, field.name), hints[field.name]
            if not is_a(value, hint):
                raise HoldfastError(f"{where}: {field.name} is {value!r}, which is not {in_words(hint)}.")
        if not math.isfinite(self.value):
            raise HoldfastError(f"{where}: {self.value} is no measurement; leave the row out instead.")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise HoldfastError(f"{where}: a weight of {self.weight} counts nothing; leave the row out instead.")
        if self.choices is not None and self.choices not in (0, *range(2, 10_000)):
            raise HoldfastError(f"{where}: {self.choices} choices; give 0 for a generated answer, or at least 2.")

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], where: str = "a score") -> Self:
        """Returns the row with these fields.

        Raises:
            HoldfastError: If a field is unknown, missing or of the wrong kind; `where` says in which place.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        for key in record:
            if key not in fields:
                raise HoldfastError(f"Unknown field {key!r} in {where}.{nearest(str(key), fields)}")
        missing = fields - set(record) - {"weight", "choices"}
        if missing:
            raise HoldfastError(f"Missing in {where}: {', '.join(sorted(missing))}.")
        return cls(**record)


def write_scores(path: str | os.PathLike[str], rows: Iterable[ScoreRow]) -> None:
    """Writes `rows` to `path` atomically, one per line; raises `HoldfastError` if it cannot."""
    write_jsonl(path, map(dataclasses.asdict, rows))


def read_scores(path: str | os.PathLike[str]) -> list[ScoreRow]:
    """Returns the rows of `path`; raises `HoldfastError` naming file and line of the first that is none."""
    return [ScoreRow.from_dict(record, f"{path}:{i}") for i, record in enumerate(read_jsonl(path), start=1)]
