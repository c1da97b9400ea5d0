"""What every method of the table promises, whatever it does.

A new line in `holdfast.methods.names` is tested here by itself. Each setting is tried at another value: another choice,
the farther end of its search range, or what `CHANGED` says where that would not show in so short a run.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import functools
import inspect
import itertools
import math
import os
import random
import re
import tempfile

import pytest
import torch
import transformers

from holdfast.core.errors import HoldfastError
from holdfast.core.method import HOOKS, Method, chain
from holdfast.core.mix import Example
from holdfast.core.settings import settings_of
from holdfast.core.sums import clash
from holdfast.methods.adapter import Adapter
from holdfast.methods.gradients.agem import AGEM
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.methods.rehearsal.prompt_rehearsal import PromptRehearsal
from holdfast.methods.rehearsal.refusal_rehearsal import RefusalRehearsal
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.rehearsal.sdft import SDFT
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.methods.schedules.train import Train
from holdfast.methods.schedules.wsd import WSD
from holdfast.methods.selection.dora import DoRA
from holdfast.methods.selection.lora import LoRA
from holdfast.methods.selection.qlora import QLoRA
from holdfast.methods.table import METHODS
from holdfast.recipe import parse
from holdfast.train import checkpoint
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import furthest, trainer_for

OTHER_RUNS = tempfile.TemporaryDirectory()
for _name, _seed in (("one", 21), ("two", 22)):
    tiny.tiny(seed=_seed).save_pretrained(f"{OTHER_RUNS.name}/{_name}")

# Another value for settings, and the method to stand beside where one alone shows nothing.
CHANGED = {
    "Train": {"lr": 0.02, "epochs": 2, "batch": 4, "weight_decay": 0.3, "clip": 0.1, "base_cache": 1.0},
    "Cosine": {"floor": 0.5},
    "Warmup": {"ratio": 1.0},
    "Finch": {"decay": 0.2, "cap": 0.3},
    "WSD": {"warmup": 0.4, "floor": 0.5},
    "TokenQuality": {"base": 0.1, "floor": 0.9, "decay": 0.1},
    "LoRAPlus": {"times": 4.0},
    "DFT": {"on": "all"},
    "EAFT": {"top": 5, "power": 2.0, "on": "all"},
    "ASFT": {"anchor": 2.0, "on": "all"},
    "FLOW": {"temperature": 9.0, "on": "all"},
    "TALR": {"floor": 0.5, "on": "all"},
    "LowPerplexity": {"threshold": 90.0, "on": "all"},
    "TokenForgetting": {"keep": 0.4, "peak": 0.9, "share": 0.6, "on": "all"},
    "MoFO": {"keep": 0.4, "decay": 0.2},
    "AGEM": {"memory": "older, old", "samples": 2},
    "OrthogonalProjection": {"memory": "older, old", "threshold": 0.6, "samples": 2},
    "WiSEFT": {"alpha": 0.2},
    "TaskVector": {"scale": 1.5},
    "FAPM": {"keep": 0.3, "relative": 0.0},
    "TIES": {"keep": 0.5, "scale": 0.5, "models": f"{OTHER_RUNS.name}/one"},
    "DARE": {"keep": 0.6, "seed": 7},
    "MaskTheTarget": {"strength": 4.0, "certain": 0.9999, "on": "memory"},
    "BaseKL": {"strength": 4.0},
    "BaseMSE": {"strength": 4.0},
    "BaseL2": {"strength": 4.0},
    "EWC": {"strength": 40.0, "memory": "older, old", "samples": 3},
    "Rehearsal": {"memory": "older, old", "ratio": 0.6},
    "SelfRehearsal": {
        "ratio": 0.6,
        "count": 3,
        "temperature": 0.3,
        "top_p": 0.5,
        "length": 5,
        "repeat": 0.0,
        "similar": 0.0,
    },
    "RefusalRehearsal": {"length": 3},
    "PromptRehearsal": {"ratio": 0.7, "length": 3, "repeat": 1.0},
    "SDFT": {"top_p": 0.2, "length": 3, "repeat": 0.0},
    "OnPolicySDFT": {"rate": 0.9, "length": 3, "skip": 1},
    "ConflictDecay": {"memory": "older", "every": 2, "share": 0.5, "decay": 0.9, "batch": 3, "samples": 2},
    "FreezeBottom": {"share": 0.3},
    "HFT": {"share": 0.25, "seed": 7},
    "LISA": {"layers": 3, "interval": 10, "seed": 7},
    "EMA": {"decay": 0.05},
    "Soup": {"models": f"{OTHER_RUNS.name}/one, {OTHER_RUNS.name}/two"},
    "IntruderReduction": {"top": 3, "scale": 0.2},
    "LoRA": {"rank": 3, "alpha": 1.0, "dropout": 0.5, "targets": "q_proj,down_proj", "init": "pissa"},
    "LoRANull": {"memory": "older", "rank": 3, "alpha": 1.0, "dropout": 0.5, "targets": "mlp", "samples": 1},
    "CorDA": {"memory": "older", "rank": 3, "alpha": 1.0, "dropout": 0.5, "targets": "mlp", "samples": 1},
    "OSF": {"keep": 0.25, "targets": "mlp"},
    "DoRA": {"rank": 3, "alpha": 1.0, "dropout": 0.5, "targets": "mlp"},
    "VeRA": {"rank": 8, "initial": 0.5, "dropout": 0.5, "targets": "mlp"},
    "OFT": {"block": 4, "targets": "mlp"},
    "AdaLoRA": {
        "rank": 2,
        "start": 14,
        "alpha": 1.0,
        "dropout": 0.5,
        "targets": "mlp",
        "warmup": 0.5,
        "cooldown": 0.0,
        "every": 1,
        "decay": 0.01,
    },
    "QLoRA": {"rank": 3, "alpha": 3.0, "dropout": 0.5, "targets": "mlp", "clip": 0.01},
}
BESIDE = {
    ("Train", "teacher"): MaskTheTarget(),
    ("Train", "reference"): MaskTheTarget(),
    ("Train", "ship"): LoRA(rank=2),
    ("Train", "base_cache"): LoRA(rank=2) + MaskTheTarget(),
    ("BaseKL", "task_loss"): Rehearsal("old", ratio=0.4),
    ("LoRAPlus", "times"): LoRA(rank=2),
}
EDITED_WHOLE = {cls for cls in METHODS if issubclass(cls, Adapter)} - {LoRA}
"""Adapters that cannot hold an edited weight, and say so: they are merged."""
NOT_COUNTED = {"AdaLoRA": 2, "MoFO": 1, "OnPolicySDFT": 1, "OSF": 1}
"""What the states of these hold for each parameter that trains, and the estimate of memory does not count yet."""
IN_TURN = ("mix_data", "shape_model", "renew_batches", "edit_grads", "edit_update", "after_step", "edit_weights")
PAIRS_SEED = 0
"""Of the pairs of methods of `make test`, the same every day."""
TODAY = int(os.environ.get("HOLDFAST_PAIRS_SEED", datetime.datetime.now(datetime.UTC).date().toordinal()))
"""Of those that `make test-all` adds, others each day."""

MEMORIES = {
    name: [Example(row["input_ids"], row["labels"]) for row in tiny.rows(7, seed=seed)]
    for name, seed in (("old", 3), ("older", 4))
}
TOKENIZER = tiny.tokenizer()
TOKENIZER.chat_template = "{% for m in messages %}<s> {{ m['content'] }} </s>{% endfor %}"
START = {dtype: tiny.tiny(dtype=dtype) for dtype in (torch.float64, torch.float32, torch.bfloat16)}
DATA, UNSEEN = tiny.rows(24), tiny.rows(9, seed=11)

every_class = pytest.mark.parametrize("cls", METHODS, ids=lambda cls: cls.__name__)


GIVEN = {"Soup": {"models": f"{OTHER_RUNS.name}/one"}}
"""What a method cannot do without and only these tests have."""


def sample(cls, **settings):
    """A method as it comes, with what it needs."""
    return cls.example(**{**GIVEN.get(cls.__name__, {}), **settings})


def another(cls, name):
    """Another value for a setting: what `CHANGED` says, another choice, or the farther end of its search range."""
    told = CHANGED.get(cls.__name__, {})
    if name in told:
        return told[name]
    about, default = settings_of(cls)[name], next(f.default for f in dataclasses.fields(cls) if f.name == name)
    if about.choices:
        return next(choice for choice in about.choices if choice != default)
    assert about.search, f"say another value for {cls.__name__}({name}=...), by a search range or in CHANGED"
    end = max(about.search, key=lambda end: abs(math.log(end / default) if about.log else end - default))
    return int(end) if about.integer else float(end)


def changed(cls):
    """Another value for every setting of a method."""
    return {name: another(cls, name) for name in settings_of(cls)}


every_method = pytest.mark.parametrize(
    "method", [sample(cls) for cls in METHODS], ids=lambda method: type(method).__name__
)
every_setting = pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, name) for cls in METHODS for name in settings_of(cls)],
    ids=lambda x: getattr(x, "__name__", x),
)


def trainer_of(folder, recipe, *, model=None, dtype=torch.float64, **changes):
    if recipe is not None and has(recipe, QLoRA):
        pytest.importorskip("bitsandbytes")
    trainer = trainer_for(copy.deepcopy(model or START[dtype]), folder, DATA, **changes)
    trainer.processing_class = TOKENIZER
    return trainer if recipe is None else attach(trainer, recipe, memories=MEMORIES)


def train(folder, recipe, **changes):
    trainer = trainer_of(folder, recipe, **changes)
    trainer.train()
    return trainer


def has(recipe, cls):
    return any(isinstance(part, cls) for part in recipe.parts())


def same(model, other):
    one, two = model.state_dict(), other.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def finite(trainer):
    return all(torch.isfinite(p).all() for p in trainer.model.parameters())


# What a method is.


@every_class
def test_it_is_frozen(cls):
    method = sample(cls)
    assert cls.__dataclass_params__.frozen
    for field in dataclasses.fields(cls):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(method, field.name, getattr(method, field.name))


@every_class
def test_its_text_is_read_back(cls):
    for settings in ({}, *({name: value} for name, value in changed(cls).items()), changed(cls)):
        method = sample(cls, **settings)
        assert parse(repr(method)).parts() == (method,)


@every_class
def test_it_acts_somewhere_or_sets_the_run_and_only_at_hooks(cls):
    acts = {hook for hook in HOOKS if getattr(cls, hook) is not getattr(Method, hook)}
    assert acts or cls.__name__ == "Train"
    for name, what in vars(cls).items():
        if inspect.isfunction(what) and not name.startswith("_"):
            assert name in HOOKS, f"{cls.__name__}.{name} is no hook: make it a function of its module"


@every_class
def test_its_card_is_complete(cls):
    doc = inspect.getdoc(cls)
    about, *rest = re.split(r"^(Args|Reference|Confidence|Cost|Departs):\n", doc, flags=re.MULTILINE)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    assert re.match(r"[A-Z][^\n]*(\n[^\n]+)?\.\n", about), "begin with one sentence"
    assert re.search(r"^    .*(=|<-)", about, flags=re.MULTILINE), "the formula stands indented"
    assert list(sections) == ["Args", "Reference", "Confidence", "Cost", "Departs"]
    assert re.findall(r"^    (\w+): ", sections["Args"], flags=re.MULTILINE) == [
        f.name for f in dataclasses.fields(cls)
    ]
    reference = " ".join(sections["Reference"].split())
    assert re.search(r"arXiv \d{4}\.\d{4,5}", reference) or reference.startswith("None")
    assert re.match(r"(text|code|note|memory|own): [A-Z].*\.$", " ".join(sections["Confidence"].split()))
    cost = " ".join(sections["Cost"].split())
    assert re.match(r"[A-Z][^.]{1,40}\.( |$)", cost), f"the first sentence goes into a table: {cost}"
    assert sections["Departs"].strip()
    assert re.match(r"[A-Z][^\n]+: .*\.", inspect.getdoc(inspect.getmodule(cls))), "the file says what it is"


@every_class
def test_every_field_is_a_setting_with_a_unit_and_another_value(cls):
    fields = {field.name: field.default for field in dataclasses.fields(cls)}
    assert set(settings_of(cls)) == set(fields) >= set(CHANGED.get(cls.__name__, {}))
    for name, about in settings_of(cls).items():
        assert about.unit
        assert another(cls, name) != fields[name]
        if name in ("strength", "memory"):
            assert about.role == name, "its role is what others read"
        if about.search and about.log:
            assert 0 < about.search[0] < about.search[1]


def bad_values(about):
    if about.choices:
        return [("nonsense", "choose one of " + ", ".join(map(repr, about.choices)))]
    if about.low is None and about.high is None:
        return [(3, "give text")]
    ends = f"of at least {about.low:g}" if about.high is None else f"from {about.low:g} to {about.high:g}"
    message = ends + ("" if about.unit == "1" else f" ({about.unit})")
    bad = ["much", True, float("nan"), float("inf"), about.low - 1] + (
        [about.high + 1] if about.high is not None else []
    )
    return [(value, message) for value in bad + ([about.low + 0.5] if about.integer else [])]


@every_setting
def test_a_bad_value_is_refused_with_the_range(cls, name):
    for value, message in bad_values(settings_of(cls)[name]):
        with pytest.raises(HoldfastError, match=re.escape(f"{cls.__name__}({name}={value!r}): ")) as error:
            sample(cls, **{name: value})
        assert message in str(error.value)


# What a method does in a run.


@pytest.mark.parametrize(
    "method",
    [sample(cls, **{name: 0.0}) for cls in METHODS for name in ("strength", "ratio") if name in settings_of(cls)],
    ids=repr,
)
def test_switched_off_it_leaves_plain_training_to_the_bit(tmp_path, method):
    assert method.off
    plain, off = train(tmp_path, None), train(tmp_path, method)
    assert same(plain.model, off.model)
    assert furthest(plain.model, START[torch.float64]) > 1e-3


@every_method
def test_the_same_seed_gives_the_same_bits_and_one_object_carries_nothing_from_run_to_run(tmp_path, method):
    first = train(tmp_path, method, micro=4)
    again = train(tmp_path, method, micro=4)
    fresh = train(tmp_path, parse(repr(method)), micro=4)
    assert same(first.model, again.model)
    assert same(first.model, fresh.model)
    assert furthest(first.model, again.model) == 0.0
    logged = [[row.get("loss") for row in run.state.log_history] for run in (first, again, fresh)]
    assert logged[0] == logged[1] == logged[2]


@every_method
def test_it_does_not_care_about_accumulation(tmp_path, method):
    if isinstance(method, QLoRA):  # a mask falls on a batch
        method = dataclasses.replace(method, dropout=0.0)
    whole = train(tmp_path, method, micro=8, accumulate=1)
    parts = train(tmp_path, method, micro=2, accumulate=4)
    assert whole.state.global_step == parts.state.global_step >= 3
    # Where the trainer keeps its own loss, transformers takes it in float32, and a method that reads it sees that.
    reads_float32 = method.means and not whole.holdfast.owns_forward
    limit = 1e-5 if has(method, QLoRA) else 1e-8 if reads_float32 else 1e-10  # four bits are unpacked into float32
    assert furthest(whole.model, parts.model) < limit


class _StopAt(transformers.TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_save = state.global_step == self.step


@every_method
def test_resumed_it_goes_on_as_if_it_had_not_stopped(tmp_path, method):
    if isinstance(method, (LoRA, DoRA)):
        method = dataclasses.replace(method, rank=2, dropout=0.4)
    settings = {"dtype": torch.float32, "micro": 4, "accumulate": 1, "optim": "adamw_torch", "learning_rate": 0.01}
    whole = train(tmp_path / "whole", method, **settings)
    stopped = trainer_of(tmp_path / "parts", method, save_strategy="steps", save_steps=100, **settings)
    stopped.add_callback(_StopAt(2))
    stopped.train()
    resumed = trainer_of(tmp_path / "parts", method, save_strategy="steps", save_steps=100, **settings)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == whole.state.global_step > stopped.state.global_step == 2
    assert same(whole.model, resumed.model)
    states = [checkpoint.flatten(run.holdfast.state) for run in (whole, resumed)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@every_method
def test_it_stays_finite_on_bfloat16_weights(tmp_path, method):
    trainer = train(tmp_path, method, dtype=torch.bfloat16, optim="adamw_torch", learning_rate=0.01)
    assert finite(trainer)
    assert all(row["loss"] == row["loss"] for row in trainer.state.log_history if "loss" in row)
    assert any(p.dtype == torch.bfloat16 for p in trainer.model.parameters())


@every_method
def test_it_is_silent_at_evaluation(tmp_path, method):
    plain = trainer_of(tmp_path, None).evaluate(UNSEEN)
    trainer = trainer_of(tmp_path, method)
    before = trainer.evaluate(UNSEEN)
    # An adapter that adds zero may still round otherwise; nothing else touches the forward.
    tolerance = 0.3 if has(method, QLoRA) else 1e-6 if method.uses("shape_model") else 0.0
    assert before["eval_loss"] == pytest.approx(plain["eval_loss"], rel=tolerance, abs=0.0)
    trainer.train()
    after = trainer.evaluate(UNSEEN)
    assert after["eval_loss"] == trainer_of(tmp_path, None, model=trainer.model).evaluate(UNSEEN)["eval_loss"]
    assert after["eval_loss"] != before["eval_loss"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Trains a recipe once, however often it is asked for."""
    found = {}

    def outcome(recipe, model=None):
        key = (repr(recipe), id(model))
        if key not in found:
            found[key] = train(tmp_path_factory.mktemp("run"), recipe, model=model, micro=4, accumulate=2)
        return found[key]

    return outcome


@pytest.fixture(scope="module")
def trained_adapter(tmp_path_factory):
    return train(tmp_path_factory.mktemp("adapter"), LoRA(rank=2), max_steps=2).model


@every_setting
def test_every_setting_changes_what_happens(outcomes, trained_adapter, cls, name):
    if cls is RefusalRehearsal:
        pytest.skip("it acts on chat models alone: tests/methods/test_refusal_rehearsal.py")
    model = trained_adapter if name == "reference" else None
    beside = BESIDE.get((cls.__name__, name))
    if settings_of(cls)[name].role == "tokens":  # which tokens shows where there are two kinds
        beside = Rehearsal("old", ratio=0.4)
    own = {**({"ratio": 0.3} if cls is Rehearsal and name == "memory" else {})}
    if cls is SelfRehearsal and name in ("repeat", "similar", "top_p"):  # a model that turns in circles
        own |= {"count": 24, "length": 16, "form": "text", "temperature": 0.1}
    own |= {"length": 24} if cls is PromptRehearsal and name == "repeat" else {}
    if cls is SDFT and name == "repeat":
        own |= {"length": 24, "temperature": 0.3, "top_p": 1.0}
    own |= {"samples": 1} if cls is AGEM and name == "memory" else {}  # few enough to be at odds with
    own |= {"cooldown": 0.9} if cls is WSD and name in ("floor", "shape") else {}  # the run has three steps
    methods = [sample(cls, **own), sample(cls, **{**own, name: another(cls, name)})]
    if name == "teacher":
        # Every form of the base gives the same weights (tests/methods/test_train.py), so look at the form.
        methods = [method + LoRA(rank=2) for method in methods]
    one, other = (outcomes(method if beside is None else method + beside, model) for method in methods)
    if name == "near":  # what is said of a memory changes what is said of the result
        assert one.holdfast_mix.nears != other.holdfast_mix.nears
    elif name == "base_cache":
        kept = [trainer.holdfast.forward.comparison.kept for trainer in (one, other)]
        assert [cache is None for cache in kept] == [True, False]
    elif name == "teacher":
        assert (one.holdfast_teacher.form, other.holdfast_teacher.form) == ("adapters off", "copy")
    else:
        assert not same(one.model, other.model)
    assert finite(other)


@every_method
def test_its_state_is_as_large_as_it_declares(outcomes, method):
    trainer = outcomes(method)
    held = sum(tensor.numel() for tensor in checkpoint.flatten(trainer.holdfast.state).values())
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    assert round(held / trained) == method.state_per_parameter + NOT_COUNTED.get(type(method).__name__, 0)


# What methods do together.


@functools.cache
def pairs(seed):
    """Thirty unordered pairs of methods that may stand together; all while there are no more."""
    found = []
    for one, other in itertools.combinations_with_replacement(METHODS, 2):
        edits_four_bits = QLoRA in (one, other) and one.edit_weights is not other.edit_weights
        if not clash(one, other) and not edits_four_bits:
            found.append((one, other))
    random.Random(seed).shuffle(found)
    return found[:30]


def commute(one, other):
    return not any(one.uses(hook) and other.uses(hook) for hook in IN_TURN)


@pytest.mark.parametrize("number", range(30))
@pytest.mark.parametrize("seed", [PAIRS_SEED, pytest.param(TODAY, id="today", marks=pytest.mark.slow)])
def test_it_composes_with_every_other_in_either_order(tmp_path, seed, number):
    if number >= len(pairs(seed)):
        pytest.skip(f"there are {len(pairs(seed))} pairs")
    one, other = (sample(cls) for cls in pairs(seed)[number])
    if isinstance(other, Rehearsal) and isinstance(one, Rehearsal):
        other = Rehearsal("older", ratio=0.2)
    said = f"{one!r} + {other!r} (HOLDFAST_PAIRS_SEED={seed})"
    beside = chain()
    if {type(one), type(other)} & EDITED_WHOLE and (one + other).uses("edit_weights"):
        beside = chain(Train(ship="merged"))
    forth = train(tmp_path, beside + one + other, max_steps=2, micro=4)
    assert finite(forth), said
    if one == other:
        return
    back = train(tmp_path, beside + other + one, max_steps=2, micro=4)
    assert finite(back), said
    if commute(one, other):  # up to rounding: three terms added in another order
        assert furthest(forth.model, back.model) < 1e-12, said


def test_excluded_pairs_are_refused_in_either_order():
    refused = 0
    for one, other in itertools.product(METHODS, repeat=2):
        reason = clash(one, other)
        if reason:
            refused += 1
            with pytest.raises(HoldfastError, match=re.escape(reason)):
                chain(sample(one), sample(other))
    assert refused >= 7


def test_all_methods_that_may_stand_together_do(tmp_path):
    recipe = chain()
    for cls in METHODS:
        if not any(clash(cls, type(part)) for part in recipe.parts()):
            recipe = recipe + sample(cls)
    trainer = train(tmp_path, recipe, micro=4)
    assert len(recipe.parts()) >= 7
    assert finite(trainer)
