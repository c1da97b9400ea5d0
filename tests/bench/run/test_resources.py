"""What a run will do and hold, said beforehand: counts are exact, settings are those of the trainer."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import ClassVar

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from holdfast.bench.given.loading import load_model
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run import estimate as estimating
from holdfast.bench.run import resources as resourcing
from holdfast.bench.run.arguments import micro_batch_rows, training_arguments
from holdfast.bench.run.estimate import GB, estimate, stays_frozen
from holdfast.bench.run.resources import schedule_of
from holdfast.bench.run.run import train
from holdfast.core.errors import HoldfastError
from holdfast.core.free_memory import free_memory
from holdfast.core.method import Method, chain
from holdfast.core.narrow_linear import NarrowLinear
from holdfast.recipe import parse
from tests import tiny


@given(batch=st.integers(1, 200), most=st.integers(1, 64))
def test_rows_at_once_are_the_most_that_divide_a_step(batch, most):
    rows = micro_batch_rows(batch, most)
    assert batch % rows == 0
    assert rows <= most
    assert not any(batch % more == 0 for more in range(rows + 1, min(batch, most) + 1))


@pytest.mark.parametrize(
    ("recipe", "frozen"),
    [
        ("LoRA()", True),
        ("LoRA(init='orthogonal') + MaskTheTarget()", True),
        ("QLoRA()", True),
        ("LoRA(init='pissa')", False),
        ("LoRA() + Train(ship='merged')", False),
        ("OSF()", False),
        ("CorDA(memory='old')", False),
        ("MaskTheTarget()", False),
        ("FreezeBottom()", False),
    ],
)
def test_a_model_stays_frozen_where_an_adapter_alone_is_trained_and_shipped(recipe, frozen):
    assert stays_frozen(parse(recipe), "org/model") is frozen


def big(**changes):
    """The shape of a model of 8 billion parameters."""
    shape = {
        "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "dtype": "bfloat16",
    }  # fmt: skip
    return transformers.LlamaConfig(**{**shape, **changes})


def needs(recipe, tmp_path, config=None, rows=1, **training):
    spec = RunSpec(model="org/big", data="d", recipe=recipe, batch_size=rows, training=training)
    parsed = parse(recipe)
    return estimate("org/big", config or big(), parsed, training_arguments(spec, parsed, tmp_path), 512)


def test_full_training_of_8b_needs_its_weights_four_times_and_an_adapter_its_16_bits(tmp_path):
    full = needs("MaskTheTarget()", tmp_path)
    assert full.parameters == full.trained == 8030261248
    exact = {"weights": 4, "gradients": 4, "optimizer": 8, "copies": 4}
    assert {name: full.parts[name] / full.parameters for name in exact} == exact
    assert 160 * GB < full.total < 180 * GB
    small = needs("LoRA()", tmp_path)
    assert small.narrow == "bfloat16"
    assert small.trained == 41943040
    assert 18 * GB < small.parts["weights"] < 19 * GB
    assert small.total < 28 * GB
    assert needs("LoRA()", tmp_path, big(dtype="float32")).parts["weights"] > 32 * GB


def test_each_setting_that_costs_memory_is_counted(tmp_path):
    plain = needs("Train()", tmp_path)
    assert plain.parts["copies"] == 0
    four = needs("Train()", tmp_path, rows=4).parts["activations"]
    assert four == pytest.approx(4 * plain.parts["activations"], rel=1e-3)
    assert needs("Train()", tmp_path, gradient_checkpointing=True).parts["activations"] < plain.parts["activations"] / 8
    assert needs("Train()", tmp_path, optim="sgd").parts["optimizer"] == 0
    whole = needs("Train()", tmp_path, label_smoothing_factor=0.1)  # a loss that is not computed in chunks
    assert whole.parts["logits"] == 512 * 128256 * 12
    assert needs("LoRA()", tmp_path).parts["logits"] < whole.parts["logits"] / 2
    head = 4 * 128256 * 4096  # its gradient, which the chunked loss computes beside the others
    assert plain.parts["logits"] == pytest.approx(head + needs("LoRA()", tmp_path).parts["logits"])
    assert needs("LoRA() + MaskTheTarget()", tmp_path).parts["logits"] < whole.parts["logits"]
    assert needs("WiSEFT()", tmp_path).parts["copies"] == 4 * plain.trained


@pytest.mark.parametrize(("batch", "stay"), [(16, True), (8, False), (2, False)])
def test_gradients_stay_where_the_rows_of_a_step_take_several_forwards(batch, stay, tmp_path):
    need = needs(f"Train(batch={batch})", tmp_path, big(num_hidden_layers=1), rows=8)
    whole = sum(need.parts.values())
    assert (need.total == whole) is stay


def test_what_a_method_declares_of_its_state_is_counted(tmp_path):
    @dataclasses.dataclass(frozen=True, repr=False)
    class Moments(Method):
        state_per_parameter: ClassVar[int] = 3

    spec = RunSpec(model="org/big", data="d")
    recipe = chain(Moments(), Moments())
    found = estimate("org/big", big(), recipe, training_arguments(spec, recipe, tmp_path), 512)
    assert found.parts["copies"] == 4 * 6 * found.trained
    assert needs("EMA()", tmp_path).parts["copies"] == 4 * 2 * found.trained  # it edits the weights in the end
    # EWC compares with the start, its penalty keeps what it made of the weights, and it holds the Fisher.
    assert needs("EWC(memory='old')", tmp_path).parts["copies"] == 4 * 3 * found.trained


@pytest.mark.parametrize("recipe", ["LoRA(rank=3)", "DoRA(rank=2)", "OFT(block=4)", "FreezeBottom()", "VeRA(rank=4)"])
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_what_is_counted_beforehand_is_what_is_there(tmp_path, recipe, family):
    from holdfast.core.mix import Mix
    from holdfast.core.run import Run

    tiny.tiny(family, dtype=torch.bfloat16).save_pretrained(tmp_path / "m")
    try:
        parsed = parse(recipe)
    except HoldfastError:
        parsed = parse(recipe.partition("(")[0] + "()")
    name = str(tmp_path / "m")
    config = transformers.AutoConfig.from_pretrained(name)
    spec = RunSpec(model=name, data="d", recipe=repr(parsed))
    found = estimate(name, config, parsed, training_arguments(spec, parsed, tmp_path), 16)
    model = load_model(name, frozen=found.frozen)
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    own = sum(p.numel() for p in model.parameters())
    shaped = parsed.shape_model(Run(model=model, mix=Mix(()), seed=0, total_steps=0))
    assert found.trained == sum(p.numel() for p in shaped.parameters() if p.requires_grad)
    assert found.parameters == sum(p.numel() for p in shaped.parameters())
    assert found.parts["weights"] == held + 4 * (found.parameters - own)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("recipe", ["Train()", "FreezeBottom()", "LoRA(rank=3)"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "qwen3"])
def test_the_activations_counted_beforehand_are_what_a_forward_saves(tmp_path, family, recipe, precision):
    from holdfast.core.mix import Mix
    from holdfast.core.run import Run

    model = tiny.tiny(family, dtype=torch.float32)
    model.save_pretrained(tmp_path / "m")
    name, parsed = str(tmp_path / "m"), parse(recipe)
    arguments = training_arguments(RunSpec(model=name, data="d", batch_size=2, precision=precision), parsed, tmp_path)
    found = estimate(name, transformers.AutoConfig.from_pretrained(name), parsed, arguments, 11)
    shaped = parsed.shape_model(Run(model=model, mix=Mix(()), seed=0, total_steps=0)).train()
    body = (shaped.get_base_model() if "LoRA" in recipe else shaped).get_decoder()
    saved = {}

    def keep(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with (
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        body(input_ids=torch.ones(2, 11, dtype=torch.long), use_cache=False)
    own = {tensor.untyped_storage().data_ptr() for tensor in body.state_dict(keep_vars=True).values()}
    own |= {buffer.untyped_storage().data_ptr() for buffer in body.buffers()}
    known = sum(one.nbytes() for at, one in saved.items() if at not in own)
    assert found.parts["activations"] == pytest.approx(known, rel=0.05)  # kernels of attention differ in what they keep


def test_a_model_whose_forward_depends_on_numbers_is_counted_as_a_decoder(tmp_path, monkeypatch):
    def refused(*given):
        raise RuntimeError("data-dependent")

    known = needs("Train()", tmp_path).parts["activations"]
    monkeypatch.setattr(estimating, "saved_bytes", refused)
    assert needs("Train()", tmp_path).parts["activations"] == pytest.approx(known, rel=0.1)


def test_gradients_and_what_a_forward_keeps_are_not_held_at_once_unless_they_accumulate(tmp_path):
    one = needs("Train()", tmp_path)
    steady = one.parts["weights"] + one.parts["optimizer"]
    assert one.total == steady + max(one.parts["gradients"], one.parts["activations"] + one.parts["logits"])
    two = needs("Train()", tmp_path, gradient_accumulation_steps=2)
    assert two.total == sum(two.parts.values())


def test_the_schedule_is_the_recipes_or_a_cosine_and_is_named(tmp_path):
    def named(recipe, **training):
        parsed = parse(recipe)
        spec = RunSpec(model="m", data="d", recipe=recipe, training=training)
        arguments = training_arguments(spec, parsed, tmp_path)
        return arguments.lr_scheduler_type.value, schedule_of(parsed, arguments)

    assert named("LoRA()") == ("cosine", "cosine")
    assert named("Finch()") == ("constant", "Finch()")
    assert named("WSD() + LoRA()") == ("constant", "WSD()")
    assert named("LoRA()", lr_scheduler_type="linear", warmup_steps=5) == ("linear", "linear with warm-up")
    assert named("LoRA()", lr_scheduler_type="constant") == ("constant", "constant")


@pytest.fixture
def asked(room, tmp_path):
    def make(**changes):
        given = {"model": str(room / "model"), "data": str(room / "facts.jsonl"), "test": str(room / "test.jsonl"),
                 "keep": (str(room / "texts.txt"),), "recipe": "Train(lr=0.01, epochs=3)", "out": str(tmp_path / "out"),
                 "batch_size": 4, "name": "run", "max_length": 32}  # fmt: skip
        return RunSpec(**{**given, **changes})

    return make


def go(spec):
    console = Console(record=True, width=80)
    with console.capture() as captured:
        done = train(spec, console)
    return done, captured.get(), json.loads((done.folder / "spec.json").read_text())["resolved"]


def test_a_run_without_a_schedule_is_that_of_cosine(asked):
    plain, said, resolved = go(asked(name="a"))
    named, _, _ = go(asked(name="b", recipe="Train(lr=0.01, epochs=3) + Cosine()"))
    rates = [
        [json.loads(line)["learning_rate"] for line in (one.folder / "log.jsonl").read_text().splitlines()]
        for one in (plain, named)
    ]
    steps = plain.record.steps
    assert resolved["schedule"] == "cosine"
    assert "schedule cosine" in said
    # A trainer logs the rate of the step to come; the recipe's schedule logs that of the step.
    expected = [0.01 * 0.5 * (1 + math.cos(math.pi * k / steps)) for k in range(steps + 1)]
    assert rates[1] == pytest.approx(expected[:-1])
    assert rates[0] == pytest.approx(expected[1:]) or rates[0] == pytest.approx(expected[:-1])
    losses = [one.record.suites[0].after for one in (plain, named)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "batch"),
    [
        ({}, (4, 1)),
        ({"recipe": "Train(lr=0.01, epochs=2, batch=6)"}, (3, 2)),
        ({"recipe": "Train(lr=0.01, epochs=1.5, batch=2)", "batch_size": 8}, (2, 1)),
        ({"training": {"max_steps": 7}, "recipe": "Train(lr=0.01)"}, (4, 1)),
        ({"recipe": "Train(lr=0.01, epochs=2, batch=4) + Rehearsal('old.jsonl', ratio=0.5)"}, (4, 1)),
    ],
)
def test_what_was_said_and_stored_is_what_was_done(asked, room, changes, batch, monkeypatch):
    monkeypatch.chdir(room)
    done, said, resolved = go(asked(**changes))
    assert resolved["steps"] == done.record.steps
    assert (resolved["micro_batch"], resolved["accumulation"]) == batch
    assert resolved["batch"] == batch[0] * batch[1]
    assert resolved["learning_rate"] == 0.01
    assert resolved["parameters"] == done.record.parameters
    assert resolved["trained"] == done.record.trained_parameters
    assert "learning rate 0.01, schedule cosine" in said
    assert f"= {resolved['steps']} steps of {resolved['batch']} rows" in said
    assert (", and more for old examples, of 4 rows" in said) == ("Rehearsal" in changes.get("recipe", ""))
    given = asked(**changes).batch_size
    assert (f"--batch-size is {batch[0]} instead of {given}" in said) == (batch[0] != given)


def test_a_run_that_does_not_fit_is_refused_with_what_would(asked, tmp_path, monkeypatch):
    recipe = "Train(lr=0.01, epochs=1) + MaskTheTarget()"
    _, said, resolved = go(asked(recipe=recipe))
    assert "memory: about" in said
    need = resolved["memory"]["bytes"]
    monkeypatch.setattr(resourcing, "free_memory", lambda: (need // 2, "in memory"))
    with pytest.raises(HoldfastError) as caught:
        train(asked(recipe=recipe, name="b"), Console(quiet=True))
    text = str(caught.value)
    assert "parameters: full training needs about" in text
    assert "continue with --memory-check warn" in text
    assert not (tmp_path / "out" / "b").exists()
    done, said, _ = go(asked(recipe=recipe, name="c", memory_check="warn"))
    assert "needs about" in " ".join(said.split())
    assert done.record.steps


@pytest.mark.parametrize("rows", [1, 4])
def test_what_does_not_fit_is_told_what_would(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(resourcing, "config_of", lambda name: big())
    monkeypatch.setattr(resourcing, "free_memory", lambda: (30 * GB, "in memory"))
    spec = RunSpec(model="org/big", data="d", recipe="MaskTheTarget()", batch_size=rows)
    recipe = parse(spec.recipe)
    arguments = training_arguments(spec, recipe, tmp_path)
    found = resourcing.resources_of(spec, recipe, arguments, [], 512)
    with pytest.raises(HoldfastError) as caught:
        resourcing.check_memory(found, spec, recipe, arguments, 512)
    text = str(caught.value)
    assert text.startswith("org/big: 8.0B parameters: full training needs about 1")
    assert re.search(r"; `LoRA\(\)` about \d\d GB[,;]", text) or rows > 1
    assert ("`LoRA()` with --batch-size 1 about" in text) == (rows > 1)
    assert "; 30 GB are free in memory. Choose what fits, or continue with --memory-check warn." in text


def test_how_much_is_refused_or_warned_about_makes_no_other_run(asked):
    from holdfast.bench.run.folder import folder_of, identity

    one, other = asked(name=None), asked(name=None, memory_check="warn")
    assert identity(one) == identity(other)
    assert folder_of(one) == folder_of(other)


def test_free_memory_is_what_the_machine_has_at_most():
    free, where = free_memory()
    assert free > 0
    assert where == ("on the GPU" if torch.cuda.is_available() else "in memory")


def test_an_adapter_on_16_bit_weights_learns_as_on_wide_ones(asked, room, tmp_path):
    """The files hold the same numbers, once in 16 bits and once in 32; only the adapter's first draw is rounded."""
    for name, dtype in (("narrow", torch.bfloat16), ("wide", torch.float32)):
        model = tiny.tiny("llama", dtype=torch.bfloat16).to(dtype)
        model.save_pretrained(tmp_path / name)
        tiny.tokenizer().save_pretrained(tmp_path / name)
    found = {}
    for name in ("narrow", "wide"):
        recipe = "Train(lr=0.02, epochs=3) + LoRA(rank=4) + MaskTheTarget(strength=0.1)"
        found[name] = go(asked(model=str(tmp_path / name), recipe=recipe, name=name))
    narrow, wide = found["narrow"], found["wide"]
    assert narrow[2]["frozen_dtype"] == "bfloat16"
    assert wide[2]["frozen_dtype"] == "float32"
    assert "frozen ones in bfloat16" in " ".join(narrow[1].split())
    for one, other in zip(narrow[0].record.suites, wide[0].record.suites, strict=True):
        assert one.before == other.before
        assert one.after == pytest.approx(other.after, rel=0.02)
        assert one.after != one.before
    adapter = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "narrow")
    assert adapter is not None
    again = load_model(str(narrow[0].folder / "model"), frozen=True)
    assert any(isinstance(module, NarrowLinear) for module in again.modules())
    assert all(p.dtype == torch.float32 for name, p in again.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("recipe", ["WiSEFT(alpha=0.5) + LoRA(rank=2)", "LoRA(rank=2, init='pissa')",
                                    "LoRA(rank=2) + Train(lr=0.01, ship='merged')", "DoRA(rank=2)", "OFT()",
                                    "VeRA(rank=4)", "AdaLoRA()"])  # fmt: skip
def test_every_adapter_trains_on_a_16_bit_file(asked, tmp_path, recipe):
    tiny.tiny("llama", dtype=torch.bfloat16).save_pretrained(tmp_path / "m")
    tiny.tokenizer().save_pretrained(tmp_path / "m")
    text = recipe if "Train" in recipe else f"Train(lr=0.01, epochs=1) + {recipe}"
    done, _, _ = go(asked(model=str(tmp_path / "m"), recipe=text))
    assert done.record.steps == 5 or done.record.steps == 15
    shipped = load_model(str(done.folder / "model"))
    assert all(torch.isfinite(p).all() for p in shipped.parameters())


def test_settings_are_not_part_of_the_recipe(asked):
    assert dataclasses.replace(asked(), memory_check="warn").recipe == asked().recipe
