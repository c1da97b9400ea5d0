"""Estimates the memory of a run from the model's configuration, before any weight is loaded.

The estimate counts weights, gradients, optimizer state, copies of the base, and the activations that a forward on fake
tensors saves for the backward; logits have a formula. It leaves out other state of methods, and the memory of Python,
the libraries and the system's allocator. benchmarks/memory.py compares the estimate with what PyTorch allocates.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import torch
from torch import nn
from transformers import TrainingArguments

from holdfast.bench.given.loading import narrow_dtype
from holdfast.bench.given.model_files import base_of, folder_of_model, folder_or_name, is_adapter
from holdfast.bench.run.activations import saved_bytes
from holdfast.core.adapters import tuner_layers
from holdfast.core.method import Chain
from holdfast.core.mix import Mix
from holdfast.core.run import Run
from holdfast.kernels.chunked import sizes
from holdfast.methods.adapter import Adapter
from holdfast.methods.selection.lora import LoRA
from holdfast.train.session import owns_forward
from holdfast.train.settings import train_of

GB = 1_000_000_000
_OPTIMIZERS = (("8bit", 2), ("4bit", 1), ("adafactor|sgd|rmsprop_bnb", 0), ("lion|adagrad|rmsprop", 4), ("", 8))
"""Bytes of optimizer state per trained number, by the name of the optimizer."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The memory of a run.

    Attributes:
        parameters: Number of parameters in training, with adapters.
        trained: Number of trained parameters.
        frozen: Whether the model's own weights stay unchanged, so that they keep the 16 bits of their file.
        narrow: "bfloat16" or "float16" for such weights; "" if all weights are float32.
        parts: Bytes by purpose.
        quantised: Whether the files are quantised; their size in memory is then unknown.
        accumulates: Whether gradients stay in memory between forwards.
    """

    parameters: int
    trained: int
    frozen: bool
    narrow: str
    parts: Mapping[str, int]
    quantised: bool = False
    accumulates: bool = False

    @property
    def total(self) -> int:
        """Returns the peak in bytes; without accumulation, gradients replace activations during the backward."""
        parts = self.parts
        forward = parts["activations"] + parts["logits"] + (parts["gradients"] if self.accumulates else 0)
        return parts["weights"] + parts["optimizer"] + parts["copies"] + max(forward, parts["gradients"])

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry in spec.json."""
        return {
            "parameters": self.parameters,
            "trained": self.trained,
            "frozen_dtype": self.narrow or "float32",
            "memory": {"bytes": self.total, **self.parts},
        }


def stays_frozen(recipe: Chain, model: str) -> bool:
    """Returns whether a recipe leaves the model's own weights unchanged, and trains and ships an adapter beside them.

    Adapters that begin by moving weights, train copies of weights or are merged at the end do not; weights that change
    need float32.
    """
    parts = recipe.active().parts()
    adapters = [part for part in parts if isinstance(part, Adapter)]
    if train_of(recipe).ship == "merged":
        return False
    if adapters:
        return all(adapter.on_frozen and not adapter.moves for adapter in adapters)
    folder = folder_of_model(folder_or_name(model))
    return folder is not None and is_adapter(folder) and _is_plain(folder)


def _is_plain(folder: Path) -> bool:
    config = peft.PeftConfig.from_pretrained(str(folder))
    kept = ("modules_to_save", "trainable_token_indices", "layer_replication")
    moved = getattr(config, "init_lora_weights", True) not in (True, False, "gaussian", "orthogonal")
    biased = getattr(config, "bias", "none") != "none"
    return not (moved or biased or any(getattr(config, name, None) for name in kept))


def estimate(model: str, config: Any, recipe: Chain, arguments: TrainingArguments, longest: int) -> Estimate:
    """Returns the memory of a run on each process.

    Args:
        model: Name of the model.
        config: Configuration of the model, or of its base.
        recipe: The recipe.
        arguments: The trainer's arguments.
        longest: Number of tokens of the longest row.
    """
    active = recipe.active()
    folder = folder_of_model(folder_or_name(model))
    frozen = stays_frozen(recipe, model)
    bare = _bare(config)
    base_count, in_layers = (
        _count(bare),
        _in_layers(bare),
    )  # counted first, because `_shaped` changes the model in place
    weights_in = folder if folder is None or not is_adapter(folder) else _folder_of_base(folder)
    dtype = narrow_dtype(config, weights_in) if frozen else None
    narrow_count = 0 if dtype is None else in_layers
    shaped = _shaped(bare, folder, active)
    trained, parameters = _count(shaped, trained=True), _count(shaped)
    per_state = next(
        size for name, size in _OPTIMIZERS if re.search(name, str(getattr(arguments.optim, "value", arguments.optim)))
    )
    rows = arguments.per_device_train_batch_size
    parts = {
        "weights": 4 * (parameters - narrow_count) + 2 * narrow_count,
        "gradients": 4 * trained,
        "optimizer": per_state * trained,
        "copies": 4 * trained * _copies(active, bool(tuner_layers(shaped))),
        "activations": _activations(shaped, config, rows, longest, arguments),
        "logits": _logits(config, rows * longest, arguments, active, trained > base_count // 2),
    }
    quantised = getattr(config, "quantization_config", None) is not None
    dtype_name = str(dtype).removeprefix("torch.") if narrow_count else ""
    return Estimate(
        parameters, trained, frozen, dtype_name, parts, quantised, accumulates=_forwards(recipe, arguments) > 1
    )


def _forwards(recipe: Chain, arguments: TrainingArguments) -> int:
    """Returns the forwards of a step: those that the rows of the recipe's step take, or those of the arguments."""
    batch = train_of(recipe).batch
    if batch is None:
        return arguments.gradient_accumulation_steps
    return batch // (arguments.per_device_train_batch_size * int(os.environ.get("WORLD_SIZE", "1")))


def _folder_of_base(folder: Path) -> Path | None:
    base_folder = Path(folder_or_name(base_of(folder))).expanduser()
    return base_folder if base_folder.is_dir() else None


def bare_parameters(config: Any) -> int:
    """Returns the number of parameters of a model from its configuration, without weights."""
    return _count(_bare(config))


def _bare(config: Any) -> Any:
    """Returns the model on the meta device, without weights."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(
            copy.deepcopy(config), dtype=torch.float32
        )  # a copy, because from_config writes the dtype into it


def _count(model: nn.Module, trained: bool = False) -> int:
    """Returns the number of parameters, or of trained parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trained)


def _in_layers(bare: Any) -> int:
    """Returns the number of weights of the linear layers, without embeddings and head."""
    ends = {id(end.weight) for end in _ends(bare)}
    linear = {id(m.weight): m.weight.numel() for m in bare.modules() if type(m) is nn.Linear}
    return sum(count for key, count in linear.items() if key not in ends)


def _ends(model: Any) -> list[Any]:
    return [end for end in (model.get_input_embeddings(), model.get_output_embeddings()) if end is not None]


def _shaped(bare: Any, folder: Path | None, active: Chain) -> nn.Module:
    """Returns the model in its shape for training, without weights.

    A method that needs weights or data to shape the model counts as a LoRA of its rank, or not at all.
    """
    if folder is not None and is_adapter(folder):
        bare = peft.get_peft_model(bare, peft.PeftConfig.from_pretrained(str(folder)))
    for part in sorted(active.parts(), key=lambda part: part.freezes):
        if not part.uses("shape_model"):
            continue
        try:
            bare = part.shape_model(Run(model=bare, mix=Mix(()), seed=0, total_steps=0))
        except Exception:
            if isinstance(part, Adapter) and part.small:
                rank, targets = int(getattr(part, "rank", 16)), part.targets
                bare = _with_lora(bare, rank, targets)
    return bare  # type: ignore[no-any-return]


def _with_lora(bare: Any, rank: int, targets: str) -> Any:
    try:
        return LoRA(rank=rank, targets=targets).shape_model(Run(model=bare, mix=Mix(()), seed=0, total_steps=0))
    except Exception:  # the method itself reports wrong targets later
        return bare


def _copies(active: Chain, adapted: bool) -> int:
    """Returns the number of copies of the trained weights: of the base, of the start, of the step's beginning."""
    compares = active.needs.base and not adapted
    start = "start" in active.needs.asks
    penalties = active.uses("penalty")  # the graph of a penalty keeps the weights
    copies = compares + start + penalties + active.uses("edit_weights") + active.uses("edit_update")
    return copies + sum(part.state_per_parameter for part in active.parts())


def _activations(shaped: nn.Module, config: Any, rows: int, longest: int, arguments: TrainingArguments) -> int:
    """Returns the bytes that a forward keeps for the backward, without the logits.

    The count is what autograd saves in a forward of the shaped model on fake tensors. It covers frozen layers, adapters
    and any architecture. If that forward fails because a shape depends on values, the count is that of a decoder with a
    gated MLP whose layers all train.
    """
    text = config.get_text_config()
    width, layers = _of(text, "hidden_size", "n_embd", "d_model"), _of(text, "num_hidden_layers", "n_layer", "n_layers")
    try:
        kept = saved_bytes(shaped, rows, longest, _narrow(arguments))
    except Exception:
        kept = _saved_by_a_decoder(text, width, layers, rows * longest, arguments)
    if arguments.gradient_checkpointing:
        return rows * longest * 4 * width * layers + kept // max(layers, 1)
    return kept


def _narrow(arguments: TrainingArguments) -> torch.dtype | None:
    """Returns the dtype of the trainer's autocast; None without."""
    return torch.bfloat16 if arguments.bf16 else torch.float16 if arguments.fp16 else None


def _saved_by_a_decoder(text: Any, width: int, layers: int, tokens: int, arguments: TrainingArguments) -> int:
    """Returns the bytes that norms, projections, fused attention and a gated MLP save for `tokens` tokens."""
    heads = _of(text, "num_attention_heads", "n_head", "n_heads")
    head = _of(text, "head_dim") or width // max(heads, 1)
    queries, keys = heads * head, (_of(text, "num_key_value_heads") or heads) * head
    inner = _of(text, "intermediate_size", "n_inner", "ffn_dim") or 4 * width
    size = 4.0 if not (arguments.bf16 or arguments.fp16) else 2.5
    return int(tokens * size * (7 * width + 5 * queries + 2 * keys + 4 * inner) * layers)


def _logits(config: Any, tokens: int, arguments: TrainingArguments, active: Chain, head_trains: bool) -> int:
    """Returns the peak bytes of the logits: of a block, or of all tokens if the chunked loss cannot be computed.

    The logits of a block, and those of the base, have the precision of the product; a loss turns one chunk at a time
    into float32.
    """
    text = config.get_text_config()
    words, width = _of(text, "vocab_size"), _of(text, "hidden_size", "n_embd", "d_model")
    whole = getattr(text, "final_logit_softcapping", None) or arguments.label_smoothing_factor > 0
    if whole and not owns_forward(active, active.uses("mix_data")):
        return tokens * words * (12 if not (arguments.bf16 or arguments.fp16) else 16)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chunk, block = sizes(tokens, words, device)
    compares = active.needs.base
    wide = 2 if arguments.bf16 or arguments.fp16 else 4
    blocks = min(tokens, block) * words * wide * (2 if compares else 1)
    chunks = min(tokens, chunk) * words * 4 * (5 if compares else 3)
    return blocks + chunks + (4 * words * width if head_trains else 0)


def _of(config: Any, *names: str) -> int:
    return int(next((value for name in names if isinstance(value := getattr(config, name, None), int)), 0))
