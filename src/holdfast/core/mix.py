"""What is trained on: examples (token ids and labels), and the mix of new examples with memories.

A mix is data, not a loader: it says which examples there are and which share of the supervised tokens each memory
is to have. `holdfast.data.order.order` turns it into the order in which examples are visited.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

NEW = 0
"""Source number of the examples being learned; the k-th memory of a mix (from 1) has source number k."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One training row.

    Attributes:
        input_ids: Token ids, `[T]`.
        labels: Token ids to predict, `[T]`, unshifted, -100 where nothing is supervised.
        source: `NEW`, or the number of the memory that it comes from.
        lengths: Lengths of the documents packed into this row, in order; empty for a row of one document, unless it
            stands beside packed ones.
        origin: Where the row was read ("facts.jsonl:7"), for messages.
        content: Digest of the content of the row that it was made from (`holdfast.data.digest`), the same in every file
            and at every length; empty if it is not known.
    """

    input_ids: Sequence[int]
    labels: Sequence[int]
    source: int = NEW
    lengths: tuple[int, ...] = ()
    origin: str = ""
    content: str = dataclasses.field(default="", compare=False, repr=False)

    @property
    def supervised(self) -> int:
        """Number of tokens that carry a loss (the first token of each document never does)."""
        starts, at = set(), 0
        for length in self.lengths or (len(self.labels),):
            starts.add(at)
            at += length
        return sum(label != -100 and i not in starts for i, label in enumerate(self.labels))


@dataclasses.dataclass(frozen=True)
class Mix:
    """Examples to learn and, after them in `examples`, those of the memories.

    Attributes:
        examples: All examples; their `source` says whose they are.
        names: Names of the memories; the k-th name belongs to source number k + 1.
        ratios: Share of the supervised tokens that each memory is to have, in (0, 1); new examples get the rest.
        nears: How near each memory is said to be to what is measured: "same", "near", "none" or "unsaid".
    """

    examples: tuple[Example, ...]
    names: tuple[str, ...] = ()
    ratios: tuple[float, ...] = ()
    nears: tuple[str, ...] = ()

    def with_memory(self, name: str, examples: Sequence[Example], ratio: float, near: str = "unsaid") -> Mix:
        """Returns this mix with one more memory, whose examples are renumbered as its source."""
        source = len(self.names) + 1
        added = tuple(dataclasses.replace(example, source=source) for example in examples)
        return Mix((*self.examples, *added), (*self.names, name), (*self.ratios, ratio), (*self.nears, near))
