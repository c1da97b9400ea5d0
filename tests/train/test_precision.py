"""A trainer that computes in bf16 asks, writes and scores in bf16 too."""

from __future__ import annotations

import pytest
import torch

from holdfast.core.budget import Budget
from holdfast.core.guard import Guard
from holdfast.methods.rehearsal.on_policy_sdft import OnPolicySDFT
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.probes.items import Item
from holdfast.train.attach import attach
from holdfast.train.questions import Questions
from holdfast.train.trainer_view import TrainerView
from tests import tiny
from tests.train.retrace import trainer_for

FORMATS = [("bf16", torch.bfloat16), ("fp32", torch.float32)]


@pytest.fixture
def made(tmp_path):
    def of(precision):
        return trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, tiny.rows(8), bf16=precision == "bf16")

    return of


def formats_of(model):
    """Returns a set that gets the format of the weights at each forward of the model."""
    seen = set()
    model.register_forward_pre_hook(lambda module, _: seen.add(module.lm_head.weight.dtype))
    return seen


@pytest.mark.parametrize(("precision", "dtype"), FORMATS)
def test_the_base_writes_old_examples_in_it(made, precision, dtype):
    trainer = made(precision)
    seen = formats_of(trainer.model)
    attach(trainer, SelfRehearsal(ratio=0.3, count=4, length=8, repeat=1.0, similar=1.0))
    assert seen == {dtype}
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("precision", "dtype"), FORMATS)
def test_a_step_writes_in_it(made, precision, dtype):
    trainer = made(precision)
    attach(trainer, OnPolicySDFT())
    seen = formats_of(trainer.model)
    trainer.holdfast.step().write([[1, 2, 3]], ends={0}, max_new_tokens=4)
    assert seen == {dtype}
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_guard_asks_in_it(made, precision):
    items = [Item(id=str(i), suite="a", choices=("yes", "no")) for i in range(50)]
    trainer = made(precision)
    trainer.processing_class = tiny.tokenizer()
    questions = Questions.of(trainer, Budget(points=2), Guard(), items, None)
    assert questions.asker.precision == precision


def autocast_loss(batch, dtype):
    """Returns a model and its mean loss, by transformers and torch alone."""
    model = tiny.tiny(dtype=torch.float32).eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    labels = batch["labels"][:, 1:].flatten()
    return model, torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels, ignore_index=-100)


@pytest.mark.parametrize(("precision", "dtype"), FORMATS)
def test_scores_and_gradients_before_training_are_those_of_autocast(made, precision, dtype):
    data = tiny.rows(8)
    view = TrainerView(made(precision), {})
    model, loss = autocast_loss(tiny.collate(data), dtype)
    score = float(view.score("nll_N")["nll_N"].mean())
    assert abs(score - float(loss.detach())) < (1e-2 if precision == "bf16" else 1e-5)
    loss.backward()
    gradient = view.run().gradient(tiny.collate(data))
    _, other = autocast_loss(tiny.collate(data), torch.float32 if precision == "bf16" else torch.bfloat16)
    assert abs(score - float(other.detach())) > abs(score - float(loss.detach()))
    for name, p in model.named_parameters():
        error = float((gradient[name] - p.grad).norm() / p.grad.norm())
        assert error < (0.02 if precision == "bf16" else 1e-5), name  # the format itself is up to 0.12 from float32
