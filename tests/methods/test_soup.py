"""The mean over runs, and what is read of the others."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import peft
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.core.run import Run
from holdfast.methods.edits.soup import Soup, greedy_soup, uniform_soup
from holdfast.methods.edits.ties import TIES
from holdfast.methods.other_runs import edited
from holdfast.methods.schedules.train import Train
from holdfast.methods.selection.freeze_bottom import FreezeBottom
from holdfast.methods.selection.lora import LoRA
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import furthest, trainer_for


@pytest.fixture
def runs(tmp_path):
    """Two other runs' folders, one of them in shards, and their models."""
    models = [tiny.tiny(seed=seed) for seed in (21, 22)]
    models[0].save_pretrained(tmp_path / "one")
    models[1].save_pretrained(tmp_path / "two", max_shard_size="10KB")
    assert len(list((tmp_path / "two").glob("model*.safetensors"))) > 1
    return f"{tmp_path}/one, {tmp_path}/two", models


def trained(folder, recipe=None):
    trainer = trainer_for(tiny.tiny(), folder, tiny.rows(16))
    if recipe is not None:
        attach(trainer, recipe)
    trainer.train()
    return trainer.model


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_uniform_soup_is_the_mean_in_numpy(seed, count):
    values = np.random.default_rng(seed).normal(size=(count, 3, 4))
    found = uniform_soup([torch.tensor(value) for value in values])
    np.testing.assert_allclose(found, values.mean(0), rtol=1e-12, atol=1e-15)
    one = torch.tensor(values[0])
    assert torch.equal(uniform_soup([one]), one)


def test_the_mean_is_taken_in_float32():
    weights = [torch.tensor([1.0], dtype=torch.bfloat16), *[torch.tensor([1.0 + 2**-7], dtype=torch.bfloat16)] * 3]
    assert uniform_soup(weights).dtype == torch.bfloat16
    assert uniform_soup(weights).tolist() == [1.0 + 2**-7]


def greedy(points, target):
    """Recipe 1 of the paper in numpy: score is minus the distance from `target`."""
    score = lambda chosen: -np.linalg.norm(np.mean([points[i] for i in chosen], axis=0) - target)  # noqa: E731
    chosen: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: -score([i])):
        if not chosen or score([*chosen, i]) >= score(chosen):
            chosen.append(i)
    return chosen


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_greedy_soup_is_the_papers_recipe_and_never_worse_than_the_best_alone(seed, count):
    generator = np.random.default_rng(seed)
    points, target = generator.normal(size=(count, 3)), generator.normal(size=3)

    def score(weights):
        return -float((weights["w"] - torch.tensor(target)).norm())

    soup, chosen = greedy_soup([{"w": torch.tensor(point)} for point in points], score)
    assert chosen == greedy(points, target)
    np.testing.assert_allclose(soup["w"], points[chosen].mean(0), rtol=1e-12)
    assert score(soup) >= max(score({"w": torch.tensor(point)}) for point in points) - 1e-12


def test_a_score_that_is_no_number_never_joins_and_equal_ones_do():
    models = [{"w": torch.tensor([value])} for value in (1.0, 2.0, math.nan)]
    assert greedy_soup(models, lambda w: float(w["w"]) * 0.0)[1] == [0, 1]
    assert greedy_soup([models[2], models[0]], lambda w: float(w["w"]))[1] == [1]
    with pytest.raises(HoldfastError, match="at least one model"):
        greedy_soup([], float)
    with pytest.raises(HoldfastError, match="the same names"):
        greedy_soup([{"w": torch.ones(1)}, {"v": torch.ones(1)}], float)


def test_a_run_ships_the_mean_with_the_other_runs(tmp_path, runs):
    said, models = runs
    plain, found = trained(tmp_path), dict(trained(tmp_path, Soup(models=said)).named_parameters())
    others = [dict(model.named_parameters()) for model in models]
    for name, p in plain.named_parameters():
        mean = (p + others[0][name] + others[1][name]).detach().numpy() / 3
        np.testing.assert_allclose(found[name].detach(), mean, rtol=0, atol=1e-15)


def test_what_is_frozen_stays_the_bases(tmp_path, runs):
    found = dict(trained(tmp_path, FreezeBottom(share=0.5) + Soup(models=runs[0])).named_parameters())
    for name, p in tiny.tiny().named_parameters():
        assert torch.equal(p, found[name]) is ("layers.0." in name or "embed" in name), name


@pytest.mark.parametrize("other", [Soup, TIES])
def test_merged_an_adapter_meets_whole_models_by_their_plain_names(tmp_path, runs, other):
    said, models = runs
    recipe = Train(ship="merged") + LoRA(rank=2, targets="q_proj,down_proj")
    plain = dict(trained(tmp_path, recipe).named_parameters())
    found = dict(trained(tmp_path, recipe + other(models=said)).named_parameters())
    base = dict(tiny.tiny().named_parameters())
    others = [dict(model.named_parameters()) for model in models]
    for name, p in plain.items():
        if "q_proj" in name or "down_proj" in name:
            three = [x.detach() for x in (p, others[0][name], others[1][name])]
            expected = sum(three) / 3 if other is Soup else _ties(base[name].detach(), three, 0.2)
            torch.testing.assert_close(found[name].detach(), expected, rtol=0, atol=1e-12)
        else:
            assert torch.equal(found[name], base[name])


def _ties(base, tuned, keep):
    """Trim, elect sign and disjoint mean in numpy, entry by entry."""
    deltas = []
    for one in tuned:
        flat = (one - base).numpy().ravel()
        least = np.sort(np.abs(flat))[::-1][int(flat.size * keep) - 1]
        deltas.append(np.where(np.abs(flat) >= least, flat, 0.0))
    merged = np.zeros(base.numel())
    for i, entries in enumerate(zip(*deltas, strict=True)):
        agreeing = [entry for entry in entries if entry * sum(entries) > 0]
        merged[i] = np.mean(agreeing) if agreeing else 0.0
    return base + torch.tensor(merged.reshape(base.shape))


def test_ties_of_other_runs_is_the_papers_merge_of_all_changes(tmp_path, runs):
    said, models = runs
    plain = dict(trained(tmp_path).named_parameters())
    found = dict(trained(tmp_path, TIES(keep=0.3, models=said)).named_parameters())
    base = tiny.tiny()
    others = [dict(model.named_parameters()) for model in models]
    for name, p in base.named_parameters():
        tuned = [x.detach() for x in (plain[name], others[0][name], others[1][name])]
        if p.dim() > 1:  # norms are all ones, and their changes alike
            torch.testing.assert_close(found[name].detach(), _ties(p.detach(), tuned, 0.3), rtol=0, atol=1e-12)
    assert not TIES(keep=1.0, models=said).off


def test_a_run_averaged_with_itself_is_itself(tmp_path):
    plain = trained(tmp_path / "run")
    plain.save_pretrained(tmp_path / "same")
    assert furthest(trained(tmp_path / "run", Soup(models=str(tmp_path / "same"))), plain) < 1e-15


def test_what_is_asked_of_other_runs_are_the_plain_names_of_all_that_trains():
    base = tiny.tiny()
    config = peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head"])
    found = edited(peft.get_peft_model(copy.deepcopy(base), config))
    layers = {f"model.layers.{i}.self_attn.q_proj.weight" for i in (0, 1)}
    assert found.keys() == {"lm_head.weight", *layers}
    assert all(found[name] == p.shape for name, p in base.named_parameters() if name in found)
    assert edited(base) == {name: p.shape for name, p in base.named_parameters()}


def ask(models, model=None):
    for method in (Soup(models=str(models)), TIES(models=str(models))):
        with pytest.raises(HoldfastError) as error:
            method.init_state(Run(model or tiny.tiny(), Mix(()), 0, 0))
        assert str(error.value).startswith(f"{method!r}: ")
        yield str(error.value)


def test_what_cannot_be_merged_is_refused_before_training_and_says_why(tmp_path):
    for said in ask(tmp_path / "nowhere"):
        assert f"there is no folder {tmp_path}/nowhere; give the folder of a model that was saved whole" in said
    for said in ask(tmp_path):
        assert "has no model*.safetensors; give the folder" in said
    (tmp_path / "adapter_config.json").write_text(json.dumps({}), encoding="utf-8")
    for said in ask(tmp_path):
        assert "holds only an adapter; give the folder" in said
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    for said in ask(tmp_path):
        assert "model.safetensors cannot be read (" in said
    tiny.tiny("gpt2").save_pretrained(tmp_path / "gpt2")
    for said in ask(tmp_path / "gpt2"):
        assert "gpt2 has no weight 'model.embed_tokens.weight', only others such as 'transformer.h.0" in said
    tiny.tiny(intermediate_size=8).save_pretrained(tmp_path / "narrow")
    for said in ask(tmp_path / "narrow"):
        assert "'model.layers.0.mlp.gate_proj.weight' is [8, 16] in" in said
        assert "and [24, 16] here; give a run of the same base model" in said
    with pytest.raises(HoldfastError, match=r"Soup\(\) needs other runs: Soup\(models='runs/seed-1, runs/seed-2'\)"):
        Soup(models=" , ")


def test_weights_of_whole_numbers_and_weights_that_have_gone_are_refused_when_they_are_read(tmp_path):
    tensors = {"w": torch.ones(2, dtype=torch.int8), "v": torch.ones(3)}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    method = Soup(models=str(tmp_path))
    for name, said in (("w", "is torch.int8 of"), ("v", r"of \[3\] in"), ("u", "has no weight 'u'")):
        with pytest.raises(HoldfastError, match=said):
            method.edit_weights({}, name, torch.zeros(2), torch.zeros(2))


def test_what_is_no_number_in_another_run_is_not_hidden(tmp_path):
    safetensors.torch.save_file({"w": torch.tensor([1.0, math.nan])}, tmp_path / "model.safetensors")
    found = Soup(models=str(tmp_path)).edit_weights({}, "w", torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16))
    assert found.dtype == torch.bfloat16
    assert found.isnan().tolist() == [False, True]


def test_tied_heads_are_averaged_once(tmp_path):
    start, other = tiny.tiny("gpt2"), tiny.tiny("gpt2", seed=4)
    other.save_pretrained(tmp_path / "other")
    trainer = trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(8), learning_rate=0.0)
    attach(trainer, Soup(models=str(tmp_path / "other"))).train()
    mean = (start.transformer.wte.weight + other.transformer.wte.weight).detach() / 2
    torch.testing.assert_close(trainer.model.lm_head.weight.detach(), mean, rtol=0, atol=1e-15)
    assert trainer.model.lm_head.weight is trainer.model.transformer.wte.weight
