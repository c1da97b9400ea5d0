"""Loads the model and tokenizer of a run: a folder, a hub id, or an adapter on its base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from holdfast.core.errors import HoldfastError


def load_model(name: str) -> nn.Module:
    """Returns a causal language model with float32 weights, its adapter (if `name` is one) ready to be trained on.

    Masters are float32 whatever the files hold: after a few AdamW steps at a usual rate most bfloat16 weights would
    not have moved.

    Raises:
        HoldfastError: Not found, not a causal language model, or an adapter that does not fit its base.
    """
    from transformers import AutoModelForCausalLM

    folder = _folder(name)
    try:
        if folder is not None and (folder / "adapter_config.json").exists():
            return _adapter(folder)
        model: nn.Module = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
        return model
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise HoldfastError(f"Model {name!r} cannot be loaded: {_first_sentence(error)}") from error


def load_tokenizer(name: str) -> Any:
    """Returns the tokenizer beside a model, with a padding token (its end-of-sequence token if it has none).

    Raises:
        HoldfastError: There is none, or it has neither a padding nor an end-of-sequence token.
    """
    from transformers import AutoTokenizer

    folder = _folder(name)
    try:
        if folder is not None and (folder / "adapter_config.json").exists() and not _has_tokenizer(folder):
            name = _base_of(folder)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise HoldfastError(f"The tokenizer of {name!r} cannot be loaded: {_first_sentence(error)}") from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise HoldfastError(
                f"The tokenizer of {name!r} has neither a padding nor an end token; set one and save it."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


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
    return (folder / "tokenizer_config.json").exists()


def _base_of(folder: Path) -> str:
    base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise HoldfastError(f"{folder}/adapter_config.json does not name its base model (base_model_name_or_path).")
    return str(base)


def _adapter(folder: Path) -> nn.Module:
    import peft

    base = _base_of(folder)
    model = load_model(base)
    try:
        return peft.PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except (RuntimeError, ValueError, KeyError) as error:
        raise HoldfastError(
            f"Adapter {folder} does not fit its base {base!r}: it was made for another model ({_first_sentence(error)})"
        ) from error


def _first_sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    head = text.split(". ")[0][:300].rstrip(".")
    return f"{head}."
