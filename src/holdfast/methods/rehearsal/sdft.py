"""Self-distillation fine-tuning: the base rewrites each new answer in its own words, and the model learns those."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.mix import NEW, Example, Mix
from holdfast.core.rows import digest_of
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.data.sieve import repeats
from holdfast.probes.demonstrations import Demonstration, Ids, Parts, parts_of
from holdfast.probes.generation import context_of, continued

logger = logging.getLogger("holdfast")

BEFORE = "\n\nReference answer:\n"
BEHIND = "\n\nUsing the reference answer as a guide, write your own response."

BETRAYED = ("reference answer", "your response", "my response", "your own response", "now it's your turn")
"""Phrases, in lower case, by which an answer reveals that it is a rewriting."""


def betrays(text: str) -> bool:
    """Returns whether an answer reveals that it is a rewriting."""
    return any(words in text.lower() for words in BETRAYED) or text.startswith("Your turn")


def last_number(text: str) -> str | None:
    """Returns the last whole number of a text without thousands separators, or None."""
    numbers = re.findall(r"-?\d+", re.sub(r"(?<=\d),(?=\d{3}\b)", "", text))
    return numbers[-1] if numbers else None


@dataclasses.dataclass(frozen=True, repr=False)
class SDFT(Method):
    """Learns the base's own version of each new answer.

    Replaces each new answer by the base's own version, written with that answer shown.

        y'_i ~ p_b( . | x_i, y_i);    loss = -log p_theta(y'_i | x_i),    with y_i itself where y'_i fails its checks

    p_b is the base. Its own words are nearer to what it would have said anyway than somebody else's words, so learning
    them moves the model less. The base rewrites only examples that are a prompt with one answer. It writes them once
    before training; the run's folder keeps them, and a resumed run reads them back.

    Args:
        temperature: Sampling temperature of the rewriting; 0 takes the likeliest tokens.
        top_p: Smallest total probability of the set of likeliest tokens to draw from.
        length: Maximum number of tokens in a rewritten answer; the original stays if the rewriting is longer.
        repeat: Maximum share of an answer's 4-grams of tokens that occur earlier in it.
        check: "number" = the last whole number must be that of the original (sums); "none" = only the phrasing is
            checked.

    Reference:
        Yang et al., Self-Distillation Bridges Distribution Gap in Language Model Fine-Tuning, 2024, arXiv 2402.13669.

    Confidence:
        text: We read the authors' code: its prompts, its checks and its sampling.

    Cost:
        Writing every answer once. There is one generation for each example, before training.

    Departs:
        The paper has a separate prompt for each kind of data, top-k 50, and checks for code and tool calls. Here the
        answer is shown in the user's turn, with any chat template, and repetitive answers are left out too.
    """

    temperature: float = setting(0.95, unit="1", low=0.0, search=(0.5, 1.0))
    top_p: float = setting(0.7, unit="probability", low=0.01, high=1.0, search=(0.5, 1.0))
    length: int = setting(512, unit="tokens", low=1, integer=True)
    repeat: float = setting(0.5, unit="share of 4-grams", low=0.0, high=1.0)
    check: str = setting("none", unit="checked part", choices=("none", "number"))

    quick: ClassVar[Mapping[str, Any]] = {"length": 8, "repeat": 1.0}

    def mix_data(self, run: Run) -> Mix:
        """Returns the mix with the new answers in the base's own words.

        Raises:
            HoldfastError: There is no tokenizer, or no new example is a prompt with one answer.
        """
        new = [example for example in run.mix.examples if example.source == NEW]
        digest = hashlib.sha256(f"{self!r} {run.seed} {digest_of(new)}".encode()).hexdigest()[:12]
        written = run.keep(f"sdft-{digest}", lambda: self._written(run, new))
        old = [example for example in run.mix.examples if example.source != NEW]
        return dataclasses.replace(run.mix, examples=(*written, *old))

    def _written(self, run: Run, new: Sequence[Example]) -> list[Example]:
        if run.tokenizer is None:
            raise HoldfastError(f"{self!r} shows the base answers in words: give the trainer its processing_class.")
        showing = Demonstration.of(run.model, run.tokenizer, BEFORE, BEHIND)
        parts = {i: part for i, example in enumerate(new) if (part := parts_of(example, showing.ends)) is not None}
        if not parts:
            raise HoldfastError(
                f"{self!r}: no new example is a prompt followed by one answer (labels -100 on the prompt)."
            )
        rewritten = self._rewritten(run, [(p.prompt, p.answer) for p in parts.values()], showing)
        examples, kept = list(new), 0
        for (i, part), answer in zip(parts.items(), rewritten, strict=True):
            if answer is not None and self._passes(run.tokenizer, part, answer, run.longest()):
                ids, labels = part.whole(answer, new[i].labels)
                examples[i] = dataclasses.replace(new[i], input_ids=ids, labels=labels, lengths=())
                kept += 1
        logger.info("%r: %d of %d answers are in the base's own words.", self, kept, len(new))
        if not kept:
            logger.warning("%r: no rewritten answer passed its checks; the model learns the originals.", self)
        return examples

    def _rewritten(self, run: Run, asked: Sequence[tuple[Ids, Ids]], showing: Demonstration) -> list[Ids | None]:
        """Returns the base's answer to each prompt with its answer shown; None if it does not fit or does not end."""
        prompts = [showing(prompt, answer) for prompt, answer in asked]
        context = context_of(run.model) or sys.maxsize
        fits = [i for i, ids in enumerate(prompts) if len(ids) + min(self.length, 2 * len(asked[i][1])) < context]
        if not fits:
            return [None] * len(asked)
        length = min(self.length, context - max(len(prompts[i]) for i in fits))
        drawn: dict[str, Any] = {"temperature": self.temperature, "top_p": self.top_p, "seed": run.seed}
        drawn["progress"] = run.phase("writing answers", len(fits))
        answers = continued(run.model, [prompts[i] for i in fits], ends=showing.ends, max_new_tokens=length, **drawn)
        ended = {i: tuple(ids) for i, ids in zip(fits, answers, strict=True) if 0 < len(ids) < length}
        return [ended.get(i) for i in range(len(asked))]

    def _passes(self, tokenizer: Any, parts: Parts, answer: Ids, limit: int) -> bool:
        text = tokenizer.decode(list(answer))
        if betrays(text) or repeats(answer) > self.repeat:
            return False
        if len(parts.prompt) + len(answer) + len(parts.closing) > limit:
            return False
        return self.check == "none" or last_number(text) == last_number(tokenizer.decode(list(parts.answer)))
