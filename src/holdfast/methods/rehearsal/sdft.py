"""Self-distillation fine-tuning: the base says each new answer in its own words, and learns those."""

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
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.data.sieve import repeats
from holdfast.probes.demonstrations import Demonstration, Ids, Parts, parts_of
from holdfast.probes.generation import context_of, continued

logger = logging.getLogger("holdfast")

BEFORE = "\n\nReference answer:\n"
BEHIND = "\n\nUsing the reference answer as a guide, write your own response."

BETRAYED = ("reference answer", "your response", "my response", "your own response", "now it's your turn")
"""What an answer says that speaks of how it came about, in small letters."""


def betrays(text: str) -> bool:
    """Returns whether an answer speaks of how it came about."""
    return any(words in text.lower() for words in BETRAYED) or text.startswith("Your turn")


def last_number(text: str) -> str | None:
    """Returns the last whole number of a text without its thousands' commas, or None."""
    found = re.findall(r"-?\d+", re.sub(r"(?<=\d),(?=\d{3}\b)", "", text))
    return found[-1] if found else None


@dataclasses.dataclass(frozen=True, repr=False)
class SDFT(Method):
    """Puts in the place of each new answer what the base itself writes when it is shown that answer.

        y'_i ~ p_b( . | x_i, y_i);    loss = -log p_theta(y'_i | x_i),    with y_i itself where y'_i fails its checks

    p_b is the base. What it says in its own words lies nearer to what it would have said anyway than somebody else's
    words do, so that learning it moves the model less. Only examples of a prompt and one answer are rewritten. They are
    written once before training, kept in the run's folder, and read back when the run is resumed.

    Args:
        temperature: Of the rewriting; 0 takes the likeliest tokens.
        top_p: Least probability of the set of likeliest tokens that one is drawn from.
        length: Most tokens of a rewritten answer; the original stays where it is longer.
        repeat: Most of an answer's runs of four tokens that stood in it before.
        check: "number" = the last whole number must be that of the original (sums); "none" = only the words are looked
            at.

    Reference:
        Yang et al., Self-Distillation Bridges Distribution Gap in Language Model Fine-Tuning, 2024, arXiv 2402.13669.

    Confidence:
        text: The authors' code was read: its prompts, its checks and its sampling.

    Cost:
        Writing every answer once. One generation for each example, before training.

    Departs:
        The paper has a prompt of its own for each kind of data, top-k 50, and checks for code and tool calls. Here the
        answer is shown in the user's turn, whatever the chat template; what turns in circles is left out too.
    """

    temperature: float = setting(0.95, unit="1", low=0.0, search=(0.5, 1.0))
    top_p: float = setting(0.7, unit="probability", low=0.01, high=1.0, search=(0.5, 1.0))
    length: int = setting(512, unit="tokens", low=1, integer=True)
    repeat: float = setting(0.5, unit="share of runs", low=0.0, high=1.0)
    check: str = setting("none", unit="what must be the same", choices=("none", "number"))

    quick: ClassVar[Mapping[str, Any]] = {"length": 8, "repeat": 1.0}

    def mix_data(self, run: Run) -> Mix:
        """Returns the mix with the new answers in the base's own words.

        Raises:
            HoldfastError: There is no tokenizer, or no new example is a prompt with one answer.
        """
        told = hashlib.sha256(f"{self!r} {run.seed}".encode()).hexdigest()[:12]
        new = [example for example in run.mix.examples if example.source == NEW]
        written = run.keep(f"sdft-{told}", lambda: self._written(run, new))
        if len(written) != len(new):
            raise HoldfastError(f"{self!r}: the run's folder has rewritten answers of other examples; start a new run.")
        old = [example for example in run.mix.examples if example.source != NEW]
        return dataclasses.replace(run.mix, examples=(*written, *old))

    def _written(self, run: Run, new: Sequence[Example]) -> list[Example]:
        if run.tokenizer is None:
            raise HoldfastError(f"{self!r} shows the base answers in words: give the trainer its processing_class.")
        showing = Demonstration.of(run.model, run.tokenizer, BEFORE, BEHIND)
        parts = {i: one for i, example in enumerate(new) if (one := parts_of(example, showing.ends)) is not None}
        if not parts:
            raise HoldfastError(
                f"{self!r}: none of the new examples is a prompt with one answer behind it (labels -100 on the prompt)."
            )
        said = self._said(run, [(p.prompt, p.answer) for p in parts.values()], showing)
        found, kept = list(new), 0
        for (i, one), answer in zip(parts.items(), said, strict=True):
            if answer is not None and self._passes(run.tokenizer, one, answer, run.longest()):
                ids, labels = one.whole(answer, new[i].labels)
                found[i] = dataclasses.replace(new[i], input_ids=ids, labels=labels, lengths=())
                kept += 1
        logger.info("%r: %d of %d answers are in the base's own words.", self, kept, len(new))
        if not kept:
            logger.warning("%r: the base rewrote no answer that passed; the originals are learned as they are.", self)
        return found

    def _said(self, run: Run, asked: Sequence[tuple[Ids, Ids]], showing: Demonstration) -> list[Ids | None]:
        """Returns what the base says to each prompt with its answer shown; None where there is no room, or no end."""
        prompts = [showing(prompt, answer) for prompt, answer in asked]
        context = context_of(run.model) or sys.maxsize
        fits = [i for i, ids in enumerate(prompts) if len(ids) + min(self.length, 2 * len(asked[i][1])) < context]
        if not fits:
            return [None] * len(asked)
        length = min(self.length, context - max(len(prompts[i]) for i in fits))
        drawn: dict[str, Any] = {"temperature": self.temperature, "top_p": self.top_p, "seed": run.seed}
        drawn["progress"] = run.phase("writing answers", len(fits))
        said = continued(run.model, [prompts[i] for i in fits], ends=showing.ends, max_new_tokens=length, **drawn)
        ended = {i: tuple(ids) for i, ids in zip(fits, said, strict=True) if 0 < len(ids) < length}
        return [ended.get(i) for i in range(len(asked))]

    def _passes(self, tokenizer: Any, one: Parts, answer: Ids, limit: int) -> bool:
        text = tokenizer.decode(list(answer))
        if betrays(text) or repeats(answer) > self.repeat:
            return False
        if len(one.prompt) + len(answer) + len(one.closing) > limit:
            return False
        return self.check == "none" or last_number(text) == last_number(tokenizer.decode(list(one.answer)))
