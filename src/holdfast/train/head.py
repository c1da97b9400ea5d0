"""The head of the model that is trained: what goes into it, and how it is made to compute the loss."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from holdfast.core.head import head_gives, head_of, is_plain
from holdfast.kernels.chunked import Casts, ChunkLoss, chunked_loss
from holdfast.train.supervised import Call


class LossHead:
    """Finds a model's head once, and stands in for it while a loss is computed.

    Attributes:
        module: The head.
        linear: The same where it is plain: a linear layer whose output the logits are. None for a head that does more
            (soft-capping, scaling, an adapter on the head), whose logits all exist at once.
    """

    def __init__(self, model: nn.Module) -> None:
        """Looks at the head of `model` (unwrapped, a causal language model), which is called with four tokens."""
        self.module = head_of(model)
        self.linear = self.module if isinstance(self.module, nn.Linear) and is_plain(model, self.module) else None

    @property
    def plain(self) -> bool:
        """Whether hidden states can be had, and logits be made of them chunk by chunk."""
        return self.linear is not None

    def features(self, call: Call) -> Tensor:
        """Returns what a model makes of the tokens of a batch: hidden states `[N, D]` before a plain head, else logits.

        Without the head the logits of all tokens never exist; the positions without a token are dropped at once.
        """
        return self._called(call, lambda states_BTX: states_BTX[call.tokens.scored_BT])[0]

    def loss(self, call: Call, loss_of: ChunkLoss, *, casts: Casts, chunk: int | None) -> tuple[Tensor, Tensor | None]:
        """Returns the sum of a loss over the tokens of a batch, and the model's auxiliary loss.

        Args:
            call: The batch.
            loss_of: The summed loss of a chunk of tokens.
            casts: Where the head's weights are kept in the precision of the product.
            chunk: Tokens per chunk; chosen by vocabulary if absent.
        """
        linear = self.linear

        def given(states_BTX: Tensor) -> Tensor:
            # Read here, inside the call: it is only now that FSDP has put a sharded weight together.
            weight_VD, bias_V = (None, None) if linear is None else (linear.weight, linear.bias)
            return chunked_loss(loss_of, states_BTX[call.tokens.scored_BT], weight_VD, bias_V, chunk=chunk, casts=casts)

        return self._called(call, given)

    def _called(self, call: Call, then: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor | None]:
        """Calls the model and returns what `then` makes of its hidden states, or else logits, and the auxiliary loss.

        With a plain head, `then` takes the head's place for the time of the call, so that its result comes out where
        the model puts its logits. The call still is one ordinary forward of the wrapped model: DDP's reducer and
        FSDP's gathering of the head's weight see what they always see, and every parameter is used. To call the
        backbone and then the head would go past both (decision 2).
        """
        if self.linear is None:
            out = call.wrapped(**call.arguments)
            result = then(out.logits)
        else:
            with head_gives(self.linear, then):
                out = call.wrapped(**call.arguments)
            result = out.logits
        return result, getattr(out, "aux_loss", None)
