"""What every method does where there is one of something: one row, one token, one old example, one row in a batch."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.methods.selection.qlora import QLoRA
from holdfast.methods.table import METHODS
from holdfast.train import checkpoint
from holdfast.train.attach import attach
from tests import tiny
from tests.contract.test_contract import START, TOKENIZER, has, sample
from tests.train.retrace import furthest, trainer_for

pytestmark = pytest.mark.matrix(2)

ONE_TOKEN = [{"input_ids": [5, 6, 7, 8], "labels": [-100, -100, -100, 8]}]
NO_TOKEN = [{"input_ids": [5, 6, 7], "labels": [-100] * 3}]
OLD = [Example([5, 9, 4], [-100, -100, 4])]
CASES = {
    "one row with one token": (ONE_TOKEN, {"micro": 1, "num_train_epochs": 3}),
    "one row in a batch": (tiny.rows(3), {"micro": 1}),
    "steps without a token": ([*ONE_TOKEN, *NO_TOKEN, *tiny.rows(1), *NO_TOKEN], {"micro": 2, "num_train_epochs": 2}),
}
LEARNS_NOTHING = {
    ("LowPerplexity", "one row with one token"): "leaves nothing to learn: the least perplexity among the 1"
}
"""What a method says where no token is left."""


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", [sample(cls) for cls in METHODS], ids=lambda method: type(method).__name__)
def test_of_one_item_everything_stays_a_number(tmp_path, method, case):
    if has(method, QLoRA):
        pytest.importorskip("bitsandbytes")
    rows, settings = CASES[case]
    trainer = trainer_for(copy.deepcopy(START[torch.float64]), tmp_path, rows, **settings)
    trainer.processing_class = TOKENIZER
    said = LEARNS_NOTHING.get((type(method).__name__, case))
    if said is not None:
        with pytest.raises(HoldfastError, match=said):
            attach(trainer, method, memories={"old": OLD}).train()
        return
    attach(trainer, method, memories={"old": OLD}).train()
    assert all(bool(p.isfinite().all()) for p in trainer.model.parameters())
    for name, t in checkpoint.flatten(trainer.holdfast.state).items():
        assert not t.is_floating_point() or bool(t.isfinite().all()), name
    numbers = [v for row in trainer.state.log_history for v in row.values() if isinstance(v, float)]
    assert numbers
    assert all(map(math.isfinite, numbers))


@pytest.mark.parametrize("text", ["TALR()", "TALR(over='tokens')", "FLOW()", "FLOW(level='token')"])
def test_the_median_of_one_is_that_one(tmp_path, text):
    """The only loss is its own median, so that its weight is 1 / e, and the step that of the weighted loss."""
    ends = {}
    for recipe in (text, "EAFT(power=0.0)"):  # which weighs all alike
        model = copy.deepcopy(START[torch.float64])
        rate = 0.01 if recipe == text else 0.01 / math.e
        trainer = trainer_for(model, tmp_path, ONE_TOKEN, micro=1, learning_rate=rate, max_grad_norm=0.0, max_steps=1)
        attach(trainer, recipe).train()
        ends[recipe == text] = trainer.model
    moved = furthest(ends[True], START[torch.float64])
    assert moved > 1e-6
    assert furthest(*ends.values()) < 1e-4 * moved
