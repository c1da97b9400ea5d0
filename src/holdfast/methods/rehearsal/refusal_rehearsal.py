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
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import tokenize
from holdfast.methods.requests import HARMFUL, HARMLESS
from holdfast.probes.generation import generate_counted
from holdfast.probes.refusal import refuses

logger = logging.getLogger("holdfast")

REFUSALS = "what the base refused"
"""Name of the memory."""


@dataclasses.dataclass(frozen=True, repr=False)
class RefusalRehearsal(Method):
    """Lets the base answer harmful requests and harmless look-alikes before training, and rehearses its answers.

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
        answered = run.keep(f"refusals-{self.length}", lambda: self._answered(run))
        return run.mix.with_memory(REFUSALS, answered, self.ratio) if answered else run.mix

    def _answered(self, run: Run) -> list[Example]:
        """Returns the base's refusals and its answers to harmless requests; nothing if it refuses no harmful one."""
        asked = [*HARMFUL, *HARMLESS]
        answers = generate_counted(
            run.model,
            run.tokenizer,
            [[Turn("user", text)] for text in asked],
            max_new_tokens=min(self.length, run.longest()),
            progress=run.phase("answering requests", len(asked)),
        )
        rows, unended, refused = [], set[str](), 0
        for number, (text, answer) in enumerate(zip(asked, answers, strict=True)):
            harmful = text in HARMFUL
            refused += harmful and refuses(answer.text)
            if answer.text and refuses(answer.text) == harmful:
                turns = (Turn("user", text, learned=False), Turn("assistant", answer.text))
                rows.append(Row(turns=turns, origin=f"{REFUSALS}, request {number + 1}"))
                unended |= {rows[-1].origin} if answer.cut else set()
        if not refused:
            logger.warning(
                "%r: the model refuses none of %d harmful requests, so it rehearses no refusals.", self, len(HARMFUL)
            )
            return []
        logger.info("%r: %d refusals and %d harmless answers.", self, refused, len(rows) - refused)
        examples = tokenize(rows, run.tokenizer, max_length=run.longest()).examples
        return [_without_end(example) if example.origin in unended else example for example in examples]


def _without_end(example: Example) -> Example:
    """Returns an example whose last learned token, the end of the turn, is not learned."""
    last = max(place for place, label in enumerate(example.labels) if label != -100)
    labels = (*example.labels[:last], -100, *example.labels[last + 1 :])
    return dataclasses.replace(example, labels=labels)
