"""What a run will hold in memory, counted from the model's configuration before a weight is loaded.

Weights, gradients, optimizer state and copies of the base are counted, and what a forward of tensors without memory
saves for the backward; for logits there is a formula. What a method remembers besides is not counted, nor what Python,
the libraries and the system's allocator hold. benchmarks/memory.py compares the estimate with what PyTorch gave out.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import TrainingArguments

from holdfast.bench.given.loading import narrow_dtype
from holdfast.bench.given.model_files import base_of, folder_of_model, folder_or_name, is_adapter
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
"""Bytes that an optimizer keeps of each trained number, by its name."""
_REMEMBERS = {"EMA": 1, "EWC": 1}
"""Methods that keep numbers of the size of what trains, and how many."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a run will hold.

    Attributes:
        parameters: Of the model as it is trained, adapters included.
        trained: Those of them that train.
        frozen: Whether the model's own weights stay as they are, so that they keep the 16 bits of their file.
        narrow: "bfloat16" or "float16" where they do; "" where all weights are float32.
        parts: Bytes by what they are for.
        quantised: Whether the files are quantised, whose size is not known beforehand.
        accumulates: Whether gradients stay from one forward to the next.
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
        """Returns the bytes that are held at once at the most: gradients come as what the forward kept goes."""
        parts = self.parts
        forward = parts["activations"] + parts["logits"] + (parts["gradients"] if self.accumulates else 0)
        return parts["weights"] + parts["optimizer"] + parts["copies"] + max(forward, parts["gradients"])

    def to_dict(self) -> dict[str, Any]:
        """Returns what spec.json says of it."""
        return {
            "parameters": self.parameters,
            "trained": self.trained,
            "frozen_dtype": self.narrow or "float32",
            "memory": {"bytes": self.total, **self.parts},
        }


def stays_frozen(recipe: Chain, model: str) -> bool:
    """Returns whether a recipe leaves the model's own weights as they are, and trains and ships an adapter beside them.

    Adapters that begin by moving weights, train copies of some or are merged in the end do not: what changes is held in
    float32.
    """
    parts = recipe.active().parts()
    adapters = [part for part in parts if isinstance(part, Adapter)]
    if train_of(recipe).ship == "merged":
        return False
    if adapters:
        return all(one.on_frozen and not one.moves for one in adapters)
    folder = folder_of_model(folder_or_name(model))
    return folder is not None and is_adapter(folder) and _is_plain(folder)


def _is_plain(folder: Path) -> bool:
    config = peft.PeftConfig.from_pretrained(str(folder))
    kept = ("modules_to_save", "trainable_token_indices", "layer_replication")
    moved = getattr(config, "init_lora_weights", True) not in (True, False, "gaussian", "orthogonal")
    biased = getattr(config, "bias", "none") != "none"
    return not (moved or biased or any(getattr(config, name, None) for name in kept))


def estimate(model: str, config: Any, recipe: Chain, arguments: TrainingArguments, longest: int) -> Estimate:
    """Returns what a run will hold on each process.

    Args:
        model: Its name.
        config: Its configuration, or that of its base.
        recipe: What it is trained with.
        arguments: The trainer's.
        longest: Tokens of the longest row.
    """
    active = recipe.active()
    folder = folder_of_model(folder_or_name(model))
    frozen = stays_frozen(recipe, model)
    bare = _bare(config)
    own, in_layers = _count(bare), _in_layers(bare)  # of the bare model, which is shaped in place below
    weights_in = folder if folder is None or not is_adapter(folder) else _folder_of_base(folder)
    dtype = narrow_dtype(config, weights_in) if frozen else None
    narrow = 0 if dtype is None else in_layers
    shaped = _shaped(bare, folder, active)
    trained, parameters = _count(shaped, trained=True), _count(shaped)
    per_state = next(
        size for name, size in _OPTIMIZERS if re.search(name, str(getattr(arguments.optim, "value", arguments.optim)))
    )
    rows = arguments.per_device_train_batch_size
    parts = {
        "weights": 4 * (parameters - narrow) + 2 * narrow,
        "gradients": 4 * trained,
        "optimizer": per_state * trained,
        "copies": 4 * trained * _copies(active, bool(tuner_layers(shaped))),
        "activations": _activations(shaped, config, rows, longest, arguments),
        "logits": _logits(config, rows * longest, arguments, active, trained > own // 2),
    }
    quantised = getattr(config, "quantization_config", None) is not None
    words = str(dtype).removeprefix("torch.") if narrow else ""
    return Estimate(
        parameters, trained, frozen, words, parts, quantised, accumulates=arguments.gradient_accumulation_steps > 1
    )


def _folder_of_base(folder: Path) -> Path | None:
    own = Path(folder_or_name(base_of(folder))).expanduser()
    return own if own.is_dir() else None


def _bare(config: Any) -> Any:
    """Returns the model without its weights."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32)  # which writes the dtype in


def _count(model: nn.Module, trained: bool = False) -> int:
    """Returns how many numbers a model holds, or of them trains."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trained)


def _in_layers(bare: Any) -> int:
    """Returns how many numbers the linear layers hold, the model's ends excepted."""
    ends = {id(one.weight) for one in _ends(bare)}
    linear = {id(m.weight): m.weight.numel() for m in bare.modules() if type(m) is nn.Linear}
    return sum(count for key, count in linear.items() if key not in ends)


def _ends(model: Any) -> list[Any]:
    return [end for end in (model.get_input_embeddings(), model.get_output_embeddings()) if end is not None]


def _shaped(bare: Any, folder: Path | None, active: Chain) -> nn.Module:
    """Returns the model in the shape in which it is trained, without its weights.

    A method that must see weights or data to shape it is taken for a LoRA of its rank, or for nothing.
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
    except Exception:  # what is wrong with the targets, the method itself says when it is its turn
        return bare


def _copies(active: Chain, adapted: bool) -> int:
    """Returns how many copies of what trains are kept: of the base, of the start, of each step's beginning."""
    compares = active.needs.base and not adapted
    start = "start" in active.needs.asks
    penalties = active.uses("penalty")  # what a penalty's graph keeps of the weights
    found = compares + start + penalties + active.uses("edit_weights") + active.uses("edit_update")
    return found + sum(_REMEMBERS.get(type(part).__name__, 0) for part in active.parts())


def _activations(shaped: nn.Module, config: Any, rows: int, longest: int, arguments: TrainingArguments) -> int:
    """Returns the bytes that a forward keeps for the backward, without the logits.

    The count is what autograd saves in a forward of the shaped model whose tensors have shapes and no memory. It sees
    frozen layers, adapters and any architecture. Where that forward fails, because a shape depends on values, the count
    is that of a decoder with a gated MLP whose layers all train.
    """
    text = config.get_text_config()
    width, layers = _of(text, "hidden_size", "n_embd", "d_model"), _of(text, "num_hidden_layers", "n_layer", "n_layers")
    try:
        kept = _saved(shaped, rows, longest, arguments)
    except Exception:
        kept = _saved_by_a_decoder(text, width, layers, rows * longest, arguments)
    if arguments.gradient_checkpointing:
        return rows * longest * 4 * width * layers + kept // max(layers, 1)
    return kept


def _saved(shaped: Any, rows: int, longest: int, arguments: TrainingArguments) -> int:
    """Returns the bytes of all tensors that a forward of the body saves, its own weights excepted."""
    narrow = torch.bfloat16 if arguments.bf16 else torch.float16
    found: dict[int, tuple[torch.UntypedStorage, int]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found.setdefault(storage._cdata, (storage, storage.nbytes()))  # held, so that no other takes its place
        return tensor

    whole: Any = shaped.get_base_model() if isinstance(shaped, peft.PeftModel) else shaped
    body = whole.get_decoder().train()
    tensors = {**dict(body.named_parameters()), **dict(body.named_buffers())}
    with FakeTensorMode(), torch.autocast("cpu", dtype=narrow, enabled=arguments.bf16 or arguments.fp16):
        own = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype).requires_grad_(tensor.requires_grad)
            for name, tensor in tensors.items()
        }
        ids = torch.zeros(rows, longest, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            torch.func.functional_call(body, own, (), {"input_ids": ids, "use_cache": False})
    for tensor in own.values():
        found.pop(tensor.untyped_storage()._cdata, None)
    return sum(size for _, size in found.values())


def _saved_by_a_decoder(text: Any, width: int, layers: int, tokens: int, arguments: TrainingArguments) -> int:
    """Returns the bytes that norms, projections, fused attention and a gated MLP save of so many tokens."""
    heads = _of(text, "num_attention_heads", "n_head", "n_heads")
    head = _of(text, "head_dim") or width // max(heads, 1)
    queries, keys = heads * head, (_of(text, "num_key_value_heads") or heads) * head
    inner = _of(text, "intermediate_size", "n_inner", "ffn_dim") or 4 * width
    size = 4.0 if not (arguments.bf16 or arguments.fp16) else 2.5
    return int(tokens * size * (7 * width + 5 * queries + 2 * keys + 4 * inner) * layers)


def _logits(config: Any, tokens: int, arguments: TrainingArguments, active: Chain, head_trains: bool) -> int:
    """Returns the bytes of the logits at their most: of all tokens, or of a block where the recipe owns the loss.

    The logits of a block stand in the precision of the product, those of the base beside them; what a loss makes of
    them is float32 and of a chunk.
    """
    text = config.get_text_config()
    words, width = _of(text, "vocab_size"), _of(text, "hidden_size", "n_embd", "d_model")
    if not owns_forward(active, active.uses("mix_data")):
        return tokens * words * (12 if not (arguments.bf16 or arguments.fp16) else 16)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chunk, block = sizes(tokens, words, device)
    compares = active.needs.base
    wide = 2 if arguments.bf16 or arguments.fp16 else 4
    blocks = min(tokens, block) * words * wide * (2 if compares else 1)
    chunks = min(tokens, chunk) * words * 4 * (5 if compares else 3)
    return blocks + chunks + (4 * words * width if head_trains else 0)


def _of(config: Any, *names: str) -> int:
    found = next((value for name in names if isinstance(value := getattr(config, name, None), int)), 0)
    return int(found)


def free_memory() -> tuple[int, str]:
    """Returns the bytes that are free for a process here, and where: on the GPU, or in memory, whatever limits it."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0]), "on the GPU"
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, int(Path(limit).read_text(encoding="ascii")) - int(Path(used).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such limit ("max")
            continue
    return max(free, 0), "in memory"
