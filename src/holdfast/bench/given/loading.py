"""Loads the model and tokenizer of a run: from a folder, by a hub id, or as an adapter on its base."""

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
from holdfast.core.narrow_linear import keep_narrow
from holdfast.data.hub_reach import without_waiting

__all__ = ["config_of", "folder_or_name", "load_model", "load_tokenizer"]

_NARROW = {"BF16": torch.bfloat16, "F16": torch.float16}


def load_model(
    name: str, *, base: str | None = None, frozen: bool = False, notes: list[str] | None = None
) -> nn.Module:
    """Returns a causal language model; if `name` is an adapter, the adapter is trainable.

    Weights are float32 whatever the files hold, because a few AdamW steps at a usual learning rate would leave most
    bfloat16 weights unchanged. If the model stays frozen (`frozen`), its linear layers keep the 16 bits of their file.

    Args:
        name: A folder, a name on the hub, or "ground:base".
        base: Base for an adapter whose own base is not available.
        frozen: Whether training leaves the model's own weights unchanged.
        notes: List that receives notes for the user.

    Raises:
        HoldfastError: The model is missing, is not a causal language model or lacks weights, or the adapter does not
            fit its base.
    """
    name, notes = folder_or_name(name), [] if notes is None else notes
    folder = folder_of_model(name)
    if folder is not None and is_adapter(folder):
        return _adapter(folder, base, frozen, notes)
    return _whole(name, folder, frozen, notes)


def config_of(name: str) -> Any:
    """Returns the configuration of a model; raises `HoldfastError` if it is missing or not a causal language model."""
    from transformers import AutoConfig

    name = folder_or_name(name)
    folder = folder_of_model(name)
    try:
        with without_waiting(name):
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
        with (
            without_waiting(name),
            errors_only(),
        ):  # hides its table of missing weights, which the message below replaces
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
            " would start at random; give a whole causal language model."
        )
    if left:
        notes.append(
            f"{name}: {len(left)} of its weights do not belong to {type(model).__name__} and are ignored (first:"
            f" {left[0]})."
        )
    if dtype is not None:
        keep_narrow(model, _wide_buffers(config, model))
    return model


def narrow_dtype(config: Any, folder: Path | None) -> torch.dtype | None:
    """Returns the 16-bit dtype of a model's matrices in its files; None if they are wider, mixed or quantised."""
    if getattr(config, "quantization_config", None) is not None:
        return None
    if folder is None:
        dtype = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
        dtype = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
        return dtype if dtype in _NARROW.values() else None
    dtypes = dtypes_of(folder)
    return _NARROW.get(dtypes.pop()) if len(dtypes) == 1 else None


def _wide_buffers(config: Any, model: nn.Module) -> dict[str, Tensor]:
    """Returns, in float32, the buffers that a model computes and no file holds."""
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    saved = set(model.state_dict())
    if all(name in saved or b.dtype not in _NARROW.values() for name, b in model.named_buffers()):
        return {}
    with init_empty_weights(include_buffers=False):
        bare = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32)
    return {name: buffer for name, buffer in bare.named_buffers() if name not in saved}


def load_tokenizer(name: str, *, base: str | None = None) -> Any:
    """Returns the tokenizer beside a model, with a padding token (its end-of-sequence token if it has none).

    Args:
        name: As for `load_model`; an adapter without a tokenizer has that of its base.
        base: As for `load_model`.

    Raises:
        HoldfastError: The model has no tokenizer, or the tokenizer has neither a padding nor an end-of-sequence token.
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
            f"Model {name!r} has no tokenizer beside it; save that of the original model into the folder"
            " (tokenizer.save_pretrained)."
        )
    try:
        with without_waiting(name):
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
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            adapter = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except LOAD_ERRORS as error:
        if not re.search("size mismatch|not found|target_modules|target_parameters", str(error), re.IGNORECASE):
            raise load_error("Adapter", str(folder), folder, error) from error
        raise _does_not_fit(folder, base, first_sentence(error)) from error
    if missing := next((text for warning in caught if "missing adapter keys" in (text := str(warning.message))), ""):
        raise _does_not_fit(folder, base, f"it lacks weights for some layers: {missing[-200:]}")
    return adapter


def _does_not_fit(folder: Path, base: str, reason: str) -> HoldfastError:
    return HoldfastError(
        f"Adapter {str(folder)!r} does not fit its base {base!r}, so it belongs to another model"
        f" ({reason.rstrip('.')}); name the right one in its adapter_config.json."
    )


def _base_for(folder: Path, given: str | None, frozen: bool, notes: list[str]) -> tuple[nn.Module, str]:
    """Returns the base of an adapter and its name: the base that its config names, else `given`."""
    recorded = base_of(folder)
    if (
        given is not None
        and (folder_given := Path(folder_or_name(given)).expanduser()).is_dir()
        and is_adapter(folder_given)
    ):
        given = base_of(folder_given)
    if is_available(recorded):
        try:
            loaded = load_model(recorded, frozen=frozen, notes=notes)
            if given is not None and not _is_same(recorded, given):
                notes.append(f"{folder} is loaded on {recorded}, the base that its config names, and not on {given}.")
            return loaded, recorded
        except HoldfastError:
            if given is None or given == recorded or Path(recorded).expanduser().is_dir():
                raise
    if given is None:
        raise missing_base_error(folder)
    notes.append(f"{folder} was made on {recorded!r}, which is not available here; it is loaded on {given}.")
    return load_model(given, frozen=frozen, notes=notes), given


def _is_same(name: str, other: str) -> bool:
    """Returns whether two names are those of one folder, or of one model on the hub."""
    folders = [Path(folder_or_name(one)).expanduser() for one in (name, other)]
    return name == other or (all(map(Path.is_dir, folders)) and folders[0].resolve() == folders[1].resolve())


def _fit_vocabulary(model: Any, folder: Path, base: str, notes: list[str]) -> None:
    """Resizes the embeddings of a base to the vocabulary that an adapter was trained with.

    Raises:
        HoldfastError: The adapter's tokenizer has tokens that neither the adapter nor the base has an embedding for.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    wanted = _vocabulary_of(folder, model)
    tokens = len(load_tokenizer(str(folder))) if has_tokenizer(folder) else 0
    if wanted is None and tokens > rows:
        if not _trains_tokens(folder):
            raise HoldfastError(
                f"Adapter {str(folder)!r}: its tokenizer has {tokens:,} tokens and its base {base!r} {rows:,}, and it"
                " holds no embeddings for the added ones; save it with them (modules_to_save, or"
                " save_embedding_layers=True)."
            )
        wanted = tokens
    if wanted is not None and wanted != rows:
        with errors_only(), torch.random.fork_rng():
            torch.manual_seed(0)
            model.resize_token_embeddings(wanted, mean_resizing=False)
        notes.append(f"{folder} has {wanted:,} tokens and {base} {rows:,}: the base's embeddings are resized.")
        if wanted > rows and not _holds_head(folder, model):
            notes.append(
                f"{folder} has no output head for the {wanted - rows:,} added tokens: the model"
                " predicts them at random."
            )


def _vocabulary_of(folder: Path, model: Any) -> int | None:
    """Returns the number of rows of an adapter's embeddings, or of its factors on them; None if it has none."""
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
    """Returns whether an adapter holds the rows of the output head, or the head is tied to the embeddings."""
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
