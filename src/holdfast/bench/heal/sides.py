"""The two models of a healing as files that edits can stream: found, made whole, and checked against each other."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.model_content import content_of
from holdfast.bench.given.model_files import (
    base_of,
    folder_of_model,
    folder_or_name,
    has_tokenizer,
    is_adapter,
    weight_files,
)
from holdfast.bench.heal.edits import Editor, holds_plain_lora
from holdfast.bench.heal.weights import Weights
from holdfast.bench.run.folder import reporting_write_errors
from holdfast.core.errors import HoldfastError


class Saves(Protocol):
    """A model that can be saved, with all that loading it needs."""

    def save_pretrained(self, folder: Any) -> Any:
        """Writes the model into a folder."""


Loads = Callable[[str, str, list[str]], Saves]
"""Loads a model whole, with an adapter merged: its name, that of its base, and a list that receives notes."""


def editor_of(base: str, tuned: str, work: Path, notes: list[str], loads: Loads | None = None) -> Editor:
    """Returns an editor of a fine-tune, after a check that both models have the same weights by name and shape.

    An adapter is merged once into a folder of whole weights. If the names in the files of two whole models differ, the
    base is loaded and saved again, which gives it the names of today, and a head of its own where only the tuned model
    has one (its embeddings and head were tied, and the fine-tune trained one of them).

    Args:
        base: Name of the base.
        tuned: Name of the tuned model.
        work: Folder for weights that have to be made.
        notes: List that receives notes for the user.
        loads: Loads a model whole; as a language model if None.

    Raises:
        HoldfastError: A model is missing or quantised, the two have other architectures or vocabularies, or they are
            equal.
    """
    first, last = _local(base), _local(tuned)
    if is_adapter(first):
        raise HoldfastError(
            f"{base} is an adapter, and healing needs the whole base; give the model that it was made on."
        )
    adapter, loads = None, loads or _language_model
    if is_adapter(last):
        _check_base_of_adapter(base, tuned, first, last)
        whole = Weights.of(_saved(loads, tuned, base, work / "merged", notes))
        weights, config = Weights.of(last), _config(last / "adapter_config.json")
        adapter = weights if holds_plain_lora(weights, config) else None
        if adapter is None:
            notes.append(f"{tuned} is not a plain LoRA, so every edit of it ships whole weights.")
    else:
        whole = Weights.of(last)
    _check_configs(base, tuned, first, whole.folder)
    weights = Weights.of(first)
    if whole.shapes.keys() - weights.shapes.keys():
        weights = Weights.of(_saved(functools.partial(_with_head, loads), base, base, work / "base", []))
    _check_shapes(base, tuned, weights, whole)
    _check_change(base, tuned, weights, whole)
    return Editor(weights, whole, adapter)


def transposed_in(model: nn.Module, names: list[str]) -> list[str]:
    """Returns the names in files of the weights that a model stores as `[in, out]`."""
    turned = [f"{name}.weight" for name, module in model.named_modules() if type(module).__name__ == "Conv1D"]
    return [name for name in names if any(other == name or other.endswith(f".{name}") for other in turned)]


def _local(name: str) -> Path:
    """Returns the folder of a model, which is downloaded if it is on the hub."""
    name = folder_or_name(name)
    folder = folder_of_model(name)
    if folder is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, ValueError, OSError) as error:
        raise HoldfastError(
            f"Model {name!r} cannot be downloaded ({type(error).__name__}); give an existing folder, or check the name."
        ) from error


def _saved(loads: Loads, name: str, base: str, folder: Path, notes: list[str]) -> Path:
    """Returns a folder with the whole weights of a model; an earlier one is used again."""
    done = folder.with_name(f"{folder.name}.done")  # not in the folder, whose files are copied
    if not done.exists():
        model = loads(name, base, notes)
        with reporting_write_errors(folder):
            model.save_pretrained(folder)
            done.touch()
    return folder


@dataclasses.dataclass(frozen=True)
class _LanguageModel:
    """A whole language model with its tokenizer."""

    model: Any
    tokenizer: Any

    def save_pretrained(self, folder: Any) -> None:
        """Writes both into a folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def _language_model(name: str, base: str, notes: list[str]) -> Saves:
    """Loads a language model; the weights that an adapter makes are float32."""
    model: Any = load_model(name, base=base, notes=notes)
    if hasattr(model, "merge_and_unload"):
        with torch.no_grad():
            model = model.merge_and_unload()
    return _LanguageModel(model, load_tokenizer(name, base=base))


def _with_head(loads: Loads, name: str, base: str, notes: list[str]) -> Saves:
    """Loads a model whole, and gives it a head of its own if it shares that of its embeddings."""
    loaded = loads(name, base, notes)
    if isinstance(loaded, _LanguageModel):
        model = loaded.model
        head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
        if head is not None and head.weight is embeddings.weight:
            head.weight = nn.Parameter(head.weight.detach().clone())
            model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = False
    return loaded


def _config(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}


def _check_base_of_adapter(base: str, tuned: str, first: Path, last: Path) -> None:
    """Raises `HoldfastError` if an adapter's own base is here with other weights: a smaller change would lead to it."""
    recorded = base_of(last)
    own = Path(folder_or_name(recorded)).expanduser()
    if not own.is_dir() or is_adapter(own) or own.resolve() == first.resolve():
        return
    if content_of(weight_files(own)) != content_of(weight_files(first)):
        raise HoldfastError(
            f"{tuned} is an adapter on {recorded}, whose weights are not those of {base}; give {recorded} as the base."
        )


def _check_configs(base: str, tuned: str, first: Path, last: Path) -> None:
    kinds = [_config(folder / "config.json") for folder in (first, last)]
    for name, config in zip((base, tuned), kinds, strict=True):
        if config.get("quantization_config"):
            raise HoldfastError(f"{name} is quantised, and edits need whole weights; give it in 16 or 32 bits.")
    before, after = (config.get("model_type") for config in kinds)
    if before != after:
        raise HoldfastError(
            f"{base} is a {before} and {tuned} a {after}, and an edit needs two models of one architecture; give the"
            " model that the fine-tune started from."
        )


def _check_shapes(base: str, tuned: str, weights: Weights, whole: Weights) -> None:
    """Raises `HoldfastError` if a tensor of the tuned model is missing in the base, or has another shape."""
    shapes = weights.shapes
    for name, shape in whole.shapes.items():
        if name not in shapes:
            raise HoldfastError(
                f"{tuned} has a weight {name!r} that {base} lacks, so their architectures differ; give the model that"
                " the fine-tune started from."
            )
        if shapes[name] != shape:
            if (
                len(shape) == 2
                and shapes[name][1:] == shape[1:]
                and ("embed" in name or "wte" in name or "head" in name)
            ):
                raise HoldfastError(
                    f"{tuned} has {shape[0]:,} tokens and {base} {shapes[name][0]:,}, and an edit needs one vocabulary;"
                    " give a base with the same tokens, or the fine-tune without added ones."
                )
            raise HoldfastError(
                f"{name!r} is {shapes[name]} in {base} and {shape} in {tuned}, so their architectures differ; give the"
                " model that the fine-tune started from."
            )


def _check_change(base: str, tuned: str, weights: Weights, whole: Weights) -> None:
    """Raises `HoldfastError` if no weight differs."""
    for name in whole.shapes:
        last = whole.read(name)
        if not torch.equal(weights.read(name).to(last.dtype), last):
            return
    raise HoldfastError(
        f"{tuned} has the same weights as {base}, so there is nothing to heal; give the fine-tuned model."
    )


def check_tokens(base: str, tuned: str, of_base: Any, of_tuned: Any) -> None:
    """Raises `HoldfastError` if a token of the base has another number, or is missing, in the tuned model."""
    tokens = of_tuned.get_vocab()
    other = next((token for token, number in of_base.get_vocab().items() if tokens.get(token) != number), None)
    if other is not None:
        raise HoldfastError(
            f"{base} and {tuned} number their tokens differently (first: {other!r}), and an edit needs one vocabulary;"
            " give the model that the fine-tune started from."
        )


def with_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Saves a tokenizer into a model's folder that has none."""
    if not has_tokenizer(folder):
        with reporting_write_errors(folder):
            tokenizer.save_pretrained(folder)
