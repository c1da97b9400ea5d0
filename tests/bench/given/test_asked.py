"""A model that only answers: where it is put, and in how many bits."""

from __future__ import annotations

import pytest
import torch

from holdfast import HoldfastError, diff
from holdfast.bench.given import asked
from holdfast.bench.given.asked import load_asked, placed
from holdfast.core.narrow_linear import NarrowLinear
from tests import tiny
from tests.bench.given.test_loading import save


def with_accelerator(monkeypatch, device):
    found = None if device is None else torch.device(device)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: found)


@pytest.mark.parametrize(("device", "ends"), [(None, "cpu"), ("meta", "meta"), ("mps", "cpu")])
def test_a_model_goes_to_the_gpu_that_is_there(monkeypatch, device, ends):
    model = tiny.tiny("llama")
    with_accelerator(monkeypatch, device)
    assert next(placed(model).parameters()).device.type == ends


def test_a_quantised_model_stays_where_its_loader_put_it(monkeypatch):
    model = tiny.tiny("llama")
    model.is_quantized = True
    with_accelerator(monkeypatch, "meta")
    assert next(placed(model).parameters()).device.type == "cpu"


def test_a_model_that_does_not_fit_on_the_gpu_is_named_with_its_size(monkeypatch):
    def full(self, device):
        raise torch.OutOfMemoryError

    model = tiny.tiny("llama")
    with_accelerator(monkeypatch, "cuda")
    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(HoldfastError, match=r"takes 0\.0 GB, and the GPU has less free memory; .*CUDA_VISIBLE_DEVICES"):
        placed(model)


def test_it_keeps_the_bits_of_its_file_unless_a_few_steps_train_it(tmp_path):
    save(tmp_path, dtype=torch.bfloat16)
    narrow, wide = load_asked(str(tmp_path)), load_asked(str(tmp_path), frozen=False)
    assert any(isinstance(module, NarrowLinear) for module in narrow.modules())
    assert {p.dtype for p in wide.parameters()} == {torch.float32}
    ids = torch.arange(4, 12)[None]
    assert torch.equal(narrow(input_ids=ids).logits, wide(input_ids=ids).logits)


def test_both_models_of_a_diff_are_put_there(monkeypatch, tmp_path):
    base, tuned = (str(save(tmp_path / name)) for name in ("base", "tuned"))
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(f'{{"id": "{n}", "suite": "texts", "text": "t{n} t61 t62"}}\n' for n in range(20, 30)))
    moved = []
    monkeypatch.setattr(asked, "placed", lambda model: moved.append(model) or model)
    diff(base=base, tuned=tuned, keep=(str(texts),))
    assert len(moved) == 2
