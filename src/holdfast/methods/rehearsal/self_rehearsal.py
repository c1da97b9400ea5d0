"""Self-rehearsal: the base writes the old examples itself, if there are no real ones."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.mix import Example, Mix
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.data.sieve import ShingleIndex, repeats
from holdfast.data.tokenization import tokenize
from holdfast.methods.written_before import written_once
from holdfast.probes.composition import chats, documents

logger = logging.getLogger("holdfast")

SELF = "what the base wrote"
"""Name of the memory."""

ROUNDS = 4
"""Maximum number of rounds; later rounds write examples in place of those that the sieve dropped."""
SPARE = 1.5
"""Number of examples that a later round writes for each one that is missing, up to a whole round."""


def sieved(written: Iterator[Example], known: Sequence[Example], repeat: float, similar: float) -> Iterator[Example]:
    """Yields the examples that are neither repetitive nor similar to a known or an earlier example.

    Args:
        written: Examples.
        known: The new examples; a copy of one is no rehearsal.
        repeat: Maximum share of an example's 4-grams of tokens that occur earlier in it.
        similar: Maximum similarity to another example (Jaccard index over 5-grams of tokens).
    """
    seen = ShingleIndex()
    for example in known:
        seen.add(example.input_ids)
    for example in written:
        if repeats(example.input_ids) <= repeat and seen.likeness(example.input_ids) <= similar:
            seen.add(example.input_ids)
            yield example


@dataclasses.dataclass(frozen=True, repr=False)
class SelfRehearsal(Method):
    """Rehearses examples that the base writes.

    It writes them before training, and they make up a fixed share of the supervised tokens.

        x_i ~ p_b,   i = 1 .. count;      loss = (1 - ratio) * CE_new + ratio * CE_written

    p_b is the base. It writes documents from their beginning, or, through its chat template, questions of a user, which
    it then answers. A sieve leaves out examples that are repetitive or similar to an earlier or a new example. The base
    writes once; the run's folder keeps the examples, and a resumed run reads them back. If `HOLDFAST_WRITTEN` names a
    folder, later runs of the same model find what it wrote there. With BaseKL(on='memory') the
    model rehearses the base's whole predictions, not only the tokens that were drawn.

    Args:
        ratio: Share of the base's examples in the supervised tokens.
        count: Number of examples wanted; fewer if the base writes too many similar ones.
        form: "text" = documents, learned in full; "chat" = questions and answers, of which the answers are learned;
            "auto" = "chat" if the tokenizer has a chat template, else "text".
        temperature: Sampling temperature of documents and questions; answers take the likeliest tokens.
        top_p: Smallest total probability of the set of likeliest tokens to draw from.
        length: Maximum number of tokens in a document, a question or an answer.
        repeat: Maximum share of an example's 4-grams of tokens that occur earlier in it.
        similar: Maximum similarity of two examples (Jaccard index over 5-grams of tokens); 1 keeps all.
        near: How near the base's examples are to the measured suites (--keep), as for Rehearsal. A base that writes as
            it was taught comes close to "same"; an instruction model that writes about any topic is "near".

    Reference:
        Robins, Catastrophic Forgetting, Rehearsal and Pseudorehearsal, 1995; for language models, arXiv 2605.26097
        (from the first token alone, temperature 1), and Xu et al., Magpie, 2024, arXiv 2406.08464 (questions).

    Confidence:
        text: We read the code of both.

    Cost:
        Writing once, then the share. A thousand documents of 128 tokens are a thousand generations of that length.

    Departs:
        The paper's text continues for 512 tokens past every end of text, is not filtered, and is drawn again throughout
        training. Magpie filters with other models. The sieve and its limits are ours.
    """

    ratio: float = setting(0.2, unit="share of supervised tokens", low=0.0, high=0.95, search=(0.05, 0.5), log=True)
    count: int = setting(1000, unit="examples", low=1, integer=True, search=(200, 5000), log=True)
    form: str = setting("auto", unit="form of examples", choices=("auto", "text", "chat"))
    temperature: float = setting(1.0, unit="1", low=0.0, search=(0.7, 1.2))
    top_p: float = setting(1.0, unit="probability", low=0.01, high=1.0, search=(0.8, 1.0))
    length: int = setting(128, unit="tokens", low=2, integer=True)
    repeat: float = setting(0.5, unit="share of 4-grams", low=0.0, high=1.0)
    similar: float = setting(0.7, unit="Jaccard index", low=0.0, high=1.0, search=(0.3, 1.0))
    near: str = setting("unsaid", unit="nearness to the suites", choices=("unsaid", "same", "near", "none"))

    once: ClassVar[str] = "the base writes one memory; raise count or ratio instead."
    quick: ClassVar[Mapping[str, Any]] = {"count": 6, "length": 8}

    @property
    def off(self) -> bool:
        """Whether the model rehearses nothing."""
        return self.ratio == 0.0

    def mix_data(self, run: Run) -> Mix:
        """Returns the mix with the base's examples at their share.

        Raises:
            HoldfastError: No written example passed the sieve, or the base cannot write (no tokenizer or chat
                template).
        """
        run.mix.check_room(self, self.ratio)
        digest = hashlib.sha256(f"{self!r} {run.seed}".encode()).hexdigest()[:12]
        written = run.keep(f"self-rehearsal-{digest}", lambda: self._written(run))
        return run.mix.with_memory(SELF, written, self.ratio, self.near)

    def _written(self, run: Run) -> list[Example]:
        kept: list[Example] = []
        new = [example for example in run.mix.examples if example.source == 0]
        tries: list[int] = []
        for example in sieved(self._rounds(run, kept, tries), new, self.repeat, self.similar):
            kept.append(example)
            if len(kept) == self.count:
                break
        if not kept:
            raise HoldfastError(
                f"{self!r}: no example that the base wrote passed the sieve; raise repeat and similar, or give real"
                " old examples with Rehearsal()."
            )
        if len(kept) < self.count:
            logger.warning("%r: %d of %d written examples passed the sieve.", self, len(kept), sum(tries))
        return kept

    def _rounds(self, run: Run, kept: Sequence[Example], tries: list[int]) -> Iterator[Example]:
        """Yields the base's examples, round after round; each round has its own random numbers.

        Args:
            run: The run.
            kept: The examples that passed the sieve so far; a later round replaces those that are missing.
            tries: Gets the number of examples that each round tries to write.
        """
        has_template = bool(getattr(run.tokenizer, "chat_template", None))
        if self.form == "chat" and not has_template:
            raise HoldfastError(f"{self!r}: chats need a tokenizer with a chat template; use form='text'.")
        length = min(self.length, run.longest())
        for number in range(ROUNDS):
            drawn: dict[str, Any] = {"max_tokens": length, "temperature": self.temperature, "top_p": self.top_p}
            drawn["seed"] = run.seed * ROUNDS + number
            tries.append(min(self.count, math.ceil(SPARE * (self.count - len(kept)))))
            again = f", round {number + 1}" if number else ""
            drawn["progress"] = run.phase(f"writing old examples{again}", tries[-1])
            make = self._documents if self.form == "text" or not has_template else self._chats
            asked = (make.__name__, tries[-1], self.temperature, self.top_p, drawn["seed"], length, run.longest())
            for example in written_once(run, asked, functools.partial(make, run, tries[-1], drawn)):
                yield dataclasses.replace(example, origin=SELF)

    def _documents(self, run: Run, count: int, drawn: Mapping[str, Any]) -> list[Example]:
        written = documents(run.model, run.tokenizer, count, **drawn)
        return [Example(tuple(ids), tuple(ids), origin=SELF) for ids in written]

    def _chats(self, run: Run, count: int, drawn: Mapping[str, Any]) -> list[Example]:
        rows = chats(run.model, run.tokenizer, count, **drawn)
        return tokenize(rows, run.tokenizer, max_length=run.longest()).examples
