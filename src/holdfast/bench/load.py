"""Loads the model and tokenizer of a run: a folder, a hub id, or an adapter on its base."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.ground.names import BASE, base_folder

_CANNOT_LOAD = (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError)
"""What transformers, PEFT and safetensors raise for a folder that is not what it should be."""


def load_model(name: str) -> nn.Module:
    """Returns a causal language model with float32 weights, its adapter (if `name` is one) ready to be trained on.

    Masters are float32 whatever the files hold: after a few AdamW steps at a usual rate most bfloat16 weights would
    not have moved.

    Raises:
        HoldfastError: Not found, not a causal language model, weights that are missing, or an adapter that does not fit
            its base.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    name = folder_or_name(name)
    folder = _folder(name)
    try:
        if folder is not None and (folder / "adapter_config.json").exists():
            return _adapter(folder)
        config = AutoConfig.from_pretrained(name)
        if type(config) not in AutoModelForCausalLM._model_mapping:
            raise HoldfastError(
                f"Model {name!r} is of type {config.model_type!r}, which is no causal language model; give one that"
                " AutoModelForCausalLM loads."
            )
        with _unreported():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                name, config=config, dtype=torch.float32, output_loading_info=True
            )
    except _CANNOT_LOAD as error:
        raise _cannot_load("Model", name, folder, error) from error
    model: nn.Module = loaded[0]
    missing = sorted(loaded[1]["missing_keys"])
    if missing:
        raise HoldfastError(
            f"Model {name!r} lacks {len(missing)} of the weights of {type(model).__name__} (first: {missing[0]}), which"
            " would start from noise; give a whole causal language model."
        )
    return model


@contextlib.contextmanager
def _unreported() -> Iterator[None]:
    """Keeps transformers from printing a table of missing weights, of which we say what matters in one sentence."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def load_tokenizer(name: str) -> Any:
    """Returns the tokenizer beside a model, with a padding token (its end-of-sequence token if it has none).

    Raises:
        HoldfastError: There is none, or it has neither a padding nor an end-of-sequence token.
    """
    from transformers import AutoTokenizer

    name = folder_or_name(name)
    folder = _folder(name)
    try:
        if folder is not None and (folder / "adapter_config.json").exists() and not _has_tokenizer(folder):
            return load_tokenizer(_base_of(folder))
        if folder is not None and not _has_tokenizer(folder):
            raise HoldfastError(
                f"Model {name!r} has no tokenizer beside it; save that of the model it was made from into the folder"
                " (tokenizer.save_pretrained)."
            )
        tokenizer = AutoTokenizer.from_pretrained(name)
    except _CANNOT_LOAD as error:
        raise _cannot_load("The tokenizer of", name, folder, error) from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise HoldfastError(
                f"The tokenizer of {name!r} has neither a padding nor an end token; set one and save it."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def folder_or_name(name: str) -> str:
    """Returns the folder of the base that comes with the package where its name is given, else the name."""
    return str(base_folder()) if name == BASE else name


def _folder(name: str) -> Path | None:
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / file).exists() for file in ("config.json", "adapter_config.json")):
            raise HoldfastError(f"Model {name!r} has no config.json: give the folder that save_pretrained() wrote.")
        return folder
    if folder.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise HoldfastError(
            f"Model {name!r} is not there: give a folder that exists, or the name of a model on the hub."
        )
    return None


def _has_tokenizer(folder: Path) -> bool:
    files = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
    return any((folder / file).exists() for file in files)


def _base_of(folder: Path) -> str:
    try:
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not base:
        raise HoldfastError(f"{folder}/adapter_config.json does not name its base model (base_model_name_or_path).")
    return str(base)


def _adapter(folder: Path) -> nn.Module:
    import peft

    base = _base_of(folder)
    model = load_model(base)
    try:
        return peft.PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except _CANNOT_LOAD as error:
        raise HoldfastError(
            f"Adapter {str(folder)!r} does not fit its base {base!r}, so it was made for another model"
            f" ({_first_sentence(error).rstrip('.')}); name the right one in its adapter_config.json."
        ) from error


def _cannot_load(what: str, name: str, folder: Path | None, error: Exception) -> HoldfastError:
    if folder is not None:
        said = _first_sentence(error).rstrip(".")
        return HoldfastError(f"{what} {name!r} cannot be loaded ({said}); save or download it again.")
    return HoldfastError(
        f"{what} {name!r} is in no folder here and could not be had from the hub"
        f" ({_first_sentence(error).rstrip('.')}); check the name and the network, or give a folder."
    )


def _first_sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    head = text.split(". ")[0][:300].rstrip(".")
    return f"{head}."
