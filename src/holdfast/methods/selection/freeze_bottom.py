"""Freeze bottom: the lowest layers and the embeddings are frozen, and the top layers learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.params import layer_of, trainable
from holdfast.core.run import Run
from holdfast.core.settings import setting


def freeze_bottom(names: Iterable[str], share: float) -> set[str]:
    """Returns the names of the parameters in the lowest layers, or before the first layer (embeddings).

    Args:
        names: Names of all parameters, in the model's own order.
        share: Share of the layers, rounded down to whole layers, so that a share below 1 leaves the top layer.
    """
    layers = {name: layer_of(name) for name in names}
    deepest = max((layer for layer in layers.values() if layer is not None), default=-1)
    count = int(share * (deepest + 1) + 1e-9)  # 0.3 of 10 is 3
    frozen, begun = set(), deepest < 0
    for name, layer in layers.items():
        begun = begun or layer is not None
        if not begun or (layer is not None and layer < count):
            frozen.add(name)
    return frozen


@dataclasses.dataclass(frozen=True, repr=False)
class FreezeBottom(Method):
    """Freezes the embeddings and the lowest layers.

    The top layers and the head train.

        theta_l <- theta_l + update_l only in layers l >= k,   k = floor(share * L)

    L is the number of layers, counted from 0 at the bottom. A model still has much of the knowledge that seems
    forgotten, but no longer retrieves it: the first steps on a new task change the output of the bottom layers from
    what the upper layers expect.

    Args:
        share: Share of frozen layers; the embeddings are frozen too, unless it is 0.

    Reference:
        Zheng, Cai, Qiu, Ma, Spurious Forgetting in Continual Learning of Language Models, 2025, arXiv 2501.13453
        (Freeze).

    Confidence:
        note: Two summaries agree on the frozen parts; the default share is ours.

    Cost:
        Less than full training. Frozen weights have no gradient and no optimizer state.

    Departs:
        The paper freezes the embeddings and a number of layers. It recommends the lowest 1 to 3 of about 32, or 6 for
        safety, in some of its settings only after a first task. Here the setting is a share, by default most of the
        layers (0.8 to 0.9). On an adapter, the method freezes the adapter's weights in those layers. It also freezes a
        head that is tied to the embeddings, and a last norm that a model declares before its layers (OPT).
    """

    share: float = setting(0.85, unit="share of the layers", low=0.0, high=1.0, search=(0.1, 0.9))

    freezes: ClassVar[bool] = True
    once: ClassVar[str] = "only the larger share would act; give FreezeBottom() once."

    @property
    def off(self) -> bool:
        """Whether nothing is frozen."""
        return self.share == 0.0

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the model with its lowest part frozen.

        Raises:
            HoldfastError: No parameter lies in a numbered layer, or no parameter would be left to train.
        """
        named = dict(run.model.named_parameters())
        if all(layer_of(name) is None for name in named):
            raise HoldfastError(
                f"{self!r}: no parameter lies in a numbered layer ({', '.join(list(named)[:3]) or 'none'}); leave it"
                " out of the recipe."
            )
        frozen = freeze_bottom(named, self.share)
        if frozen >= set(trainable(run.model)):
            raise HoldfastError(f"{self!r} leaves nothing to train; lower share, or let more of the model train.")
        for name in frozen:
            named[name].requires_grad = False
        return run.model
