"""Text <-> recipe: `repr(recipe)` is the text, and the text is Python."""

from __future__ import annotations

from holdfast.core.method import Chain, chain
from holdfast.core.sums import read_sum
from holdfast.methods.table import known


def parse(text: str) -> Chain:
    """Returns the recipe that `text` writes, such as "Train(lr=2e-4) + LoRA(rank=16) + MaskTheTarget()".

    Only names of methods, literal settings and `+` are read; nothing is evaluated. Methods of other packages count
    where those declare them (`holdfast.methods.plugins`). In the place of a sum with a name (`Holdfast()`) are its
    parts.

    Raises:
        HoldfastError: Not such a text; an unknown method or setting (with the nearest name); a value out of its range;
            a pair of methods that makes no sense.
    """
    return chain(*read_sum(text, known()))
