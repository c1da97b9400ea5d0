"""What every method that trains an adapter promises besides the contract."""

from __future__ import annotations

import copy
import dataclasses
import re

import peft
import pytest
import torch
import transformers

from holdfast.core.adapters import tuner_layers
from holdfast.core.batches import collate as put_together
from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.core.mix import Example, Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.methods.adapter import Adapter, target_names
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.methods.schedules.train import Train
from holdfast.methods.selection.adalora import AdaLoRA
from holdfast.methods.selection.corda import CorDA
from holdfast.methods.selection.dora import DoRA
from holdfast.methods.selection.lora import LoRA
from holdfast.methods.selection.lora_null import LoRANull
from holdfast.methods.selection.oft import OFT
from holdfast.methods.selection.osf import OSF
from holdfast.methods.selection.vera import VeRA
from holdfast.methods.table import METHODS
from holdfast.train.attach import attach
from tests.tiny import BACKBONES, collate, rows, tiny
from tests.train.retrace import trainer_for

pytestmark = pytest.mark.matrix(3)

KINDS = {
    "lora": LoRA(rank=2),
    "root": LoRA(rank=2, scaling="root"),
    "orthogonal": LoRA(rank=2, init="orthogonal"),
    "pissa": LoRA(rank=2, init="pissa"),
    "olora": LoRA(rank=2, init="olora"),
    "dora": DoRA(rank=2),
    "vera": VeRA(rank=8),
    "oft": OFT(block=4),
    "adalora": AdaLoRA(rank=2, start=4, every=2),
    "null": LoRANull("old", rank=2),
    "corda": CorDA("old", rank=2),
    "osf": OSF(),
}
"""Each adapter in each of the ways in which it begins; those that are not told here, as they come."""
KINDS |= {
    cls.__name__: cls.example()
    for cls in METHODS
    if issubclass(cls, Adapter) and cls.__name__ != "QLoRA" and cls not in map(type, KINDS.values())
}
every_kind = pytest.mark.parametrize(
    ("method", "moves"), [(method, method.moves) for method in KINDS.values()], ids=KINDS
)
NO_CONV1D = ("OFT", "OSF")
FILLS_EXPERTS = ("LoRA", "DoRA", "QLoRA", "LoRANull", "CorDA")
"""Those that PEFT would put on stacked experts too where "all-linear" is asked for."""
BATCH = collate(rows(4, seed=5))
OLD = {"old": [Example(row["input_ids"], row["labels"]) for row in rows(6, seed=3)]}


def logits(model):
    model.eval()
    with torch.no_grad():
        return model(input_ids=BATCH["input_ids"], attention_mask=BATCH["attention_mask"]).logits


def attached(folder, recipe, base):
    trainer = trainer_for(copy.deepcopy(base), folder, rows(24), optim="adamw_torch", learning_rate=0.02, micro=4)
    return attach(trainer, recipe, memories=OLD)


def shaped(method, model, seed=0):
    def batches(examples, size):
        yield put_together(examples, 0)

    return method.shape_model(Run(model, Mix(()), seed, 0, OLD.__getitem__, batches))


def suits(method, backbone, targets):
    """Whether a method can be put on a model: what it does not suit it must refuse."""
    cls = type(method).__name__
    plain = cls == "LoRA" and method.init == "default"
    if backbone == "gpt2":
        return cls not in NO_CONV1D
    if backbone == "mixtral" and targets != "attention":
        return plain or (targets == "all-linear" and cls not in FILLS_EXPERTS)
    return True


@every_kind
@pytest.mark.parametrize("leash", [MaskTheTarget(), BaseKL()], ids=repr)
def test_the_base_seen_through_the_teacher_is_the_untouched_model_before_and_after_training(
    tmp_path, method, moves, leash
):
    base = tiny(dtype=torch.float32)
    untouched = logits(base)
    trainer = attached(tmp_path, method + leash, base)
    host = trainer.holdfast_host
    ship, host.ship = host.ship, lambda: None
    assert trainer.holdfast_teacher.form == ("start adapter" if moves else "adapters off")
    torch.testing.assert_close(logits(trainer.model), untouched, rtol=0, atol=1e-4)
    with trainer.holdfast_teacher.base(trainer.model):
        torch.testing.assert_close(logits(trainer.model), untouched, rtol=0, atol=1e-4 if moves else 0.0)
    trainer.train()
    with trainer.holdfast_teacher.base(trainer.model):
        torch.testing.assert_close(logits(trainer.model), untouched, rtol=0, atol=1e-4 if moves else 0.0)
    assert float((logits(trainer.model) - untouched).abs().max()) > 1e-2
    ship()
    with trainer.model.disable_adapter():
        torch.testing.assert_close(logits(trainer.model), untouched, rtol=0, atol=1e-4 if moves else 0.0)


@every_kind
def test_every_trained_weight_moves_and_no_other(tmp_path, method, moves):
    trainer = attached(tmp_path, chain(method), tiny(dtype=torch.float32))
    start = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    learns = set(trainable(trainer.model))
    after = {}
    trainer.holdfast_host.ship = lambda: after.update(
        {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    )
    trainer.train()
    assert learns
    still = {name for name in learns if ".lora_E." in name and not after[name].any()}  # AdaLoRA dropped it whole
    assert {name for name, p in after.items() if not torch.equal(p, start[name])} == learns - still


@every_kind
@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_what_is_shipped_is_read_by_plain_peft_and_gives_the_same_logits(tmp_path, method, moves, backbone):
    base = tiny(backbone, dtype=torch.float32)
    untouched = copy.deepcopy(base)
    if not suits(method, backbone, "all-linear"):
        with pytest.raises(HoldfastError, match="does not support these layers"):
            attached(tmp_path, chain(method), base)
        return
    trainer = attached(tmp_path, chain(method), base)
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "shipped")
    again = peft.PeftModel.from_pretrained(untouched, tmp_path / "shipped")
    torch.testing.assert_close(logits(again), logits(trainer.model), rtol=0, atol=5e-5)


@every_kind
@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_merged_it_computes_the_same(tmp_path, method, moves, backbone):
    found = {}
    for ship in ("adapter", "merged") if suits(method, backbone, "all-linear") else ():
        trainer = attached(tmp_path / ship, Train(ship=ship) + method, tiny(backbone, dtype=torch.float32))
        trainer.train()
        found[ship] = trainer.model
    if not found:
        return
    assert not tuner_layers(found["merged"])
    torch.testing.assert_close(logits(found["merged"]), logits(found["adapter"]), rtol=0, atol=1e-4)


@every_kind
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("targets", ["all-linear", "mlp", "attention"])
def test_it_suits_every_model_or_says_what_it_does_not_suit_and_leaves_it_alone(method, moves, backbone, targets):
    base = tiny(backbone, dtype=torch.float32)
    untouched, names = logits(base), [name for name, _ in base.named_parameters()]
    method = dataclasses.replace(method, targets=targets)
    if not suits(method, backbone, targets):
        with pytest.raises(HoldfastError, match=re.escape(repr(method))):
            shaped(method, base)
        torch.testing.assert_close(logits(base), untouched, rtol=0, atol=0)
        assert [name for name, _ in base.named_parameters()] == names
        return
    model = shaped(method, base)
    adapted = {name for name, m in model.named_modules() if isinstance(getattr(m, "_disable_adapters", None), bool)}
    assert adapted
    part = {"mlp": "mlp.", "attention": "attn."}.get(targets, "")
    assert all(part in name and "lm_head" not in name for name in adapted)
    torch.testing.assert_close(logits(model), untouched, rtol=0, atol=1e-4)


@every_kind
def test_the_seed_of_the_run_alone_decides_the_start(method, moves):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    one = shaped(method, tiny(dtype=torch.float32), seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    same = shaped(method, tiny(dtype=torch.float32), seed=7)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True))


@every_kind
def test_a_second_adapter_and_an_adapter_on_nothing_are_refused(method, moves):
    cls = type(method).__name__
    with pytest.raises(HoldfastError, match=rf"{cls}\(.*: the model already has an adapter; merge it first"):
        shaped(method, shaped(LoRA(rank=2), tiny(dtype=torch.float32)))
    for targets in ("", " , "):
        with pytest.raises(HoldfastError, match=rf"{cls}\(\) needs targets"):
            dataclasses.replace(method, targets=targets)
    with pytest.raises(HoldfastError, match="no module of LlamaForCausalLM ends in nope; its linear layers are"):
        shaped(dataclasses.replace(method, targets="nope"), tiny(dtype=torch.float32))


def test_an_adapter_is_what_takes_the_slot_of_one_and_a_second_is_refused_at_once():
    kinds = {cls for cls in METHODS if cls.slot == "adapter"}
    assert kinds == {cls for cls in METHODS if issubclass(cls, Adapter)} >= set(map(type, KINDS.values()))
    assert {name for name, method in KINDS.items() if method.moves} == {"pissa", "olora", "corda"}
    with pytest.raises(HoldfastError, match=r"LoRA\(\) \+ OSF\(\): a model takes one adapter at a time"):
        LoRA() + OSF()


def test_the_parts_of_a_model_are_told_by_the_names_of_its_layers():
    assert [n for n in target_names(tiny("gpt2"), "mlp") if ".0." in n] == [
        "transformer.h.0.mlp.c_fc",
        "transformer.h.0.mlp.c_proj",
    ]
    assert [n.split(".")[-1] for n in target_names(tiny("phi3"), "attention")] == ["o_proj", "qkv_proj"] * 2


class _StopAt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_save = state.global_step == 2


@every_kind
def test_resumed_it_goes_on_to_the_bit(tmp_path, method, moves):
    base = tiny(dtype=torch.float32)
    whole = attached(tmp_path / "whole", chain(method), base)
    whole.train()
    stopped, resumed = (attached(tmp_path / "parts", chain(method), base) for _ in range(2))
    stopped.add_callback(_StopAt())
    stopped.args.save_strategy, stopped.args.save_steps = "steps", 100
    stopped.train()
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == whole.state.global_step > 2
    one, other = whole.model.state_dict(), resumed.model.state_dict()
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
