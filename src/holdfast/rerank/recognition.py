"""What kind of model a folder holds, by its config files alone. Importing this module imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

Kind = Literal["cross-encoder", "bi-encoder", "causal", "other"]


def kind_of_model(name: str) -> Kind:
    """Returns what a folder holds: a cross-encoder (one output), a bi-encoder, a causal language model, or another.

    An adapter is what its task says, or what its base is. A name on the hub is looked up among the files that were
    downloaded before; "other" if there are none.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return _kind(_hub(name, "config_sentence_transformers.json"), _hub(name, "config.json"))
    config = _read(folder / "config.json")
    if not config and (adapter := _read(folder / "adapter_config.json")):
        if adapter.get("task_type") == "SEQ_CLS":
            return "cross-encoder"
        base = str(adapter.get("base_model_name_or_path") or "")
        return kind_of_model(base) if base and Path(base).expanduser().is_dir() else "other"
    return _kind(_read(folder / "config_sentence_transformers.json"), config)


def is_reranker(name: str) -> bool:
    """Returns whether a model is recognised as a reranker or a bi-encoder; a causal reranker looks like others."""
    return kind_of_model(name) in ("cross-encoder", "bi-encoder")


def _kind(library: dict[str, Any], config: dict[str, Any]) -> Kind:
    architecture = next(iter(config.get("architectures") or ()), "")
    if library.get("model_type") == "CrossEncoder":
        return "cross-encoder"
    if library and library.get("model_type", "SentenceTransformer") == "SentenceTransformer":
        return "bi-encoder"
    if architecture.endswith("ForSequenceClassification"):
        labels = config.get("num_labels", len(config.get("id2label") or "xx"))
        return "cross-encoder" if labels == 1 else "other"
    return "causal" if architecture.endswith("ForCausalLM") else "other"


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _hub(name: str, file: str) -> dict[str, Any]:
    """Returns a file of a model on the hub from the local cache; empty without one."""
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return {}
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(name, file)
    return _read(Path(path)) if isinstance(path, str) else {}
