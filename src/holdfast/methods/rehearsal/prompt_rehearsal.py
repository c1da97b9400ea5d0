"""Prompt rehearsal: the base's own answers to everyday prompts, as old examples."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.mix import NEW, Example, Mix
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.data.sieve import repeats
from holdfast.methods.answering import answers_of_base, share_read
from holdfast.methods.prompts import PROMPTS

logger = logging.getLogger("holdfast")

ANSWERS = "what the base answered"
"""Name of the memory."""


@dataclasses.dataclass(frozen=True, repr=False)
class PromptRehearsal(Method):
    """Rehearses the base's answers to everyday prompts.

    Before training, the base answers a hundred of them.

        loss = (1 - ratio) * CE_new + ratio * CE_answered

    The prompts come with the package: questions of fact, sums, short texts, code, and instructions on the form of an
    answer. The base answers greedily, through its chat template, or behind "Question: ... Answer:" if it has none. An
    answer that repeats itself is left out. With BaseKL(on='memory') or MaskTheTarget() the model rehearses the base's
    whole predictions.

    Args:
        ratio: Least share of these answers in the supervised tokens; 0 turns the method off.
        per_example: Answers for each new example, at least. Where these have few supervised tokens (a label, a number),
            this raises the share, to a half at most. Beside labels Gemma lost 13.4 points without answers, 8.2 with one
            for 60 examples, 2.1 with one for 20, and 1.7 with one for 10 (docs/studies/real.md).
        length: Maximum number of tokens in an answer. Of a longer one the beginning is learned, without an end.
        repeat: Maximum share of an answer's 4-grams of tokens that occur earlier in it.

    Reference:
        Huang et al., Mitigating Catastrophic Forgetting in Large Language Models with Self-Synthesized Rehearsal, 2024,
        arXiv 2403.01244 (the base answers the prompts of old examples).

    Confidence:
        own: We wrote the prompts, and measured it on two models (docs/studies/real.md).

    Cost:
        A hundred short answers. Then the share.

    Departs:
        In the paper the base writes the prompts too, from a few given ones, and the fine-tuned model refines the
        answers; a clustering selects among them.
    """

    ratio: float = setting(0.1, unit="share of supervised tokens", low=0.0, high=0.95, search=(0.02, 0.5), log=True)
    per_example: float = setting(0.05, unit="answers per new example", low=0.0, search=(0.02, 0.3))
    length: int = setting(64, unit="tokens", low=2, integer=True)
    repeat: float = setting(0.5, unit="share of 4-grams", low=0.0, high=1.0)

    once: ClassVar[str] = "the base answers the prompts once; raise ratio instead."
    quick: ClassVar[Mapping[str, Any]] = {"length": 4}

    @property
    def off(self) -> bool:
        """Whether the model rehearses nothing."""
        return self.ratio == 0.0

    def mix_data(self, run: Run) -> Mix:
        """Returns the mix with the base's answers at their share.

        Raises:
            HoldfastError: Every answer was empty or repeated itself, or the new examples are left no share.
        """
        run.mix.check_room(self, self.ratio)
        answered = run.keep(f"prompts-{self.length}-{self.repeat:g}", lambda: self._answered(run))
        new = [example for example in run.mix.examples if example.source == NEW]
        share = share_read(self.ratio, self.per_example, new, answered)
        run.mix.check_room(self, share)
        if share > self.ratio:
            logger.info("%r: the new examples are short; a share of %.2f of the tokens is answers.", self, share)
        return run.mix.with_memory(ANSWERS, answered, share)

    def _answered(self, run: Run) -> list[Example]:
        """Returns the base's answers that do not repeat themselves."""
        examples = answers_of_base(run, PROMPTS, self.length, ANSWERS, lambda _prompt, _answer: True)
        kept = [example for example in examples if repeats(_learned(example)) <= self.repeat]
        if not kept:
            raise HoldfastError(
                f"{self!r}: all {len(PROMPTS)} answers of the base are empty or repeat themselves; rehearse old"
                " examples with Rehearsal(), or let the base write text with SelfRehearsal(form='text')."
            )
        logger.info("%r: %d answers; %d were empty or repeated.", self, len(kept), len(PROMPTS) - len(kept))
        return kept


def _learned(example: Example) -> tuple[int, ...]:
    """Returns the learned tokens of an example."""
    return tuple(label for label in example.labels if label != -100)
