"""The base cache: what the base says of a row is kept on disk, so that the base reads each row once.

It has two forms (docs/decisions/0013-the-means-of-the-base.md):

    means    `holdfast.core.base_means`: the recipe compares with the base by a forward KL alone, and the head is linear
             and frozen. Neither the base nor its head runs again;
    states   the head's input in the base: any other comparison, or a head that trains. The base does not run again, and
             its frozen head gives the logits.

A row is known by a digest of its tokens and labels, and the folder by one of the base's weights, its configuration and
the precision. So the order of the rows, packing, processes and runs do not matter, and another model, tokenizer,
template or data finds nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, Literal

from torch import nn

from holdfast.core.adapters import held_by, plain_name, tuner_layers
from holdfast.core.params import sums_of
from holdfast.core.teacher import Teacher
from holdfast.train.row_store import RowStore

FORMAT = 1
"""Number of the form of the rows; another form gives another folder."""

KNOWN_INPUTS = frozenset(
    {
        *("input_ids", "labels", "attention_mask", "position_ids", "use_cache"),
        *("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx"),
    }
)
"""Columns of a batch that say no more than the tokens, their labels and their documents, which are the key of a row."""

Form = Literal["means", "states"]


@dataclasses.dataclass
class BaseCache:
    """The rows of one base.

    Attributes:
        form: What is kept of a token.
        store: The rows, by the keys of their documents.
        shared: Whether other runs use the folder, so that it outlives this one.
    """

    form: Form
    store: RowStore
    shared: bool

    def end(self, *, finished: bool) -> None:
        """Deletes the folder at the end of a training; keeps it for other runs, and for the rest of a stopped one.

        Args:
            finished: Whether the training took all its steps.
        """
        if finished and not self.shared:
            self.store.delete()
        else:
            self.store.flush()


def base_digest(model: nn.Module, teacher: Teacher, also: object = ()) -> str:
    """Returns a digest of the base: all weights and buffers with which it computes, and its configuration.

    Args:
        model: The model as it is trained, at any moment of the training.
        teacher: The base.
        also: What else decides what is kept; anything with a `repr`.
    """
    off = set()
    if teacher.without_adapters:
        layers: list[Any] = tuner_layers(model)
        for layer in layers:
            off |= {id(p) for name, ps in held_by(layer).items() if name not in teacher.staying for p in ps}
    config: Any = getattr(model, "config", None)
    about = config.to_dict() if hasattr(config, "to_dict") else {}
    about = {name: value for name, value in about.items() if name not in ("use_cache", "_name_or_path")}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    digest.update(repr((FORMAT, also)).encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if id(tensor) not in off:
            now = teacher.values.get(name, tensor)
            digest.update(repr((plain_name(name), now.dtype, tuple(now.shape), *sums_of(now))).encode())
    return digest.hexdigest()[:32]
