"""The adapter that AdaLoRA puts on a model, and how it loses rank."""

from __future__ import annotations

import copy

import numpy
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.adapters import adapted, tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run, Step
from holdfast.methods.selection.adalora import AdaLoRA, adalora_budget, kept_triplets, not_orthogonal, triplet_scores
from holdfast.train.attach import attach
from tests.tiny import collate, rows, tiny
from tests.train.retrace import trainer_for


def run_of(model, steps=0):
    return Run(model, Mix(()), 0, steps)


def values(model):
    return {name: p.detach() for name, p in model.named_parameters() if ".lora_E." in name}


def test_the_budget_falls_by_a_cube_from_the_warm_up_to_the_cool_down():
    found = [adalora_budget(t, first=100, last=20, begin=2, end=6) for t in range(1, 9)]
    assert found == [100, 100, int(80 * 0.75**3 + 20), 30, int(80 * 0.25**3 + 20), 20, 20, 20]


def test_a_triplet_is_scored_by_its_value_and_the_means_of_its_row_and_column():
    e, a = torch.tensor([[1.0], [10.0]]), torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 6.0]])
    b = torch.tensor([[2.0, 5.0], [4.0, 7.0]])
    assert triplet_scores(e, a, b).tolist() == [1 + 2 + 3, 10 + 2 + 6]


@given(st.integers(0, 999), st.integers(0, 9))
def test_the_best_of_all_layers_together_are_kept_and_exactly_as_many_as_there_may_be(seed, count):
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.randint(0, 4, (size,), generator=generator).double() for name, size in (("x", 4), ("y", 5))}
    masks = kept_triplets(scores, count)
    assert {name: mask.shape for name, mask in masks.items()} == {"x": (4, 1), "y": (5, 1)}
    inside = torch.cat([scores[name][masks[name][:, 0]] for name in scores])
    outside = torch.cat([scores[name][~masks[name][:, 0]] for name in scores])
    assert len(inside) == count
    assert not len(inside) or not len(outside) or inside.min() >= outside.max()


def test_the_penalty_is_the_formula_and_its_gradient_is_right():
    factors = [torch.randn(3, n, dtype=torch.float64, requires_grad=True) for n in (5, 7)]
    expected = [numpy.linalg.norm(f.detach().numpy() @ f.detach().numpy().T - numpy.eye(3)) for f in factors]
    assert float(not_orthogonal(factors).detach()) == pytest.approx(numpy.mean(expected))
    assert torch.autograd.gradcheck(lambda *f: not_orthogonal(f), factors)
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0][:3].requires_grad_()
    not_orthogonal([rotation]).backward()
    assert float(not_orthogonal([rotation]).detach()) < 1e-12
    assert bool(torch.isfinite(rotation.grad).all())


@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_the_weight_is_the_formula(backbone):
    model = AdaLoRA(rank=2, start=4, alpha=3.0).shape_model(run_of(tiny(backbone)))
    with torch.no_grad():
        for p in trainable(model).values():
            p.add_(torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(p.numel())))
    for one in adapted(model):
        a, e, b = (getattr(one.layers[0], f"lora_{x}")["default"].detach() for x in "AEB")
        change = 3.0 / 4 * b @ torch.diag(e[:, 0]) @ a
        found = one.tuned() - one.param.detach()
        torch.testing.assert_close(found.T if backbone == "gpt2" else found, change, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_rank_that_peft_keeps_as_a_parameter_is_not_trained(dtype):
    names = trainable(AdaLoRA().shape_model(run_of(tiny(dtype=dtype))))
    assert names
    assert all({"lora_A", "lora_B", "lora_E"} & set(name.split(".")) for name in names)


def test_it_chooses_what_peft_chooses_until_the_last_choice():
    method = AdaLoRA(rank=2, start=4, warmup=0.2, cooldown=0.3, every=1)
    model = method.shape_model(run_of(tiny(dtype=torch.float64)))
    with torch.no_grad():
        for p in values(model).values():
            p.normal_(generator=torch.Generator().manual_seed(p.numel()))
    other = copy.deepcopy(model)
    config = other.peft_config["default"]
    config.total_step, config.tinit, config.tfinal, config.deltaT = 10, 2, 3, 1
    config.beta1 = config.beta2 = 0.85
    state = method.init_state(run_of(model, 10))
    for index in range(6):
        for name, p in trainable(model).items():
            generator = torch.Generator().manual_seed(index * 1000 + len(name) + p.numel())
            p.grad = torch.randn(p.shape, dtype=p.dtype, generator=generator)
            other.get_parameter(name).grad = p.grad.clone()
        method.after_step(state, Step(index, 10, {}, trainable(model)))
        other.base_model.update_and_allocate(index + 1)
        for name, e in values(model).items():
            torch.testing.assert_close(e, other.get_parameter(name).detach())
        left = sum(int((e != 0).sum()) for e in values(model).values())
        assert left == (56 if index < 2 else adalora_budget(index + 1, first=56, last=28, begin=2, end=7))


@pytest.mark.parametrize("every", [1, 2, 50])
def test_after_training_every_layer_keeps_rank_triplets_on_average(tmp_path, every):
    trainer = trainer_for(tiny(), tmp_path, rows(40), optim="adamw_torch", learning_rate=0.05, micro=4)
    attach(trainer, AdaLoRA(rank=2, start=4, every=every))
    trainer.train()
    left = [int((e != 0).sum()) for e in values(trainer.model).values()]
    assert sum(left) == 2 * len(left)
    assert len(set(left)) > 1


def test_the_factors_are_drawn_towards_orthonormal_ones_by_the_penalty_alone(tmp_path):
    far = {}
    for weight in (0.0, 5.0):
        trainer = trainer_for(tiny(), tmp_path, rows(40), optim="adamw_torch", learning_rate=0.02, micro=4)
        attach(trainer, AdaLoRA(rank=2, start=4, orthogonality=weight))
        trainer.train()
        layer = [one.layers[0] for one in adapted(trainer.model)]
        far[weight] = float(not_orthogonal([x.lora_A["default"] for x in layer]).detach())
    assert far[5.0] < 0.9 * far[0.0]


def test_peft_adds_nothing_to_the_loss_of_the_model_or_of_its_base():
    base, batch = tiny(), collate(rows(3))
    model = AdaLoRA().shape_model(run_of(copy.deepcopy(base)))
    assert float(model(**batch).loss) == pytest.approx(float(base(**batch).loss), abs=1e-7)
    assert len(tuner_layers(model)) == 14


def test_a_start_that_leaves_nothing_to_drop_is_refused():
    with pytest.raises(HoldfastError, match=r"AdaLoRA\(start=8\): give a start above the rank \(8\), or take LoRA"):
        AdaLoRA(start=8).shape_model(run_of(tiny()))


@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_the_penalty_is_the_one_that_peft_adds(backbone):
    method = AdaLoRA(rank=2, start=4, orthogonality=0.7)
    model, batch = method.shape_model(run_of(tiny(backbone))), collate(rows(3))
    plain = float(model(**batch).loss.detach())
    ours = float(method.penalty({}, Step(0, 1, {}, trainable(model))).detach())
    model.peft_config["default"].orth_reg_weight = 0.7
    assert ours == pytest.approx(float(model(**batch).loss.detach()) - plain, rel=1e-5)
    assert ours > 0.1


class _StopAt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_save = state.global_step == 4


def test_resumed_after_the_last_choice_the_choice_is_still_known(tmp_path):
    def trainer(folder):
        settings = {"optim": "adamw_torch", "learning_rate": 0.05, "micro": 4}
        found = trainer_for(tiny(dtype=torch.float32), tmp_path / folder, rows(24), **settings)
        return attach(found, AdaLoRA(rank=2, start=4, every=50, cooldown=0.5))  # the choice is made at step 3

    whole, stopped, resumed = trainer("whole"), trainer("parts"), trainer("parts")
    whole.train()
    stopped.add_callback(_StopAt())
    stopped.train()
    resumed.train(resume_from_checkpoint=True)
    assert 0 < sum(int((e != 0).sum()) for e in values(resumed.model).values()) == 2 * 14
    for name, e in values(whole.model).items():
        assert torch.equal(e, resumed.model.get_parameter(name))
