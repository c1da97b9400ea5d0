"""Loads the model and tokenizer of a run: a folder, a hub id, or an adapter on its base."""

from __future__ import annotations

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from holdfast.bench.given.load_errors import LOAD_ERRORS, first_sentence, load_error, refuse_non_causal
from holdfast.bench.given.model_files import (
    base_of,
    dtypes_of,
    folder_of_model,
    folder_or_name,
    has_tokenizer,
    is_adapter,
    is_available,
    missing_base_error,
)
from holdfast.bench.machine.verbosity import errors_only
from holdfast.core.errors import HoldfastError
from holdfast.core.narrow import keep_narrow

__all__ = ["config_of", "folder_or_name", "load_model", "load_tokenizer"]

_NARROW = {"BF16": torch.bfloat16, "F16": torch.float16}


def load_model(
    name: str, *, base: str | None = None, frozen: bool = False, notes: list[str] | None = None
) -> nn.Module:
    """Returns a causal language model, its adapter (if `name` is one) ready to be trained on.

    Weights are float32 whatever the files hold: after a few AdamW steps at a usual rate most bfloat16 weights would not
    have moved. Of a model that stays frozen (`frozen`) the linear layers keep the 16 bits of their file.

    Args:
        name: A folder, a name on the hub, or "ground:base".
        base: Model that an adapter is put on where the one that it names cannot be had.
        frozen: Whether the model's own weights stay as they are.
        notes: Gets a sentence for each thing worth saying.

    Raises:
        HoldfastError: Not found, not a causal language model, weights that are missing, or an adapter that does not fit
            its base.
    """
    name, notes = folder_or_name(name), [] if notes is None else notes
    folder = folder_of_model(name)
    if folder is not None and is_adapter(folder):
        return _adapter(folder, base, frozen, notes)
    return _whole(name, folder, frozen, notes)


def config_of(name: str) -> Any:
    """Returns the configuration of a model; raises `HoldfastError` as `load_model` does, of what it says."""
    from transformers import AutoConfig

    name = folder_or_name(name)
    folder = folder_of_model(name)
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except LOAD_ERRORS as error:
        raise load_error("Model", name, folder, error) from error
    refuse_non_causal(config, name)
    return config


def _whole(name: str, folder: Path | None, frozen: bool, notes: list[str]) -> nn.Module:
    from transformers import AutoModelForCausalLM

    config = config_of(name)
    dtype = narrow_dtype(config, folder) if frozen else None
    try:
        with errors_only():  # not its table of missing weights, of which we say what matters
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                name,
                config=config,
                dtype=dtype or torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
    except LOAD_ERRORS as error:
        raise load_error("Model", name, folder, error, config) from error
    model: nn.Module = loaded[0]
    missing, left = sorted(loaded[1]["missing_keys"]), sorted(loaded[1].get("unexpected_keys", ()))
    if missing:
        raise HoldfastError(
            f"Model {name!r} lacks {len(missing)} of the weights of {type(model).__name__} (first: {missing[0]}), which"
            " would start from noise; give a whole causal language model."
        )
    if left:
        notes.append(
            f"{name}: {len(left)} of its weights are no part of {type(model).__name__} and not used (first: {left[0]})."
        )
    if dtype is not None:
        keep_narrow(model, _wide_buffers(config, model))
    return model


def narrow_dtype(config: Any, folder: Path | None) -> torch.dtype | None:
    """Returns the 16-bit type of a model's matrices in its files; None if they are wider, mixed or quantised."""
    if getattr(config, "quantization_config", None) is not None:
        return None
    if folder is None:
        told = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
        told = getattr(torch, told, None) if isinstance(told, str) else told
        return told if told in _NARROW.values() else None
    held = dtypes_of(folder)
    return _NARROW.get(held.pop()) if len(held) == 1 else None


def _wide_buffers(config: Any, model: nn.Module) -> dict[str, Tensor]:
    """Returns, in float32, the buffers that a model computes for itself and that no file holds."""
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    held = set(model.state_dict())
    if all(name in held or b.dtype not in _NARROW.values() for name, b in model.named_buffers()):
        return {}
    with init_empty_weights(include_buffers=False):
        bare = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32)
    return {name: buffer for name, buffer in bare.named_buffers() if name not in held}


def load_tokenizer(name: str, *, base: str | None = None) -> Any:
    """Returns the tokenizer beside a model, with a padding token (its end-of-sequence token if it has none).

    Args:
        name: As for `load_model`; of an adapter without one it is that of its base.
        base: Likewise.

    Raises:
        HoldfastError: There is none, or it has neither a padding nor an end-of-sequence token.
    """
    from transformers import AutoTokenizer

    name = folder_or_name(name)
    folder = folder_of_model(name)
    if folder is not None and is_adapter(folder) and not has_tokenizer(folder):
        recorded = base_of(folder)
        if base is None and not is_available(recorded):
            raise missing_base_error(folder)
        return load_tokenizer(recorded if is_available(recorded) or base is None else base)
    if folder is not None and not has_tokenizer(folder):
        raise HoldfastError(
            f"Model {name!r} has no tokenizer beside it; save that of the model it was made from into the folder"
            " (tokenizer.save_pretrained)."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except LOAD_ERRORS as error:
        raise load_error("The tokenizer of", name, folder, error) from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise HoldfastError(
                f"The tokenizer of {name!r} has neither a padding nor an end token; set one and save it."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _adapter(folder: Path, given: str | None, frozen: bool, notes: list[str]) -> nn.Module:
    import peft

    model, base = _base_for(folder, given, frozen, notes)
    _fit_vocabulary(model, folder, base, notes)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            made = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except LOAD_ERRORS as error:
        if not re.search("size mismatch|not found|target_modules|target_parameters", str(error), re.IGNORECASE):
            raise load_error("Adapter", str(folder), folder, error) from error
        raise _does_not_fit(folder, base, first_sentence(error)) from error
    if lost := next((str(one.message) for one in warned if "missing adapter keys" in str(one.message)), ""):
        raise _does_not_fit(folder, base, f"it lacks weights for layers there: {lost[-200:]}")
    return made


def _does_not_fit(folder: Path, base: str, said: str) -> HoldfastError:
    return HoldfastError(
        f"Adapter {str(folder)!r} does not fit its base {base!r}, so it was made for another model"
        f" ({said.rstrip('.')}); name the right one in its adapter_config.json."
    )


def _base_for(folder: Path, given: str | None, frozen: bool, notes: list[str]) -> tuple[nn.Module, str]:
    """Returns the base of an adapter and its name: the one that it records, else the one that is given."""
    recorded = base_of(folder)
    if given is not None and (own := Path(folder_or_name(given)).expanduser()).is_dir() and is_adapter(own):
        given = base_of(own)
    if is_available(recorded):
        try:
            return load_model(recorded, frozen=frozen, notes=notes), recorded
        except HoldfastError:
            if given is None or given == recorded or Path(recorded).expanduser().is_dir():
                raise
    if given is None:
        raise missing_base_error(folder)
    notes.append(f"{folder} was made on {recorded!r}, which cannot be had here: it is put on {given}.")
    return load_model(given, frozen=frozen, notes=notes), given


def _fit_vocabulary(model: Any, folder: Path, base: str, notes: list[str]) -> None:
    """Gives a base the rows of the vocabulary that an adapter was made with, where those are others.

    Raises:
        HoldfastError: The adapter's tokenizer has tokens of which neither it nor the base has an embedding.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    wanted = _vocabulary_of(folder, model)
    tokens = len(load_tokenizer(str(folder))) if has_tokenizer(folder) else 0
    if wanted is None and tokens > rows:
        if not _trains_tokens(folder):
            raise HoldfastError(
                f"Adapter {str(folder)!r}: its tokenizer has {tokens:,} tokens and its base {base!r} {rows:,}, and it"
                " holds no embeddings for those that were added; save it with them (modules_to_save, or"
                " save_embedding_layers=True)."
            )
        wanted = tokens
    if wanted is not None and wanted != rows:
        with errors_only(), torch.random.fork_rng():
            torch.manual_seed(0)
            model.resize_token_embeddings(wanted, mean_resizing=False)
        notes.append(f"{folder} has {wanted:,} tokens and {base} {rows:,}: the base's embeddings are resized to them.")
        if wanted > rows and not _holds_head(folder, model):
            notes.append(
                f"{folder} holds nothing of the output head for the {wanted - rows:,} tokens that were added: the model"
                " says them at random."
            )


def _vocabulary_of(folder: Path, model: Any) -> int | None:
    """Returns the rows of the embeddings, or of the adapter on them, that an adapter holds; None if it has none."""
    ends = {id(end) for end in (model.get_input_embeddings(), model.get_output_embeddings()) if end is not None}
    names = [name for name, module in model.named_modules() if id(module) in ends]
    for key, shape in _shapes(folder).items():
        for name in names:
            inside = key.partition(f"{name}.")[2]
            if inside.endswith("weight") and len(shape) == 2 and "lora_" not in inside:
                return shape[0]
            if "lora_embedding_A" in inside:
                return shape[1]
            if name and model.get_output_embeddings() is model.get_submodule(name) and "lora_B" in inside:
                return shape[0]
    return None


def _holds_head(folder: Path, model: Any) -> bool:
    """Returns whether an adapter holds the rows of the output head, which may be those of the embeddings."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is embeddings.weight:
        return True
    (name,) = (name for name, module in model.named_modules() if module is head)
    ends = [key.partition(f"{name}.")[2] for key in _shapes(folder)]
    return any(end.endswith("weight") and "lora_" not in end for end in ends)


def _trains_tokens(folder: Path) -> bool:
    return any("trainable_tokens" in key for key in _shapes(folder))


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise load_error("Adapter", str(folder), folder, error) from error
