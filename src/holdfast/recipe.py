"""Recipes as text: `repr(recipe)` gives the text, a Python expression, and `parse` reads it."""

from __future__ import annotations

from holdfast.core.method import Chain, chain
from holdfast.core.sums import read_sum
from holdfast.methods.table import known


def parse(text: str) -> Chain:
    """Returns the recipe of a text such as "Train(lr=2e-4) + LoRA(rank=16) + MaskTheTarget()".

    The text may contain names of methods, literal settings and `+`; nothing is evaluated. Methods of other packages
    are known if their package declares them (`holdfast.methods.plugins`). The parts of a named sum (`Holdfast()`)
    replace it.

    Raises:
        HoldfastError: The text is not such a sum, a method or setting is unknown (with the nearest name), a value is
            out of its range, or a pair of methods makes no sense.
    """
    return chain(*read_sum(text, known()))
