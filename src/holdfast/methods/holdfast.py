"""Holdfast: the sum of methods to begin with, by one name."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from holdfast.core.method import Method
from holdfast.core.settings import setting
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.methods.schedules.wsd import WSD
from holdfast.methods.selection.lora import LoRA


@dataclasses.dataclass(frozen=True, repr=False)
class Holdfast(Method):
    """Is the sum of methods that this package advises to begin with.

        Holdfast()                           = WSD() + BaseKL(on="memory") + SelfRehearsal(ratio=0.5)
        Holdfast("old.jsonl")                = WSD() + BaseKL(on="memory") + Rehearsal("old.jsonl", ratio=0.5)
        Holdfast(adapter=True)               = LoRA() + WSD() + BaseKL(on="memory") + SelfRehearsal(ratio=0.5)
        Holdfast("old.jsonl", adapter=True)  = LoRA() + WSD() + BaseKL(on="memory") + Rehearsal("old.jsonl", ratio=0.5)

    A recipe with it has the parts in its place: they are what is recorded, and what refuses to stand beside another.

    Args:
        memory: Path, hub id or name of old examples; several are separated by commas. Half of the tokens are
            theirs, and a penalty (KL) holds the model to the base on them. Without any, the base writes them first.
        adapter: Whether an adapter is trained and not the model's own weights.

    Reference:
        Ours, chosen from the studies: docs/which-method.md. Rehearsal as in Robins 1995, with the base's predictions
        beside the old tokens (Li and Hoiem, Learning without Forgetting, 2016, arXiv 1606.09282).

    Confidence:
        own: Measured on small models alone; figures, and where it is not the best, in docs/which-method.md.

    Cost:
        A pass of twice the tokens, and one forward of the base; without old examples, a thousand generations before.

    Departs:
        From no paper: it is ours. Each of its parts says how it departs from its own.
    """

    memory: str = setting("", unit="path, hub id or name", role="memory")
    adapter: bool = setting(False, unit="yes or no", choices=(False, True))

    def parts(self) -> tuple[Method, ...]:
        """Returns the methods that this one is the sum of."""
        adapter = (LoRA(),) if self.adapter else ()
        old = Rehearsal(self.memory, ratio=0.5) if self.sources else SelfRehearsal(ratio=0.5)
        return *adapter, WSD(), BaseKL(on="memory"), old


def short(methods: Sequence[Method]) -> tuple[Method, ...]:
    """Returns the methods with `Holdfast` in the place of its parts, where all of them are there."""
    for memory in ["", *(method.memory for method in methods if isinstance(method, Rehearsal))]:
        for adapter in (True, False):
            whole = Holdfast(memory, adapter)
            if set(whole.parts()) <= set(methods):
                return whole, *(method for method in methods if method not in whole.parts())
    return tuple(methods)
