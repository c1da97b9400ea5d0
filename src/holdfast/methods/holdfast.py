"""Holdfast: the recommended sum of methods, under one name."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from holdfast.core.method import Method
from holdfast.core.settings import setting
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.rehearsal.prompt_rehearsal import PromptRehearsal
from holdfast.methods.rehearsal.refusal_rehearsal import RefusalRehearsal
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.methods.schedules.wsd import WSD
from holdfast.methods.selection.lora import LoRA


@dataclasses.dataclass(frozen=True, repr=False)
class Holdfast(Method):
    """Stands for the sum of methods to begin with.

        Holdfast()                    = WSD() + BaseKL(on="memory") + SelfRehearsal(ratio=0.5)
        Holdfast("old")               = WSD() + BaseKL(on="memory") + Rehearsal("old", ratio=0.5)
        Holdfast(prompts=True)        = WSD() + BaseKL(on="memory") + PromptRehearsal() + RefusalRehearsal()
        Holdfast("old", prompts=True) = WSD() + BaseKL(on="memory") + Rehearsal("old", ratio=0.5) + RefusalRehearsal()

    With `adapter=True`, LoRA() comes first.

    A recipe contains the parts in its place. Records list the parts, and exclusions of other methods apply to the
    parts.

    Args:
        memory: Path, hub id or name of old examples; separate several by commas. Half of the tokens are old, and a
            penalty (KL) holds the model to the base on them. Without old examples, the base writes some first.
        adapter: Whether to train an adapter instead of the model's own weights.
        prompts: Whether the model rehearses its own answers to everyday prompts, and its own refusals if it is a chat
            model, instead of text that it writes freely. It is for models of people's language; a run that names no
            recipe takes it from 100 million parameters on.

    Reference:
        Our own choice from the studies: docs/which-method.md. Rehearsal as in Robins 1995, with the base's predictions
        on the old tokens (Li and Hoiem, Learning without Forgetting, 2016, arXiv 1606.09282).

    Confidence:
        own: We measured it on small models, and prompts=True, on adapters, on two models
        (docs/studies/real.md); docs/which-method.md has the figures, and the cases in which it is not the best.

    Cost:
        Twice the tokens; about a tenth more with prompts=True. One forward of the base on old tokens. Without old
        examples, a thousand generations before; 148 with prompts=True.

    Departs:
        There is no paper; the sum is ours. The card of each part says how that part departs from its paper.
    """

    memory: str = setting("", unit="path, hub id or name", role="memory")
    adapter: bool = setting(False, unit="yes or no", choices=(False, True))
    prompts: bool = setting(False, unit="yes or no", choices=(False, True))

    def parts(self) -> tuple[Method, ...]:
        """Returns the methods in this sum."""
        adapter = (LoRA(),) if self.adapter else ()
        old: Method = Rehearsal(self.memory, ratio=0.5) if self.sources else SelfRehearsal(ratio=0.5)
        if self.prompts and not self.sources:
            old = PromptRehearsal()
        refusals = (RefusalRehearsal(),) if self.prompts else ()
        return *adapter, WSD(), BaseKL(on="memory"), old, *refusals


def short(methods: Sequence[Method]) -> tuple[Method, ...]:
    """Returns the methods with `Holdfast` in place of its parts, if all parts are present."""
    for memory in ["", *(method.memory for method in methods if isinstance(method, Rehearsal))]:
        for prompts, adapter in itertools.product((True, False), repeat=2):
            whole = Holdfast(memory, adapter, prompts)
            if set(whole.parts()) <= set(methods):
                return whole, *(method for method in methods if method not in whole.parts())
    return tuple(methods)
