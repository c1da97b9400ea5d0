"""How large a model is, by its config files alone. Importing this module imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from holdfast.data.hub_reach import is_hub_name, without_waiting


def model_size(name: str) -> int:
    """Returns about how many parameters a model has: those of its embeddings, attention and MLPs.

    It is 0 for a model whose files are not found. The small files of a name on the hub are downloaded, as they are for
    the training. An adapter is as large as its base.
    """
    folder = Path(name).expanduser()
    adapter = _json(name, "adapter_config.json") if folder.is_dir() else {}
    base = str(adapter.get("base_model_name_or_path") or "")
    if base:
        return model_size(base) if base != name else 0
    return _parameters(_json(name, "config.json"))


def _parameters(config: dict[str, Any]) -> int:
    """Returns the parameters of a decoder of such a configuration, within some percent; 0 if a size is missing."""
    text: dict[str, Any] = nested if isinstance(nested := config.get("text_config"), dict) else config
    names = ("hidden_size", "num_hidden_layers", "vocab_size")
    width, layers, vocabulary = (int(text.get(name) or 0) for name in names)
    inner = int(text.get("intermediate_size") or 4 * width)
    heads = int(text.get("num_attention_heads") or 1)
    head = int(text.get("head_dim") or width // heads)
    queries, keys = heads * head, int(text.get("num_key_value_heads") or heads) * head
    tied = bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", True)))
    return layers * width * (2 * queries + 2 * keys + 3 * inner) + width * vocabulary * (1 if tied else 2)


def _json(name: str, file: str) -> dict[str, Any]:
    path = _file(name, file)
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _file(name: str, file: str) -> Path | None:
    """Returns the path of a model's file, from its folder, the local cache or the hub; None where there is none."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder / file if (folder / file).exists() else None
    if not is_hub_name(name):
        return None
    from huggingface_hub import hf_hub_download  # here, because only names on the hub need it

    try:
        with without_waiting(name):
            return Path(hf_hub_download(name, file))
    except (OSError, ValueError):  # the file is not there, nor the hub; or it is no name
        return None
