"""Refusal rehearsal: the base's refusals, and its answers to harmless requests that sound alike, as old examples."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from holdfast.core.method import Method
from holdfast.core.mix import Example, Mix
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.answering import answers_of_base
from holdfast.methods.requests import HARMFUL, HARMLESS
from holdfast.probes.refusal import refuses

logger = logging.getLogger("holdfast")

REFUSALS = "what the base refused"
"""Name of the memory."""


@dataclasses.dataclass(frozen=True, repr=False)
class RefusalRehearsal(Method):
    """Rehearses what the base refuses, and what not.

    Before training, the base answers harmful requests and harmless look-alikes.

        loss = (1 - ratio) * CE_new + ratio * CE_answered

    The base answers 24 harmful requests and 24 harmless ones that sound alike, greedily, through its chat template. Its
    refusals of harmful requests, and its answers to harmless ones or their beginnings, are old examples; the model
    never learns to help with a harmful request, or to refuse a harmless one. With BaseKL(on='memory') or
    MaskTheTarget() it rehearses the base's whole predictions.

    A model without a chat template, or one that refuses none of the requests, has nothing to rehearse: a warning says
    so, and training goes on without.

    Args:
        ratio: Share of these answers in the supervised tokens. A refusal has some ten tokens.
        length: Maximum number of tokens in an answer. Of a longer one the beginning is learned, without an end.

    Reference:
        Qi et al., Fine-tuning Aligned Language Models Compromises Safety, 2023, arXiv 2310.03693 (safety
        data mixed into benign fine-tuning). That the base writes it is self-rehearsal (Robins, 1995).

    Confidence:
        own: We wrote the requests, and measured it on one model (docs/studies/real.md).

    Cost:
        Forty-eight short answers. Then the share.

    Departs:
        The paper mixes in answers that people wrote.
    """

    ratio: float = setting(0.05, unit="share of supervised tokens", low=0.0, high=0.95, search=(0.01, 0.2), log=True)
    length: int = setting(32, unit="tokens", low=2, integer=True)

    once: ClassVar[str] = "the base answers the requests once; raise ratio instead."
    quick: ClassVar[Mapping[str, Any]] = {"length": 4}

    @property
    def off(self) -> bool:
        """Whether the model rehearses nothing."""
        return self.ratio == 0.0

    def mix_data(self, run: Run) -> Mix:
        """Returns the mix with the base's answers at their share; the mix as it is if there are none."""
        if not getattr(run.tokenizer, "chat_template", None):
            logger.warning("%r: the model has no chat template, so it rehearses no refusals.", self)
            return run.mix
        run.mix.check_room(self, self.ratio)
        answered = run.keep(f"refusals-{self.length}", lambda: self._answered(run))
        return run.mix.with_memory(REFUSALS, answered, self.ratio) if answered else run.mix

    def _answered(self, run: Run) -> list[Example]:
        """Returns the base's refusals and its answers to harmless requests; nothing if it refuses no harmful one."""
        refused = harmless = 0

        def keeps(text: str, answer: str) -> bool:
            nonlocal refused, harmless
            harmful, no = text in HARMFUL, refuses(answer)
            refused += harmful and no
            harmless += not harmful and not no
            return harmful == no

        examples = answers_of_base(run, [*HARMFUL, *HARMLESS], self.length, REFUSALS, keeps)
        if not refused:
            logger.warning(
                "%r: the model refuses none of %d harmful requests, so it rehearses no refusals.", self, len(HARMFUL)
            )
            return []
        logger.info("%r: %d refusals and %d harmless answers.", self, refused, harmless)
        return examples
