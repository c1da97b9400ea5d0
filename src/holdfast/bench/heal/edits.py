"""Edits of a fine-tune's weights, streamed: tensor by tensor from the files of two models into those of a third.

A scaling of the change of a plain LoRA scales its factor B, and the adapter stays an adapter. Every other edit of an
adapter acts on the whole weights that it makes, and ships whole weights.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from holdfast.bench.heal.candidates import Edit, layers_of, place_of, state_of
from holdfast.bench.heal.weights import Squares, Weights, write_weights
from holdfast.core.adapters import plain_name
from holdfast.core.blocks import differ
from holdfast.train.base import moves_base_weights

_B = re.compile(r"\.lora_(?:embedding_)?B(?:\.weight)?$")
_A = re.compile(r"\.lora_(?:embedding_)?A(?:\.weight)?$")


@dataclasses.dataclass(frozen=True)
class Editor:
    """What is edited.

    Attributes:
        base: Weights of the base.
        tuned: Weights of the whole tuned model, with the names and shapes of the base's.
        adapter: Weights of the tuned model's plain LoRA; None without one.
        transposed: Names of the weights that are stored as `[in, out]`.
    """

    base: Weights
    tuned: Weights
    adapter: Weights | None = None
    transposed: Collection[str] = ()

    def stays_adapter(self, edit: Edit) -> bool:
        """Returns whether an edit gives an adapter."""
        return self.adapter is not None and edit.scale is not None

    def write(self, edit: Edit, strength: float, folder: Path) -> float:
        """Writes the edited model into a folder.

        At most one tensor of each model and the edited one is in memory at a time, beside blocks of them. The edits
        that need singular vectors hold more.

        Args:
            edit: The edit.
            strength: Its strength, from 0 (the base) to 1 (the tuned model).
            folder: The folder of the new model, or of the new adapter.

        Returns:
            The length of the change that is left, as a share of that of the tuned model's change. For an adapter it
            counts the factors B.

        Raises:
            HoldfastError: A file cannot be written.
        """
        squares = Squares()
        if self.adapter is not None and edit.scale is not None:
            write_weights(self.adapter, folder, lambda name: self._scaled(edit, strength, name, squares))
            return squares.share
        self.write_whole(edit, strength, folder, squares)
        return squares.share

    def write_whole(self, edit: Edit, strength: float, folder: Path, squares: Squares | None = None) -> None:
        """Writes the edited model as whole weights, and adds the changes to `squares`.

        Raises:
            HoldfastError: A file cannot be written.
        """
        layers, state = layers_of(self.tuned.shapes), state_of(self.transposed)

        def edited(name: str) -> Tensor:
            tuned, base = self.tuned.read(name), self.base.read(name)
            if not tuned.is_floating_point() or not differ(base, tuned):
                return tuned
            value = edit.at(strength, place_of(name, layers)).edit_weights(state, name, base, tuned)
            if squares is not None:
                squares.add(base, tuned, value)
            return value

        write_weights(self.tuned, folder, edited)

    def _scaled(self, edit: Edit, strength: float, name: str, squares: Squares) -> Tensor:
        """Returns a tensor of the adapter, scaled if it is a factor B."""
        assert self.adapter is not None
        assert edit.scale is not None
        value = self.adapter.read(name)
        if not _B.search(name):
            return value
        place = place_of(plain_name(_B.sub(".weight", name)), layers_of(self.base.shapes))
        factor = strength if strength in (0.0, 1.0) else edit.scale(strength, place)
        scaled = (value.double() * factor).to(value.dtype)
        squares.add(torch.zeros_like(value), value, scaled)
        return scaled


def holds_plain_lora(weights: Weights, config: dict[str, object]) -> bool:
    """Returns whether an adapter consists of the two factors of a LoRA alone, so that scaling B scales its change.

    An adapter that began with a part of the base (PiSSA, OLoRA) is none: PEFT takes that part out of the base again
    whenever it loads the adapter, so that a smaller B would leave a hole in the base.
    """
    plain = all(_A.search(name) or _B.search(name) for name in weights.shapes)
    moved = moves_base_weights(types.SimpleNamespace(**config))
    return plain and config.get("peft_type") == "LORA" and not config.get("use_dora") and not moved
