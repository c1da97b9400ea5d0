"""TokenForgetting: learn the tokens that a first fine-tuning improves, and slightly unlearn the others."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, State
from holdfast.core.mix import Example
from holdfast.core.needs import Ask
from holdfast.core.params import snapshot, swapped, trainable
from holdfast.core.rows import drawn
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.core.tokens import Tokens, is_on

BATCH = 8
"""Examples in one step of the reference."""


def token_forgetting(gain_N: Tensor, keep: float = 0.7) -> Tensor:
    """Returns `N / n_pos` for the tokens with the largest gain, and `-N / n_neg` for the others.

    Args:
        gain_N: Fall of the loss of each of the N tokens under the reference, in nats.
        keep: Share of positive tokens; n_pos is `keep * N` rounded down, but at least 1.

    Returns:
        `[N]`. With these weights, the mean over all tokens is the mean over the positive tokens minus the mean over the
        others.
    """
    tokens = len(gain_N)
    positive = min(max(int(keep * tokens), 1), tokens)
    weights_N = torch.full_like(gain_N, -tokens / max(tokens - positive, 1))
    weights_N[gain_N.sort(descending=True, stable=True).indices[:positive]] = tokens / max(positive, 1)
    return weights_N


def ascent(weights_N: Tensor, nll_N: Tensor, coefficient: float, vocabulary: int) -> Tensor:
    """Returns the factor on each token's loss: negative weights times `coefficient`, and 0 from a loss of log V on."""
    low_N = nll_N.detach() < math.log(vocabulary)
    return torch.where(weights_N > 0, weights_N, torch.where(low_N, coefficient * weights_N, torch.zeros_like(nll_N)))


def _reference_loss(run: Run, rows: list[Example], passes: int) -> Tensor:
    """Returns the loss of every token after a fine-tuning on `rows` (AdamW, constant rate), and restores the model."""
    params = trainable(run.model)
    with swapped(params, snapshot(params)):
        # The size of Adam's step depends on the rate alone, so the reference learns at any scale of loss.
        optimizer = torch.optim.AdamW(params.values(), lr=run.lr, weight_decay=0.0)
        for index in range(passes):
            turn = [rows[i] for i in drawn(len(rows), len(rows), run.seed, 1 + index)]
            for batch in run.batches(turn, BATCH):
                for name, grad in run.gradient(batch).items():
                    params[name].grad = grad.to(params[name].dtype)
                optimizer.step()
        optimizer.zero_grad()
        return run.score("nll_N")["nll_N"]


@dataclasses.dataclass(frozen=True, repr=False)
class TokenForgetting(Method):
    """Learns learnable tokens, and unlearns the others.

    Learns the tokens that a reference, fine-tuned before training, found learnable; slightly unlearns the others.

        L = (1/|P|) sum_{t in P} l_t - c_s (1/|N|) sum_{t in N} l_t,   c_s = peak * s / S
        P = the `keep` |P u N| tokens with the largest l_t(base) - l_t(reference),   N = the others

    l_t is the loss of token t, and s the step of S steps. The method treats tokens that training on such data makes no
    likelier as noise that the model would memorise. The paper claims that the model learns the other tokens better if
    it is pushed away from these.

    Args:
        keep: Share of the tokens that are learned (the paper's rho); 1 is plain training.
        peak: The coefficient c at the end of the run; at 0 the other tokens are only left out.
        share: Share of the examples on which the reference is trained.
        passes: Number of passes of the reference over these examples.
        on: The ranked tokens: "new", "memory" (those of old examples), or "all"; the others count in full.

    Reference:
        Ghahrizjani, Taban et al., Forgetting: A New Mechanism Towards Better Large Language Model Fine-tuning, 2025,
        arXiv 2508.04329.

    Confidence:
        code: We read the authors' code, but not the paper.

    Cost:
        A short fine-tuning before training. It needs two forwards over the data, a copy of the trained weights and
        AdamW's state; then a look-up per token.

    Departs:
        The paper's reference learns from separate examples of the same kind (10k, with 50k for training). Here it
        learns from a share of the training examples, drawn by the seed; their tokens are ranked among themselves,
        because the reference has seen them. The reference is trained with AdamW at the run's peak rate, eight examples
        per step, in the precision of the weights, whatever the run's settings are. |P| and |N| are their shares of the
        data times the tokens of the step, not counts per micro-batch; the published ramp restarts with each epoch. A
        token in N gets the weight 0 once its loss reaches log V, the loss of a blind guess; this rule is ours, because
        ascent has no other end. The method was published for better answers, not against forgetting. The paper has no
        rehearsal.
    """

    keep: float = setting(0.7, unit="share of tokens", low=0.01, high=1.0, search=(0.5, 0.95))
    peak: float = setting(0.25, unit="1", low=0.0, high=1.0, search=(0.01, 0.5), log=True)
    share: float = setting(0.2, unit="share of examples", low=0.01, high=1.0, search=(0.1, 0.5))
    passes: int = setting(1, unit="times", low=1, integer=True, search=(1, 3))
    on: str = setting("new", unit="tokens", choices=("new", "memory", "all"), role="tokens")

    reads: ClassVar[frozenset[str]] = frozenset({"token_N"})
    asks: ClassVar[frozenset[Ask]] = frozenset({"run_gradient"})
    once: ClassVar[str] = "two of them would multiply their signs; give TokenForgetting() once."

    @property
    def off(self) -> bool:
        """Whether every token is learned."""
        return self.keep == 1.0

    def init_state(self, run: Run) -> State:
        """Returns the weight of every token, and the coefficient of the first step.

        Raises:
            HoldfastError: The reference diverged.
        """
        examples = run.examples("all")
        on = is_on(torch.tensor([e.source for e in examples]), self.on).nonzero()[:, 0].tolist()
        chosen = [on[i] for i in drawn(len(on), math.ceil(self.share * len(on)), run.seed, 0)]
        scores = run.score("nll_N", "row_N", "source_N")
        gain_N = (scores["nll_N"] - _reference_loss(run, [examples[i] for i in chosen], self.passes)).float()
        if not bool(gain_N.isfinite().all()):
            raise HoldfastError(
                f"{self!r}: the reference's loss is not a number after a fine-tuning at the rate {run.lr:g}; lower it"
                " (Train(lr=...))."
            )
        weight_N = torch.ones_like(gain_N)
        seen_N, on_N = torch.isin(scores["row_N"], torch.tensor(chosen).long()), is_on(scores["source_N"], self.on)
        for group_N in (on_N & seen_N, on_N & ~seen_N):
            weight_N[group_N] = token_forgetting(gain_N[group_N], self.keep)
        return {"weight": weight_N, "coefficient": torch.zeros((), dtype=torch.float64)}

    def weigh_tokens(self, state: State, tok: Tokens) -> Tensor:
        """Returns `ascent` at the step's coefficient."""
        weight_N = tok.kept(state["weight"], tok.token_N).to(tok.nll_N.dtype)
        return ascent(weight_N, tok.nll_N, float(state["coefficient"]), tok.logits_NV.shape[-1])

    def after_step(self, state: State, step: Step) -> None:
        """Moves the coefficient up for the next step."""
        state["coefficient"] = torch.tensor(self.peak * (step.index + 1) / max(step.total, 1), dtype=torch.float64)
