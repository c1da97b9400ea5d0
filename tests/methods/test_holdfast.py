"""Holdfast is what its card says it is the sum of, wherever a method may stand."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re

import pytest
import torch
import transformers

from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.core.mix import Example
from holdfast.methods.edits.ema import EMA
from holdfast.methods.holdfast import Holdfast, short
from holdfast.methods.schedules.train import Train
from holdfast.methods.schedules.wsd import WSD
from holdfast.recipe import parse
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

OLD = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(6, seed=9)]
FORMULAS = re.findall(r"^ +(Holdfast\(.*?\)) += (.*)$", inspect.getdoc(Holdfast), re.MULTILINE)


@pytest.mark.parametrize(("name", "total"), FORMULAS)
def test_it_is_the_sum_that_its_card_says(name, total):
    assert parse(name) == parse(total)
    assert parse(f"Train(lr=0.1) + {name}") == parse(f"Train(lr=0.1) + {total}")


def test_the_card_writes_every_variant():
    said = {parse(name) for name, _ in FORMULAS}
    assert said == {chain(Holdfast(old, prompts=prompts)) for old in ("", "old") for prompts in (False, True)}


@pytest.mark.parametrize("name", [name for name, _ in FORMULAS])
def test_an_adapter_comes_first(name):
    with_adapter = name.replace("()", "(adapter=True)") if name.endswith("()") else f"{name[:-1]}, adapter=True)"
    assert parse(with_adapter) == parse(f"LoRA() + {name}")


def test_it_is_called_by_its_name_where_all_its_parts_are():
    sums = [Holdfast(), Holdfast("old"), Holdfast(adapter=True), Holdfast("a, b", adapter=True)]
    for whole in [*sums, *(dataclasses.replace(each, prompts=True) for each in sums)]:
        assert short(whole.parts()) == (whole,)
        assert short([Train(lr=0.1), *whole.parts(), EMA()]) == (whole, Train(lr=0.1), EMA())
        without_schedule = tuple(part for part in whole.parts() if not isinstance(part, WSD))
        assert short(without_schedule) == without_schedule
    assert short([]) == ()


def test_attached_alone_it_trains_as_its_sum_does(tmp_path):
    model, data = tiny.tiny(seed=3), tiny.rows(12, seed=2)
    ends = []
    for i, recipe in enumerate((Holdfast("old"), chain(Holdfast("old")), repr(chain(Holdfast("old"))))):
        trainer = trainer_for(copy.deepcopy(model), tmp_path / str(i), data, trainer_class=transformers.Trainer)
        attach(trainer, recipe, memories={"old": OLD}).train()
        assert trainer.holdfast_mix.ratios == (0.5,)
        ends.append(dict(trainer.model.named_parameters()))
    assert not any(torch.equal(p, ends[0][name]) for name, p in model.named_parameters() if p.dim() == 2)
    assert all(torch.equal(ends[0][name], end[name]) for end in ends[1:] for name in end)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Holdfast(adapter='lora')", "choose one of False, True"),
        ("Holdfast(memory=3)", "give text"),
        ("Holdfast() + Cosine()", "both let the rate fall"),
        ("Holdfast", r"write Holdfast\(\), with brackets"),
        ("Holdfas()", "Did you mean 'Holdfast'"),
    ],
)
def test_what_makes_no_sense_is_refused(text, message):
    with pytest.raises(HoldfastError, match=message):
        parse(text)
