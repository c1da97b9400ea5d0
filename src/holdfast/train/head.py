"""The head of the trained model: its input, and how it computes the loss inside the model's forward.

The reasons are in docs/decisions/0002-the-head-computes-the-loss.md.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from holdfast.core.head import head_gives, head_of, is_plain
from holdfast.kernels.chunked import Casts, ChunkLoss, chunked_loss
from holdfast.train.supervised import Call


class LossHead:
    """The head of a model; it computes the loss in place of the logits.

    Attributes:
        module: The head.
        linear: The head if it is plain: a linear layer whose output equals the model's logits. None if the model does
            more (soft-capping, scaling, an adapter on the head); then all logits exist at once.
    """

    def __init__(self, model: nn.Module) -> None:
        """Finds the head of `model`, an unwrapped causal language model; to test it, this runs it on four tokens."""
        self.module = head_of(model)
        self.linear = self.module if isinstance(self.module, nn.Linear) and is_plain(model, self.module) else None

    @property
    def plain(self) -> bool:
        """Whether the hidden states give the logits chunk by chunk."""
        return self.linear is not None

    def features(self, call: Call) -> Tensor:
        """Returns the features of the supervised tokens of a batch: the input `[N, D]` of a plain head, else logits.

        A plain head does not run, so the logits of all tokens never exist.
        """
        return self._called(call, lambda states_BTX: states_BTX[call.tokens.scored_BT])[0]

    def loss(self, call: Call, loss_of: ChunkLoss, *, casts: Casts, chunk: int | None) -> tuple[Tensor, Tensor | None]:
        """Returns the sum of a loss over the tokens of a batch, and the model's auxiliary loss.

        Args:
            call: The batch.
            loss_of: The summed loss of a chunk of tokens.
            casts: Copies of the head's weights in the precision of the product.
            chunk: Tokens per chunk; by default chosen from the size of the vocabulary.
        """
        linear = self.linear

        def head_loss(states_BTX: Tensor) -> Tensor:
            # FSDP gathers a sharded weight only during the model's forward, so the weight must be read here.
            weight_VD, bias_V = (None, None) if linear is None else (linear.weight, linear.bias)
            return chunked_loss(loss_of, states_BTX[call.tokens.scored_BT], weight_VD, bias_V, chunk=chunk, casts=casts)

        return self._called(call, head_loss)

    def _called(self, call: Call, then: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor | None]:
        """Calls the model; returns the result of `then` on its hidden states (or logits), and the auxiliary loss.

        During the call, `then` replaces the forward of a plain head, so the model returns its result as the logits. The
        call remains one ordinary forward of the wrapped model: DDP's reducer sees every parameter used, and FSDP
        gathers the head's weight. Calling the backbone and then the head would bypass both (decision 2).
        """
        if self.linear is None:
            out = call.wrapped(**call.arguments)
            result = then(out.logits)
        else:
            with head_gives(self.linear, then):
                out = call.wrapped(**call.arguments)
            result = out.logits
        return result, getattr(out, "aux_loss", None)
