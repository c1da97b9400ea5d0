"""Logits of some positions, apart from the rest of the model."""

import peft
import pytest
import torch
import transformers
from torch import nn
from torch._dynamo.testing import CompileCounter

from holdfast.core import head as head_module
from holdfast.core.errors import HoldfastError
from holdfast.core.head import Head, TooLarge, head_gives, head_of, is_out_of_memory, is_plain
from holdfast.core.teacher import evaluating
from tests.tiny import _SHAPE, BACKBONES, VOCABULARY, tiny

IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])
ROW_N, POSITION_N = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 2, 5, 0, 1, 3, 4])


class Centred(nn.Module):
    """Logits that depend on those of the other positions."""

    def __init__(self):
        super().__init__()
        self.inner = tiny()
        self.config = self.inner.config
        self.get_output_embeddings = self.inner.get_output_embeddings
        self.get_input_embeddings = self.inner.get_input_embeddings

    def forward(self, **inputs):
        output = self.inner(**inputs)
        output.logits = output.logits - output.logits.mean(1, keepdim=True)
        return output


class InPlace(Centred):
    """A model that changes the logits of its head in place."""

    def forward(self, **inputs):
        output = self.inner(**inputs)
        output.logits *= 0.25
        return output


class Strict(Centred):
    """A model that wants the logits of every position."""

    def forward(self, **inputs):
        output = self.inner(**inputs)
        if output.logits.shape[:2] != inputs["input_ids"].shape:
            raise ValueError("these are not the logits of all positions")
        return output


def scaled(name):
    made = {
        "cohere": lambda: transformers.CohereConfig(**{**_SHAPE, "logit_scale": 0.25}),
        "granite": lambda: transformers.GraniteConfig(**{**_SHAPE, "logits_scaling": 3.0}),
    }[name]()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(made).double()


def adapted():
    made = tiny(tie_word_embeddings=False)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["lm_head", "q_proj"], init_lora_weights=False)
    return peft.get_peft_model(made, config)


MODELS = {
    **{name: lambda name=name: tiny(name) for name in BACKBONES},
    "cohere": lambda: scaled("cohere"),
    "granite": lambda: scaled("granite"),
    "adapted": adapted,
    "centred": Centred,
    "in place": InPlace,
    "strict": Strict,
}
KINDS = {
    **dict.fromkeys(("gemma2", "cohere", "granite", "in place"), "replayed"),
    **dict.fromkeys(("centred", "strict"), "whole"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_logits_are_those_of_the_whole_model(name):
    model = MODELS[name]()
    with evaluating(model):
        wanted = model(input_ids=IDS, use_cache=False).logits[ROW_N, POSITION_N]
        head = Head(model)
        for _ in range(2):  # the second call knows the kind of model
            features, output = head.read(ROW_N, POSITION_N, width=IDS.shape[1], input_ids=IDS, use_cache=False)
            found = torch.cat([head.logits(features[:3]), head.logits(features[3:])])
            assert output.logits is None
            assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-9)
    assert head.kind == KINDS.get(name, "plain")
    assert head.size == VOCABULARY


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_the_kind_does_not_depend_on_the_precision(name, dtype):
    model = tiny(name, dtype=dtype)
    with evaluating(model):
        head = Head(model)
        features, _ = head.read(ROW_N, POSITION_N, width=IDS.shape[1], input_ids=IDS, use_cache=False)
        wanted = model(input_ids=IDS, use_cache=False).logits[ROW_N, POSITION_N]
        assert torch.allclose(head.logits(features).float(), wanted.float(), rtol=0.05, atol=0.05)
    assert head.kind == KINDS.get(name, "plain")


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_the_model_is_left_as_it_was(name):
    model = tiny(name)
    wanted = model(input_ids=IDS, use_cache=False).logits
    with evaluating(model):
        head = Head(model)
        features, _ = head.read(ROW_N, POSITION_N, width=IDS.shape[1], input_ids=IDS, use_cache=False)
        head.logits(features)
    assert "forward" not in head_of(model).__dict__
    assert torch.equal(model(input_ids=IDS, use_cache=False).logits, wanted)


def test_a_plain_model_is_called_once_and_makes_no_other_logits():
    model, called, made = tiny(), [], []
    model.register_forward_pre_hook(lambda *_: called.append(1))
    own = model.lm_head.forward

    def counted(states):
        made.append(states.shape[:-1].numel())
        return own(states)

    model.lm_head.forward = counted
    with evaluating(model):
        head = Head(model)
        for _ in range(3):
            head.read(ROW_N, POSITION_N, width=IDS.shape[1], input_ids=IDS, use_cache=False)
    assert len(called) == 3
    assert made == [4, 1, 1]
    assert model.lm_head.forward is counted


def test_a_head_gets_rows_without_the_strides_of_the_batch():
    model, strides = tiny(), []
    own = model.lm_head.forward

    def looked_at(states):
        strides.append((states.stride(), torch.empty(states.shape).stride()))
        return own(states)

    model.lm_head.forward = looked_at
    with evaluating(model):
        head = Head(model)
        for _ in range(2):
            features, _ = head.read(ROW_N, POSITION_N, width=IDS.shape[1], input_ids=IDS, use_cache=False)
            head.logits(features)
    assert len(strides) >= 2
    assert all(given == new for given, new in strides)


def test_a_model_that_makes_all_logits_gets_no_more_rows_than_may_exist(monkeypatch):
    monkeypatch.setattr(head_module, "WHOLE_LOGITS", 7 * VOCABULARY)
    model = Centred()
    with evaluating(model):
        head = Head(model)
        with pytest.raises(TooLarge) as caught:
            head.read(ROW_N, POSITION_N, width=IDS.shape[1], input_ids=IDS)
        assert caught.value.tokens == 7
        features, _ = head.read(ROW_N[:3], POSITION_N[:3], width=6, input_ids=IDS[:1])
        wanted = model(input_ids=IDS[:1]).logits[0, POSITION_N[:3]]
        assert torch.allclose(features, wanted)


@pytest.mark.parametrize("name", BACKBONES)
def test_whether_a_head_is_plain_is_found_by_looking(name):
    model = tiny(name)
    assert is_plain(model, head_of(model)) == (name != "gemma2")
    assert not is_plain(model, nn.Identity())
    with head_gives(head_of(model), lambda states: states[:, :, :1]):
        assert model(input_ids=IDS, use_cache=False).logits.shape == (2, 6, 1)


def test_a_head_whose_output_is_changed_in_place_is_not_plain():
    model = InPlace()
    assert not is_plain(model, head_of(model))


def test_a_model_without_a_head_is_refused():
    with pytest.raises(HoldfastError, match=r"^Linear has no output embeddings: token terms work on causal"):
        head_of(nn.Linear(2, 2))


def test_what_wants_for_memory_is_told_from_other_errors():
    torch_says = (
        "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    )
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError(torch_says),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
    ):
        assert is_out_of_memory(error)
    for error in (RuntimeError("shapes cannot be multiplied"), ValueError("out of memory"), OSError(28, "No space")):
        assert not is_out_of_memory(error)


class Headed(nn.Module):
    """A head behind a function."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, states):
        return self.head(states.tanh()) + 1.0


def test_a_compiled_model_calls_what_its_head_is_given_and_is_compiled_once():
    model, states, seen = Headed(), torch.ones(2, 4), []
    counter = CompileCounter()
    compiled = torch.compile(model, backend=counter)

    def giving(number):
        def forward(states):
            seen.append(float(states.sum()))  # the compiler could not follow this, nor the loop
            return sum((states * number for _ in range(int(states.shape[0]))), torch.zeros(()))

        return forward

    compilations = []
    for number in (1.0, 2.0, 3.0):
        with head_gives(model.head, giving(number)):
            torch.testing.assert_close(compiled(states), 2 * number * states.tanh() + 1.0)
        compilations.append(counter.frame_count)
    assert compilations == [2, 2, 2], "what stands before the head, and what stands behind it"
    assert len(seen) == 3
    torch.testing.assert_close(compiled(states), model(states))


def test_a_forward_given_inside_another_may_call_it():
    model, states = Headed(), torch.ones(2, 4)
    with head_gives(model.head, lambda states: states * 2.0):
        outer = head_module._own_forward(model.head)
        with head_gives(model.head, lambda states: outer(states) + 1.0):
            torch.testing.assert_close(model(states), 2.0 * states.tanh() + 2.0)
        torch.testing.assert_close(model(states), 2.0 * states.tanh() + 1.0)
    assert "forward" not in vars(model.head)
