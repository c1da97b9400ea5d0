"""The transformer inside a cross-encoder of sentence-transformers, and how adapters get on it and off."""

from __future__ import annotations

from typing import Any

from torch import nn


def inner_of(encoder: Any) -> nn.Module | None:
    """Returns the model of transformers inside an encoder; None if it has none."""
    inner: nn.Module | None = getattr(encoder, "transformers_model", None)
    return inner


def put_inner(encoder: Any, shaped: nn.Module) -> None:
    """Puts the model that a recipe shaped into an encoder.

    PEFT wraps the model and changes its layers in place. The encoder keeps the model itself, marked as one with an
    adapter in the way of transformers, so that sentence-transformers saves and loads the adapter as its own do.
    """
    inner: Any = shaped.get_base_model() if hasattr(shaped, "get_base_model") else shaped  # type: ignore[operator]
    adapted = inner is not shaped
    if adapted or getattr(inner, "_hf_peft_config_loaded", False):
        inner._hf_peft_config_loaded = adapted
    holder = next(module for module in encoder if getattr(module, "model", None) is not None)
    if holder.model is not inner:
        holder.model = inner
