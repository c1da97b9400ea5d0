"""What is said, and what is not, when a model is loaded."""

from __future__ import annotations

import logging

import pytest
import safetensors.torch
import torch
import transformers

from holdfast.bench.load import load_model
from holdfast.core.errors import HoldfastError
from tests import tiny


def test_missing_weights_are_one_sentence_and_no_table_of_transformers(tmp_path):
    tiny.tiny("llama", dtype=torch.float32).save_pretrained(tmp_path)
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    del weights["lm_head.weight"]
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())
    level = transformers.logging.get_verbosity()
    transformers.logging.add_handler(listener)
    try:
        with pytest.raises(HoldfastError, match="lacks 1 of the weights"):
            load_model(str(tmp_path))
    finally:
        transformers.logging.remove_handler(listener)
    assert said == []
    assert transformers.logging.get_verbosity() == level
