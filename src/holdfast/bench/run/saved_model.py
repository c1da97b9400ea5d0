"""The model of a finished run: checked, and saved whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from holdfast.bench.run.folder import reporting_write_errors
from holdfast.core.errors import HoldfastError


def check_weights(model: nn.Module) -> None:
    """Raises `HoldfastError` for a model with non-finite weights, which no logged loss has shown."""
    for name, p in model.named_parameters():
        if p.requires_grad and not torch.isfinite(p).all():
            raise HoldfastError(
                f"Training left non-finite values in {name}, and no model was saved; lower the learning rate"
                " (Train(lr=...))."
            )


def save_model(model: Any, tokenizer: Any, target: Path) -> None:
    """Saves model and tokenizer into a folder beside the target, and renames it.

    Raises:
        HoldfastError: The folder cannot be written.
    """
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with reporting_write_errors(target):
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            if getattr(model, "generation_config", None) is not None:  # PEFT does not save it with an adapter
                model.generation_config.save_pretrained(partial)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
