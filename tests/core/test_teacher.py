"""The teacher is the model as it was at the start, whatever was trained, and its forward leaves no trace."""

from __future__ import annotations

import copy

import peft
import pytest
import torch

from holdfast.core.adapters import adapters_off
from holdfast.core.errors import HoldfastError
from holdfast.core.params import trainable
from holdfast.core.teacher import StateCache, evaluating
from holdfast.train.attach import attach
from holdfast.train.base import make_teacher
from holdfast.train.forward import Forward
from holdfast.train.supervised import Call, SupervisedTokens
from tests.tiny import collate, rows, tiny
from tests.train.retrace import trainer_for

pytestmark = pytest.mark.matrix(2)

BATCH = collate(rows(5))

# Every way in which a model is made trainable: the adapter's configuration, None for full fine-tuning.
IDENTITY = {
    "zero B": {},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "random B": {"init_lora_weights": False},
    "DoRA": {"use_dora": True},
    "rank-stabilised": {"use_rslora": True},
    "head saved": {"modules_to_save": ["lm_head"]},
    "embedding and a norm saved": {"modules_to_save": ["embed_tokens", "norm"]},
    "tokens": {"trainable_token_indices": [3, 4, 5]},
    "some layers": {"layers_to_transform": [1], "target_modules": ["q_proj", "up_proj"]},
}
MOVED = {
    "PiSSA": {"init_lora_weights": "pissa"},
    "PiSSA, iterated": {"init_lora_weights": "pissa_niter_4"},
    "OLoRA": {"init_lora_weights": "olora"},
    "OLoRA with a saved head": {"init_lora_weights": "olora", "modules_to_save": ["lm_head"]},
}
ADAPTERS = {**IDENTITY, **MOVED}


def logits(model):
    return model(**{k: v for k, v in BATCH.items() if k != "labels"}, use_cache=False).logits


def start_logits(model):
    with evaluating(model):
        return logits(model)


def adapted(base, settings):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        settings = {"target_modules": "all-linear", **settings}
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_dropout=0.3, **settings)
        return peft.get_peft_model(copy.deepcopy(base), config)


def train(model, steps=4, lr=0.05):
    """Real steps, with dropout on and gradient checkpointing on."""
    if hasattr(model, "peft_config"):
        model.enable_input_require_grads()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=lr)
    for _ in range(steps):
        model(**BATCH).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def taught(teacher, model):
    with teacher.base(model):
        return logits(model)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("form", ["auto", "copy"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_after_training_an_adapter_the_teacher_is_still_the_start(name, form):
    base = tiny(dtype=torch.float32)
    model = adapted(base, ADAPTERS[name])
    expected = start_logits(base)
    if name == "random B" and form == "copy":  # a copy would be of the adapter too
        with pytest.raises(HoldfastError, match="would copy the model with its trained adapter, which is not the base"):
            make_teacher(model, form)
        expected, teacher = start_logits(model), make_teacher(model, form, "start")
    else:
        teacher = make_teacher(model, form)
    train(model)
    assert (start_logits(model) - expected).abs().max() > 0.05, "training must have moved the model"
    assert (taught(teacher, model) - expected).abs().max() < (1e-4 if name in MOVED else 1e-5)
    assert (taught(teacher, model.train()) - taught(teacher, model.eval())).abs().max() == 0.0


@pytest.mark.parametrize("backbone", ["llama", "gpt2", "gemma2"])
def test_after_full_fine_tuning_the_teacher_is_the_start_to_the_bit(backbone):
    model = tiny(backbone, dtype=torch.float32)
    expected = start_logits(model)
    teacher = make_teacher(model)
    assert teacher.form == "copy"
    train(model)
    assert (start_logits(model) - expected).abs().max() > 0.05
    assert torch.equal(taught(teacher, model), expected)


@pytest.mark.parametrize("bias", ["lora_only", "all"])
def test_biases_that_train_beside_an_adapter_are_put_back(bias):
    base = tiny("gpt2", dtype=torch.float32)
    model = adapted(base, {"bias": bias})
    teacher = make_teacher(model)
    assert teacher.form == "adapters off"
    assert teacher.values
    assert all(name.endswith("bias") for name in teacher.values)
    train(model)
    assert (start_logits(model) - start_logits(base)).abs().max() > 0.05
    assert (taught(teacher, model) - start_logits(base)).abs().max() < 1e-5


def test_a_frozen_bottom_needs_no_copy():
    model = tiny(dtype=torch.float32)
    for p in model.model.layers[0].parameters():
        p.requires_grad_(False)
    teacher = make_teacher(model)
    assert not any("layers.0" in name for name in teacher.values)
    expected = start_logits(model)
    train(model)
    assert torch.equal(taught(teacher, model), expected)


@pytest.mark.parametrize("name", ["PiSSA", "OLoRA"])
def test_with_a_moved_base_switching_the_adapter_off_is_not_the_base(name):
    base = tiny(dtype=torch.float32)
    model = adapted(base, MOVED[name])
    with evaluating(model), adapters_off(model):
        off = logits(model)
    assert (off - start_logits(base)).abs().max() > 0.01
    assert make_teacher(model).form == "start adapter"


@pytest.mark.parametrize("name", IDENTITY)
def test_with_an_identity_start_nothing_of_the_adapter_is_copied(name):
    model = adapted(tiny(dtype=torch.float32), IDENTITY[name])
    teacher = make_teacher(model)
    assert teacher.form == "adapters off"
    assert not teacher.values


@pytest.mark.parametrize("recipe", ["LoRA(rank=2, dropout=0.3)", "Train()"])
def test_the_cache_holds_the_states_of_the_start(tmp_path, recipe):
    base = tiny(dtype=torch.float32)
    expected = start_logits(base)
    data = rows(5)
    trainer = trainer_for(
        copy.deepcopy(base),
        tmp_path,
        data,
        micro=5,
        num_train_epochs=4,
        optim="adamw_torch",
        gradient_checkpointing=True,
    )
    cached = recipe + " + " if "Train" not in recipe else ""
    attach(trainer, f"Train(teacher='cache') + {cached}BaseKL(strength=0.01)")
    trainer.train()
    forward, tokens = trainer.holdfast.forward, SupervisedTokens.of(BATCH, None)
    assert (start_logits(trainer.model) - expected).abs().max() > 0.05
    states = forward.comparison.features(Call(trainer.model, BATCH, tokens))
    found = torch.nn.functional.linear(states, *forward.comparison.weights())
    torch.testing.assert_close(found, expected[tokens.scored_BT], rtol=0, atol=1e-5)


def test_the_cache_knows_a_row_in_any_order_and_padding_and_refuses_one_it_never_saw():
    model = tiny(dtype=torch.float32)
    from holdfast.core.method import chain
    from holdfast.methods.losses.base_kl import BaseKL

    cache = StateCache()
    forward = Forward(model, chain(BaseKL()), teacher=make_teacher(model), cache=cache)
    forward.comparison.fill(BATCH)
    order = [3, 0, 4]
    picked = [row for i, row in enumerate(rows(5)) if i in order]
    shuffled = collate([picked[1], picked[0], picked[2]])
    tokens = SupervisedTokens.of(shuffled, None)
    with evaluating(model):
        expected = model.model(input_ids=shuffled["input_ids"], attention_mask=shuffled["attention_mask"])[0]
    got = forward.comparison.features(Call(model, shuffled, tokens))
    torch.testing.assert_close(got, expected[tokens.scored_BT], rtol=0, atol=1e-5)
    stranger = collate([{"input_ids": [9, 9, 9, 9], "labels": [9, 9, 9, 9]}])
    with pytest.raises(HoldfastError, match="cache lacks 1 of the 1 rows"):
        forward.comparison.features(Call(model, stranger, SupervisedTokens.of(stranger, None)))


@pytest.mark.parametrize("name", ["full", *ADAPTERS])
def test_a_teacher_forward_leaves_generator_modes_and_gradients_as_it_found_them(name):
    base = tiny(dtype=torch.float32)
    model = base if name == "full" else adapted(base, ADAPTERS[name])
    for parameter in [n for n, _ in model.named_parameters() if ".lora_A." in n or "layers.0.mlp" in n]:
        model.get_parameter(parameter).requires_grad_(False)  # a frozen lora_A, as in LoRA-FA
    teacher = make_teacher(model)
    train(model, steps=1)
    frozen = [module for n, module in model.named_modules() if n.endswith("layers.1")]
    for module in frozen:
        module.eval()
    generator = torch.get_rng_state()
    modes = [(n, module.training) for n, module in model.named_modules()]
    flags = [(n, p.requires_grad) for n, p in model.named_parameters()]
    storage = [p.data_ptr() for p in model.parameters()]
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    adapters = [getattr(module, "_disable_adapters", None) for module in model.modules()]
    with teacher.base(model):
        out = logits(model)
    assert not out.requires_grad
    assert torch.equal(torch.get_rng_state(), generator)
    assert [(n, module.training) for n, module in model.named_modules()] == modes
    assert [(n, p.requires_grad) for n, p in model.named_parameters()] == flags
    assert [p.data_ptr() for p in model.parameters()] == storage
    assert all(torch.equal(p, weights[n]) for n, p in model.named_parameters())
    assert [getattr(module, "_disable_adapters", None) for module in model.modules()] == adapters
    assert torch.is_grad_enabled()


def test_everything_is_put_back_when_the_forward_fails():
    model = adapted(tiny(dtype=torch.float32), {"modules_to_save": ["lm_head"]}).train()
    teacher = make_teacher(model, "copy")
    train(model, steps=1)
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    with pytest.raises(RuntimeError, match="gone wrong"), teacher.base(model):
        raise RuntimeError("gone wrong")
    assert all(torch.equal(p, weights[n]) for n, p in model.named_parameters())
    assert model.training
    assert not any(getattr(module, "_disable_adapters", None) for module in model.modules())


def test_going_on_from_a_trained_adapter_the_base_is_without_it_and_the_start_with_it(tmp_path):
    base = tiny(dtype=torch.float32)
    first = adapted(base, {})
    train(first)
    first.save_pretrained(tmp_path)
    model = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path, is_trainable=True)
    without, with_it = start_logits(base), start_logits(model)
    assert (without - with_it).abs().max() > 0.05
    of = {reference: make_teacher(model, "auto", reference) for reference in ("base", "start")}
    train(model)
    assert (taught(of["base"], model) - without).abs().max() < 1e-5
    assert (taught(of["start"], model) - with_it).abs().max() < 1e-5
    assert (start_logits(model) - with_it).abs().max() > 0.05


@pytest.mark.parametrize("config", [peft.PromptTuningConfig, peft.PrefixTuningConfig, peft.PromptEncoderConfig])
def test_prompt_learning_is_refused(config):
    model = peft.get_peft_model(tiny(dtype=torch.float32), config(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(HoldfastError, match="prompt-learning adapter shifts positions"):
        make_teacher(model)


def test_a_head_reads_contiguous_memory_while_it_is_asked_and_only_then():
    model = tiny()
    strides = []
    handle = model.get_output_embeddings().register_forward_hook(
        lambda _, x, __: strides.append(x[0].stride() == torch.empty(x[0].shape).stride())
    )
    ids = torch.arange(2 * 5).reshape(2, 5)
    with evaluating(model):
        kept = model(input_ids=ids, logits_to_keep=1).logits
        model(input_ids=ids[:1], logits_to_keep=1)
    model.eval()
    with torch.no_grad():
        model(input_ids=ids, logits_to_keep=1)
        whole = model(input_ids=ids).logits
    handle.remove()
    assert strides == [True, True, False, True]
    assert torch.allclose(kept, whole[:, -1:], atol=1e-5)
