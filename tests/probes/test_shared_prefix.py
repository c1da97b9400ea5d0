"""Texts that begin alike, read in two parts."""

import copy
import dataclasses
import math
import random
import types

import peft
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.probes import shared_prefix
from holdfast.probes.likelihood import document_nll
from holdfast.probes.shared_prefix import group_nll
from tests.tiny import BACKBONES, VOCABULARY, tiny


def group(name, draw, stem, tails, given=None):
    """Examples that share `stem` tokens, of which `given` are not learned, and differ behind them."""
    given = stem if given is None else given
    first = draw.sample(range(3, VOCABULARY), len(tails))
    alike = [draw.randrange(3, VOCABULARY) for _ in range(stem)]
    made = []
    for number, length in enumerate(tails):
        ids = [*alike, first[number], *(draw.randrange(3, VOCABULARY) for _ in range(length - 1))]
        made.append(Example(tuple(ids), (*[-100] * given, *ids[given:]), origin=f"{name}, {number}"))
    return made


def groups():
    """Stems and tails of unequal lengths, tails of one token, and stems of which a part is learned."""
    draw = random.Random(0)
    return [
        group("a", draw, 9, (2, 5, 3)),
        group("b", draw, 4, (3, 1)),
        group("c", draw, 17, (1, 1, 1, 1)),
        group("d", draw, 12, (4, 2), given=7),
        group("e", draw, 9, (1, 6, 2, 2), given=0),
        group("f", draw, 30, (3, 3), given=29),
    ]


def plain(model, row):
    """The definition: one row at a time, one position at a time, in float64."""
    model = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        logits_TV = model(input_ids=torch.tensor([list(row.input_ids)]), use_cache=False).logits[0]
    total = 0.0
    for t in range(len(row.labels) - 1):
        if row.labels[t + 1] != -100:
            scores = [float(x) for x in logits_TV[t]]
            top = max(scores)
            total += top + math.log(sum(math.exp(x - top) for x in scores)) - scores[row.labels[t + 1]]
    return total


@pytest.fixture
def calls(monkeypatch):
    """What was read in two parts: the sizes of the batches, and None where the model could not go on."""
    seen = []
    score = shared_prefix._scores

    def counted(model, batch, *rest):
        found = score(model, batch, *rest)
        seen.append(found and len(batch))
        return found

    monkeypatch.setattr(shared_prefix, "_scores", counted)
    return seen


def check(model, asked, *, rel=1e-7, **options):
    flat = [row for own in asked for row in own]
    found = {score.origin: score for score in group_nll(model, asked, **options)}
    assert len(found) == len(flat)
    for score in document_nll(model, flat):
        assert found[score.origin].tokens == score.tokens
        assert found[score.origin].nats == pytest.approx(score.nats, rel=rel)
    return found


@pytest.mark.parametrize("batch_tokens", [70, 200, 8192])
@pytest.mark.parametrize("name", BACKBONES)
def test_it_is_what_each_row_costs_by_itself_on_every_backbone(name, batch_tokens, calls, monkeypatch):
    monkeypatch.setattr(shared_prefix, "LEAST", 0)
    # In float64 the eager attention of gemma2 makes NaN of a padded row: its mask overflows in a softmax in float32.
    dtype = torch.float32 if name == "gemma2" else torch.float64
    model = tiny(name, dtype=dtype)
    asked = groups()
    found = check(model, asked, rel=1e-5 if name == "gemma2" else 1e-7, batch_tokens=batch_tokens)
    assert sum(calls) == len(asked)
    assert (len(calls) > 1) == (batch_tokens < 8192)
    for row in (row for own in asked for row in own):
        # Some backbones normalise in float32.
        assert found[row.origin].nats == pytest.approx(plain(model, row), rel=1e-5 if name == "gemma2" else 1e-7)


def test_the_backbone_that_knows_no_padding_in_float64_is_exact_without(calls):
    draw = random.Random(5)
    asked = [group(f"{k}", draw, 14, (3, 3, 3)) for k in range(4)]
    found = check(tiny("gemma2"), asked)
    assert calls == [4]
    for row in (row for own in asked for row in own):
        assert found[row.origin].nats == pytest.approx(plain(tiny("gemma2"), row), rel=1e-7)


@pytest.mark.parametrize("name", ["gemma2", "phi3", "mixtral"])
@pytest.mark.parametrize("window", [3, 8, 20])
def test_a_window_that_slides_sees_as_far(name, window, calls):
    exact = {"dtype": torch.float32} if name == "gemma2" else {}
    model = tiny(name, sliding_window=window, **exact)
    found = check(model, groups(), rel=1e-5 if exact else 1e-7)
    assert calls == [6]
    wide = group_nll(tiny(name, sliding_window=64, **exact), groups())
    assert any(found[score.origin].nats != pytest.approx(score.nats, rel=1e-3) for score in wide)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([1, 60, 8192]))
def test_whatever_the_lengths(seed, count, batch_tokens):
    draw = random.Random(seed)
    asked = [
        group(f"{k}", draw, stem, [draw.randint(1, 9) for _ in range(draw.randint(1, 4))], draw.randint(0, stem))
        for k in range(count)
        for stem in [draw.randint(1, 20)]
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_prefix, "LEAST", draw.choice([0, 64]))
        patch.setattr(shared_prefix, "WORTH", draw.choice([0.0, 0.2]))
        check(tiny(draw.choice(["llama", "gpt2"])), asked, batch_tokens=batch_tokens)


def test_it_reads_less_and_no_batch_is_larger_than_asked(monkeypatch):
    draw = random.Random(2)
    asked = [group(f"{k}", draw, 20 + k, (4, 3, 2, 4)) for k in range(5)]
    model = tiny()
    shapes = []
    model.register_forward_pre_hook(
        lambda _, __, inputs: shapes.append((*inputs["input_ids"].shape, inputs["attention_mask"].shape[1])),
        with_kwargs=True,
    )
    group_nll(model, asked, batch_tokens=250)
    # Each stem once, then what follows but for the last token of each.
    assert shapes == [(2, 24, 24), (8, 3, 27), (2, 22, 22), (8, 3, 25), (1, 20, 20), (4, 3, 23)]
    assert all(rows * whole <= 250 for rows, _, whole in shapes)
    shapes.clear()
    document_nll(model, [row for own in asked for row in own], batch_tokens=250)
    assert sum(rows * length for rows, length, _ in shapes) > 3 * (2 * 24 + 2 * 22 + 20)


def alike(count, start, draw):
    """Groups whose stems begin alike, as those of a suite with a system prompt or worked examples do."""
    begin = [draw.randrange(3, VOCABULARY) for _ in range(start)]
    made = []
    for k in range(count):
        own = group(f"{k}", draw, 6 + k, (4, 3, 2, 4))
        longer = [((*begin, *e.input_ids), (*[-100] * start, *e.labels), e.origin) for e in own]
        made.append([Example(ids, labels, origin=origin) for ids, labels, origin in longer])
    return made


def shapes_of(model):
    shapes = []
    model.register_forward_pre_hook(
        lambda _, __, inputs: shapes.append((*inputs["input_ids"].shape, inputs["attention_mask"].shape[1])),
        with_kwargs=True,
    )
    return shapes


def test_what_all_groups_begin_with_is_read_once_for_a_batch():
    model = tiny()
    shapes = shapes_of(model)
    group_nll(model, alike(5, 30, random.Random(2)))
    # The beginning, then the rest of each stem, then what follows but for the last token of each.
    assert shapes == [(1, 30, 30), (5, 10, 40), (20, 3, 43)]


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("labelled", [False, True])
def test_groups_that_begin_alike_cost_what_each_row_costs(name, labelled, monkeypatch):
    monkeypatch.setattr(shared_prefix, "LEAST", 0)
    exact = name != "gemma2"
    model = tiny(name, dtype=torch.float64 if exact else torch.float32)
    asked = alike(4, 9, random.Random(3))
    if labelled:  # the beginning ends before the first token with a label
        for k, own in enumerate(asked):
            asked[k] = [
                Example(e.input_ids, (*e.labels[:4], *e.input_ids[4:8], *e.labels[8:]), origin=e.origin) for e in own
            ]
    found = check(model, asked, rel=1e-7 if exact else 1e-5)
    for row in (row for own in asked for row in own):
        assert found[row.origin].nats == pytest.approx(plain(model, row), rel=1e-7 if exact else 1e-5)


@pytest.mark.parametrize("window", [8, 64])
def test_a_window_shorter_than_the_rows_leaves_the_beginning_in_each_of_them(window):
    model = tiny("phi3", sliding_window=window)
    shapes = shapes_of(model)
    check(model, alike(5, 30, random.Random(2)))
    assert (shapes[0] == (1, 30, 30)) == (window == 64)


def test_what_is_not_worth_it_is_read_as_ever(calls):
    draw = random.Random(3)
    model = tiny()
    # Saved: 5 + 2 of 50 tokens; 12 + 2 of 30, but that is less than two calls cost; 3 * 24 + 4 of 104.
    for asked in (group("a", draw, 5, (20, 20)), group("b", draw, 12, (3, 3)), group("c", draw, 24, (9,))):
        check(model, [asked])
    assert calls == []
    check(model, [group("d", draw, 24, (2, 2, 2, 2))])
    assert calls == [1]
    check(model, [group("b", draw, 12, (3, 3)) for _ in range(1)] + [group("d", draw, 24, (2, 2, 2, 2))])
    assert calls == [1, 2]
    check(model, [])


def test_labels_that_differ_are_no_part_of_the_stem(calls, monkeypatch):
    monkeypatch.setattr(shared_prefix, "LEAST", 0)
    ids = tuple(range(3, 33))
    one = Example((*ids, 40, 41), (*[-100] * 30, 40, 41), origin="one")
    other = Example((*ids, 40, 42, 43), (*[-100] * 15, *ids[15:], -100, 42, -100), origin="other")
    silent = Example((*ids, 50), [-100] * 31, origin="silent")
    again = Example((*ids, 40, 41), (*[-100] * 30, 40, 41), origin="again")
    model = tiny()
    found = {score.origin: score for score in group_nll(model, [[one, other, again]])}
    assert {name: score.tokens for name, score in found.items()} == {"one": 2, "other": 16, "again": 2}
    for row in (one, other, again):
        assert found[row.origin].nats == pytest.approx(plain(model, row), rel=1e-7)
    assert shared_prefix._stem([one, other, again]) == 15
    assert [score.origin for score in group_nll(model, [[silent, one]])] == ["one"]
    twins = [dataclasses.replace(one, origin=name) for name in ("one", "twin", "third")]
    assert [score.nats for score in group_nll(model, [twins])] == pytest.approx([plain(model, one)] * 3, rel=1e-7)
    assert calls == [1, 1, 1]


def adapted(config, **options):
    torch.manual_seed(0)
    model = peft.get_peft_model(tiny(**options), config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(0))
    return model


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
def test_adapters_are_on(name, calls):
    targets = {"target_modules": ["q_proj", "v_proj"]}
    if name == "gpt2":
        targets = {"target_modules": ["c_attn"], "fan_in_fan_out": True}
    model = adapted(peft.LoraConfig(r=2, lora_dropout=0.5, **targets), name=name).train()
    found = check(model, groups())
    assert calls == [6]
    with model.disable_adapter():
        without = check(model, groups())
    assert all(abs(without[name].nats - score.nats) > 1e-3 for name, score in found.items())


VIRTUAL = [
    peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
]


@pytest.mark.parametrize("config", VIRTUAL, ids=["prompt", "prefix"])
def test_adapters_of_virtual_tokens_read_whole_rows(config, calls):
    check(adapted(config, dtype=torch.float32), groups(), rel=1e-5)
    assert calls == []


def test_an_adapter_that_looks_at_the_row_reads_whole_rows(calls):
    options = {"target_modules": ["q_proj"], "r": 2, "task_type": "CAUSAL_LM"}
    check(adapted(peft.LoraConfig(**options, alora_invocation_tokens=[5])), groups())
    assert calls == []
    model = adapted(peft.LoraConfig(**options))
    model.peft_config["default"].peft_type = peft.PeftType.XLORA
    group_nll(model, groups())
    assert calls == []


@pytest.mark.parametrize("kind", ["dynamic", "linear"])
def test_positions_that_depend_on_the_length_read_whole_rows(kind, calls):
    rope = {"rope_type": kind, "rope_theta": 10000.0, "factor": 2.0}
    check(tiny(rope_parameters=rope), groups())
    assert len(calls) == (kind == "linear")


def test_states_that_are_no_keys_and_values_are_not_gone_on_from(calls):
    config = transformers.Lfm2Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        layer_types=["conv", "full_attention"],
        initializer_range=0.4,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config).double()
    check(model, groups())
    assert calls == [None]


class Counting(nn.Module):
    """Says the token after the last one, and keeps no cache."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.asked = []

    def forward(self, input_ids, attention_mask, position_ids=None, past_key_values=None, use_cache=False):
        self.asked.append(use_cache)
        logits_BTV = nn.functional.one_hot((input_ids + 1) % VOCABULARY, VOCABULARY).float()
        return types.SimpleNamespace(logits=logits_BTV, past_key_values=None)


def test_a_model_that_keeps_no_cache_reads_whole_rows(calls):
    model = Counting()
    check(model, groups())
    assert calls == [None]
    assert model.asked.count(True) == 1

    class Bare(Counting):
        def forward(self, input_ids, attention_mask, use_cache):
            return super().forward(input_ids, attention_mask, use_cache=use_cache)

    model = Bare()
    check(model, groups())
    assert calls == [None]
    assert not any(model.asked)


def test_what_padding_spoils_is_read_again(calls):
    model = tiny("gemma2")  # Eager, in float64: see above.
    told = []
    check(model, groups(), progress=lambda *done: told.append(done))
    assert calls == [6]
    assert told[-1] == (17, 17)
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(HoldfastError, match="gives a, 0 a likelihood of nan nats"):
        group_nll(model, groups())


def test_the_model_is_left_as_it_was_found(calls):
    model = tiny("gpt2")
    model.transformer.drop.p = 0.5
    model.train()
    model.transformer.h[0].eval()
    model.config.use_cache = False
    model.gradient_checkpointing_enable()
    before = [module.training for module in model.modules()]
    config, state = copy.deepcopy(model.config.to_dict()), torch.get_rng_state()
    weights = copy.deepcopy(model.state_dict())
    first = group_nll(model, groups())
    assert calls == [6]
    assert [module.training for module in model.modules()] == before
    assert model.config.to_dict() == config
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert torch.is_grad_enabled()
    # Dropout was off: asking again gives the same bits.
    assert group_nll(model, groups()) == first
    model.lm_head.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        group_nll(model, groups())
    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()


def test_random_numbers_drawn_by_a_model_do_not_show():
    model = tiny()
    drawn = []
    model.register_forward_hook(lambda *_: drawn.append(torch.rand(3)))
    state = torch.get_rng_state()
    group_nll(model, groups())
    assert len(drawn) == 2
    assert torch.equal(torch.get_rng_state(), state)


def test_half_precision_is_summed_wide(calls):
    model = tiny(dtype=torch.bfloat16)
    check(model, groups(), rel=0.1)
    assert calls == [6]
    for score in group_nll(model, groups()):
        # A sum of bfloat16 would be one.
        assert float(torch.tensor(score.nats).bfloat16()) != score.nats


def test_progress_ends_at_its_total():
    told = []
    asked = [*groups(), group("g", random.Random(4), 2, (20, 20))]
    group_nll(tiny(), asked, batch_tokens=100, progress=lambda *done: told.append(done))
    assert told[-1] == (19, 19)
    assert told == sorted(told)
    assert len(told) > 3
    with pytest.raises(ValueError, match="batch_tokens 0"):
        group_nll(tiny(), asked, batch_tokens=0)
