"""Training data: examples (token ids and labels), and the mix of new examples with memories.

A mix is data, not a loader: it lists the examples and gives each memory its share of the supervised tokens.
`holdfast.data.order.order` turns a mix into the order in which training visits the examples.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from holdfast.core.errors import HoldfastError

NEW = 0
"""Source number of the new examples; the k-th memory of a mix, counted from 1, has source number k."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One training row.

    Attributes:
        input_ids: Token ids, `[T]`.
        labels: Token ids to predict, `[T]`, unshifted, -100 where nothing is supervised.
        source: `NEW`, or the number of the memory that holds it.
        lengths: Lengths of the documents packed into this row, in order; empty for a row of one document, unless it
            stands beside packed ones.
        origin: File and line of the row ("facts.jsonl:7"), for messages.
        content: Digest of the row's content before tokenisation (`holdfast.data.digest`), which does not depend on the
            file or on truncation; empty if unknown.
    """

    input_ids: Sequence[int]
    labels: Sequence[int]
    source: int = NEW
    lengths: tuple[int, ...] = ()
    origin: str = ""
    content: str = dataclasses.field(default="", compare=False, repr=False)

    @property
    def supervised(self) -> int:
        """Number of supervised tokens; the first token of a document is never one."""
        starts, at = set(), 0
        for length in self.lengths or (len(self.labels),):
            starts.add(at)
            at += length
        return sum(label != -100 and i not in starts for i, label in enumerate(self.labels))

    @property
    def documents(self) -> tuple[Example, ...]:
        """The documents of this row, each as an example of its own."""
        if not self.lengths:
            return (self,)
        ends = tuple(itertools.accumulate(self.lengths))
        parts = (slice(start, end) for start, end in zip((0, *ends), ends, strict=False))
        return tuple(
            dataclasses.replace(self, input_ids=self.input_ids[part], labels=self.labels[part], lengths=())
            for part in parts
        )


@dataclasses.dataclass(frozen=True)
class Mix:
    """New examples, followed in `examples` by those of the memories.

    Attributes:
        examples: All examples, each with its `source`.
        names: Names of the memories; the name at index k belongs to source number k + 1.
        ratios: Share of the supervised tokens for each memory, in (0, 1); new examples get the rest.
        nears: The user's declaration how near each memory is to the measured items: "same", "near", "none" or "unsaid".
    """

    examples: tuple[Example, ...]
    names: tuple[str, ...] = ()
    ratios: tuple[float, ...] = ()
    nears: tuple[str, ...] = ()

    def check_room(self, who: object, ratio: float) -> None:
        """Raises `HoldfastError` if a further memory of this share, which `who` adds, leaves the new examples none."""
        if (whole := sum(self.ratios) + ratio) >= 1.0:
            raise HoldfastError(
                f"{who!r}: the memories would make up {whole:.0%} of the tokens; leave some to the new examples."
            )

    def with_memory(self, name: str, examples: Sequence[Example], ratio: float, near: str = "unsaid") -> Mix:
        """Returns this mix with one more memory; its examples get the next source number."""
        source = len(self.names) + 1
        added = tuple(dataclasses.replace(example, source=source) for example in examples)
        return Mix((*self.examples, *added), (*self.names, name), (*self.ratios, ratio), (*self.nears, near))
