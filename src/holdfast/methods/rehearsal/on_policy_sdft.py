"""On-policy self-distillation: the model answers, and learns from itself with the new answer shown."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from holdfast.core.batches import collate, examples_of, per_position
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, On, State
from holdfast.core.mix import NEW, Example
from holdfast.core.params import trainable
from holdfast.core.run import SHOWN, SOURCE, Batch, Run, Step
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens
from holdfast.methods.losses.base_kl import base_kl_units
from holdfast.probes.demonstrations import Demonstration, Parts, parts_of
from holdfast.probes.generation import context_of

logger = logging.getLogger("holdfast")

BEFORE = "\n\nThis is an example for a response to the question:\n"
BEHIND = "\n\nNow answer with a response of your own, including the thinking process."

_NUMBERED = "it looks up the new examples by their number, but the model rewrites them at every step."


@dataclasses.dataclass(frozen=True, repr=False)
class OnPolicySDFT(Method):
    """Learns from answers that the model itself writes.

    Lets the model answer at every step, and pulls it towards its own predictions with the new answer shown.

        y ~ p_theta( . | x_i);    L = mean_t KL( p_a( . | x_i, y_i, y_<t) || p_theta( . | x_i, y_<t) )
        a <- a + rate (theta - a)     after each step

    p_theta is the model. p_a is the teacher: the same model with averaged weights a, which begin as the base. The
    teacher reads the new answer y_i in the user's turn; the model does not. The model learns on its own answers, and
    from what it would say itself if it knew the new answer, so it moves less than on somebody else's words. It learns
    no new answer word by word. Examples that are not a prompt with one answer teach nothing.

    Args:
        direction: "forward" = KL(teacher || model), as in the authors' code; "reverse" = KL(model || teacher), as in
            the paper.
        rate: Rate of the average; at 0 the base stays the teacher, at 1 the current model is the teacher.
        length: Maximum number of tokens in an answer, fewer if the model's context leaves less room after the longest
            shown example. The model learns longer answers up to this length.
        temperature: Sampling temperature of the answers; 0 takes the likeliest tokens.
        skip: Number of first tokens of an answer that teach nothing, because the teacher often refers to the example
            there.

    Reference:
        Shenfeld et al., Self-Distillation Enables Continual Learning, 2026, arXiv 2601.19897.

    Confidence:
        code: We read the authors' code: prompts, average, direction, first tokens.

    Cost:
        Writing an answer at every step. There is one answer for each example, a forward of the teacher, and a copy of
        the trained weights for the average.

    Departs:
        There is no clipping and no importance weight for another sampler, because the answers are the model's own. The
        prompts are those of the authors' code, in the user's turn with any chat template. Equal prompts on different
        processes get the same answer.
    """

    direction: str = setting("forward", unit="direction", choices=("forward", "reverse"))
    rate: float = setting(0.01, unit="per step", low=0.0, high=1.0, search=(1e-3, 0.1), log=True)
    length: int = setting(256, unit="tokens", low=1, integer=True)
    temperature: float = setting(1.0, unit="1", low=0.0, search=(0.5, 1.0))
    skip: int = setting(3, unit="tokens", low=0, integer=True)

    reads: ClassVar[frozenset[str]] = frozenset({"base_logits_NV"})
    averages: ClassVar[bool] = True
    holds: ClassVar[bool] = False
    once: ClassVar[str] = "an example is answered once a step; give one OnPolicySDFT()."
    excludes: ClassVar[Mapping[str, str]] = {
        "SDFT": "the base would answer before training, and the model again at every step; use one of the two.",
        "token_N": _NUMBERED,
        "document_N": _NUMBERED,
        "base_*": "here the new examples are compared with this method's teacher, not with the base.",
        "weigh_tokens": "the new examples have no task loss that it could weigh.",
        "nll_N": "it follows the task loss, and the new examples have none; take Cosine() or WSD().",
    }
    quick: ClassVar[Mapping[str, Any]] = {"length": 8, "skip": 0}

    @property
    def acts_on(self) -> On:
        """The new tokens: the model answers only new examples."""
        return "new"

    def init_state(self, run: Run) -> State:
        """Returns the tokens around a shown answer, the seed, and the initial average: the current weights.

        Raises:
            HoldfastError: There is no tokenizer, no new example is a prompt with one answer, examples are packed, or
                the model cannot read a prompt, an answer shown and one written.
        """
        if run.tokenizer is None:
            raise HoldfastError(f"{self!r} shows the model answers in words: give the trainer its processing_class.")
        showing = Demonstration.of(run.model, run.tokenizer, BEFORE, BEHIND)
        new = run.examples("new")
        if any(len(example.lengths) > 1 for example in new):
            raise HoldfastError(f"{self!r} answers example by example: set packing=False.")
        parts = [part for example in new if (part := parts_of(example, showing.ends)) is not None]
        if not parts:
            raise HoldfastError(
                f"{self!r}: no new example is a prompt followed by one answer (labels -100 on the prompt)."
            )
        if len(parts) < len(new):
            logger.warning("%r: %d of %d examples are not a prompt with one answer, and teach nothing.",
                           self, len(new) - len(parts), len(new))  # fmt: skip
        longest = max(len(showing(part.prompt, part.answer)) + len(part.closing) for part in parts)
        context = context_of(run.model)
        room = self.length if context is None else min(self.length, context - longest)
        if room < 1:
            raise HoldfastError(
                f"{self!r}: a prompt with its answer shown has {longest} tokens, and the model reads {context} with the"
                " answer that it writes; leave out the longest examples."
            )
        average = {
            name: p.detach().to(torch.promote_types(p.dtype, torch.float32), copy=True)
            for name, p in trainable(run.model).items()
            if 0.0 < self.rate < 1.0
        }
        words = {name: torch.tensor(ids, dtype=torch.int64) for name, ids in dataclasses.asdict(showing).items()}
        return {"words": words, "seed": torch.tensor(run.seed), "room": torch.tensor(room), "average": average}

    def renew_batches(self, state: State, step: Step, batches: Sequence[Batch]) -> list[dict[str, Any]]:
        """Returns the step's prompts with the model's own answers, and the teacher's input for each."""
        if any("position_ids" in batch for batch in batches):
            raise HoldfastError(f"{self!r} answers example by example: set padding_free=False.")
        room = int(state["room"])
        showing = Demonstration(**{name: tuple(ids.tolist()) for name, ids in state["words"].items()})
        examples = [examples_of(batch) for batch in batches]
        parts = [[parts_of(row, showing.ends) if row.source == NEW else None for row in rows] for rows in examples]
        written = step.write(
            [part.prompt for batch in parts for part in batch if part is not None],
            ends=showing.ends,
            max_new_tokens=room,
            temperature=self.temperature,
            seed=int(state["seed"]) * 1_000_003 + step.index,
        )
        answers = iter(written)
        pairs = [
            [
                self._unchanged(row) if part is None else self._answered(part, row, next(answers), room, showing)
                for row, part in zip(rows, batch, strict=True)
            ]
            for rows, batch in zip(examples, parts, strict=True)
        ]
        weights = self._weights(state, step)
        return [_with_shown(rows, batch, weights) for rows, batch in zip(pairs, batches, strict=True)]

    def _unchanged(self, example: Example) -> tuple[Example, Example]:
        """Returns an unanswered row twice, for the model and the teacher; a new row loses its labels."""
        silent = (-100,) * len(example.input_ids)
        row = dataclasses.replace(example, labels=silent) if example.source == NEW else example
        return row, row

    def _answered(
        self, part: Parts, example: Example, answer: Sequence[int], room: int, showing: Demonstration
    ) -> tuple[Example, Example]:
        """Returns a prompt with its written answer, as the model reads it and as the teacher reads it."""
        closing, closed = part.closed(example.labels) if len(answer) < room else ((), ())
        ids, labels = (*answer, *closing), (*answer, *closed)
        labels = (*[-100] * len(labels[: self.skip]), *labels[self.skip :])
        shown = showing(part.prompt, part.answer)
        read, taught = (
            Example((*head, *ids), (*[-100] * len(head), *labels), example.source) for head in (part.prompt, shown)
        )
        return read, taught

    def _weights(self, state: State, step: Step) -> dict[str, Any]:
        """Returns the weights of the teacher, as a batch carries them; empty if the teacher is the base."""
        if self.rate == 0.0:
            return {}
        if self.rate == 1.0:
            return {"weights": {name: p.detach() for name, p in step.params.items()}}
        return {"weights": {n: state["average"][n].to(p.device, p.dtype) for n, p in step.params.items()}}

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns 0: the teacher's term replaces the task loss."""
        return torch.zeros_like(tok.nll_N)

    def token_loss(self, state: State, tok: Tokens) -> Tensor:
        """Returns `base_kl_units` with the teacher as the base."""
        return base_kl_units(tok.logits_NV, tok.base_logits_NV, self.direction)

    @torch.no_grad()
    def after_step(self, state: State, step: Step) -> None:
        """Moves the average towards the weights."""
        for name, average in state.get("average", {}).items():
            param = step.params[name].detach()
            state["average"][name] = average.to(param.device).lerp(param.to(average.dtype), self.rate)


def _with_shown(pairs: Sequence[tuple[Example, Example]], like: Batch, weights: dict[str, Any]) -> dict[str, Any]:
    """Returns the model's input as a batch, with the teacher's input and weights in it."""
    rows, shown = zip(*pairs, strict=True)
    device = like["input_ids"].device
    read: dict[str, Any] = {**collate(rows, 0, device), SHOWN: {**collate(shown, 0, device), **weights}}
    if SOURCE in like:
        sources, lengths = [row.source for row in rows], [len(row.input_ids) for row in rows]
        read[SOURCE] = per_position(sources, lengths, read["input_ids"].shape).to(device)
    return read
