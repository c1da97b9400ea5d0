"""Answers, the likeliest and drawn, whatever the batch."""

import collections
import copy
import math
import types

import peft
import pytest
import torch
import transformers
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import ids_of_prompts
from holdfast.ground.corpus import suites
from holdfast.ground.tokenizer import build_tokenizer
from holdfast.ground.world import World
from holdfast.probes.generation import generate
from holdfast.probes.parts import common
from tests.tiny import BACKBONES, VOCABULARY, tiny, tokenizer


@pytest.fixture(scope="module")
def words():
    return tokenizer()


@pytest.fixture(scope="module")
def chat_tokenizer():
    return build_tokenizer(World(0), 512, sample=300)


def user(*tokens):
    return (Turn("user", " ".join(f"t{token}" for token in tokens)),)


# Lengths from one to eleven, so that every batch is padded.
CONVERSATIONS = [
    user(5),
    user(6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    user(20, 21),
    (*user(30, 31, 32), Turn("assistant", "t33"), *user(34)),
    user(40, 41, 42, 43, 44),
    user(5, 6),
    user(50, 51, 52, 53),
    user(9),
]


def ready_to_end(model, factor=2.5):
    """Makes the end of the sequence (token 2) likely, so that answers end after unequal numbers of tokens."""
    head = model.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.detach().clone())
    with torch.no_grad():
        head.weight[2] *= factor
    return model


def one_by_one(model, tok, turns, max_new_tokens, ends=(2,), **options):
    """The definition: the whole text again for every token, alone and without a cache."""
    row = Row(turns=(*turns, Turn("assistant", "A")))
    [ids], said = ids_of_prompts([row], tok, **options), []
    model = copy.deepcopy(model).eval()
    for _ in range(max_new_tokens):
        with torch.no_grad():
            logits_V = model(input_ids=torch.tensor([ids + said]), use_cache=False).logits[0, -1]
        token = max(range(len(logits_V)), key=lambda k: float(logits_V[k]))
        if token in ends:
            break
        said.append(token)
    return tok.decode(said, skip_special_tokens=True).strip()


@pytest.mark.parametrize("name", BACKBONES)
def test_it_is_the_plain_loop_on_every_backbone(name, words):
    # In float64 the eager attention of gemma2 makes NaN of a padded row: its mask overflows in a softmax in float32.
    model = ready_to_end(tiny(name, dtype=torch.float32 if name == "gemma2" else torch.float64))
    expected = [one_by_one(model, words, turns, 8) for turns in CONVERSATIONS]
    assert generate(model, words, CONVERSATIONS, max_new_tokens=8) == expected
    assert len(set(expected)) > 1


def test_answers_of_unequal_lengths_end_each_for_itself(words):
    model = ready_to_end(tiny(seed=1))
    expected = [one_by_one(model, words, turns, 12) for turns in CONVERSATIONS]
    assert len({len(said.split()) for said in expected}) >= 3
    assert generate(model, words, CONVERSATIONS, max_new_tokens=12) == expected


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("batch_tokens", [1, 40, 75, 10_000])
def test_batches_do_not_matter(name, batch_tokens, words):
    model = ready_to_end(tiny(name, dtype=torch.float32, seed=2))
    alone = [generate(model, words, [turns], max_new_tokens=10)[0] for turns in CONVERSATIONS]
    assert generate(model, words, CONVERSATIONS, max_new_tokens=10, batch_tokens=batch_tokens) == alone
    turned = generate(model, words, CONVERSATIONS[::-1], max_new_tokens=10, batch_tokens=batch_tokens)
    assert turned == alone[::-1]


def test_the_chat_template_is_used_and_can_be_left_unused(chat_tokenizer):
    model = ready_to_end(tiny(vocab_size=512, max_position_embeddings=256, dtype=torch.float32))
    conversations = [item.turns for own in suites(World(0), 1, 0).values() for item in own if item.turns]
    for raw in (False, True):
        expected = [one_by_one(model, chat_tokenizer, turns, 6, raw=raw) for turns in conversations]
        if raw:  # Unasked, a model goes on with the next line.
            expected = [said.split("\n")[0].strip() for said in expected]
        assert generate(model, chat_tokenizer, conversations, max_new_tokens=6, raw=raw) == expected


DRAWN = {"max_new_tokens": 10, "temperature": 1.2, "top_p": 0.9, "seed": 7}


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("batch_tokens", [1, 40, 75, 10_000])
def test_what_is_drawn_does_not_depend_on_the_batch(name, batch_tokens, words):
    model = ready_to_end(tiny(name, dtype=torch.float32, seed=2))
    alone = [generate(model, words, [turns], **DRAWN)[0] for turns in CONVERSATIONS]
    assert generate(model, words, CONVERSATIONS, batch_tokens=batch_tokens, **DRAWN) == alone
    assert generate(model, words, CONVERSATIONS[::-1], batch_tokens=batch_tokens, **DRAWN) == alone[::-1]
    assert alone != generate(model, words, CONVERSATIONS, max_new_tokens=10)
    assert len(set(alone)) > 4
    for change in ({"seed": 8}, {"temperature": 2.0}, {"top_p": 0.3}):
        assert generate(model, words, CONVERSATIONS, **{**DRAWN, **change}) != alone


def test_what_is_given_twice_is_drawn_twice_and_a_name_stands_for_it(words):
    model = tiny(dtype=torch.float32)
    once = generate(model, words, CONVERSATIONS, **DRAWN)
    twice = generate(model, words, [*CONVERSATIONS[:3], *CONVERSATIONS, CONVERSATIONS[1]], **DRAWN)
    assert twice[:3] + twice[6:-1] == once
    assert len({twice[1], twice[4], twice[-1]}) == 3
    names = [f"facts/{k}" for k in range(len(CONVERSATIONS))]
    named = generate(model, words, CONVERSATIONS, names=names, **DRAWN)
    assert generate(model, words, CONVERSATIONS[5:], names=names[5:], **DRAWN) == named[5:]
    assert named != once
    other = [user(45), *CONVERSATIONS[1:]]
    assert generate(model, words, other, names=names, **DRAWN)[1:] == named[1:]


def test_hardly_any_temperature_and_hardly_any_nucleus_are_the_likeliest(words):
    model = ready_to_end(tiny(seed=1))
    likeliest = generate(model, words, CONVERSATIONS, max_new_tokens=12)
    assert likeliest == generate(model, words, CONVERSATIONS, max_new_tokens=12, top_p=0.5, seed=4)
    for options in ({"temperature": 1e-300}, {"temperature": 3.0, "top_p": 1e-9}):
        assert generate(model, words, CONVERSATIONS, max_new_tokens=12, **options) == likeliest


def test_first_tokens_are_drawn_as_often_as_they_are_likely(words):
    model = tiny()
    [given] = ids_of_prompts([Row(turns=(*CONVERSATIONS[0], Turn("assistant", "A")))], words)
    with torch.no_grad():
        logits_V = model(input_ids=torch.tensor([given])).logits[0, -1]
    expected_V = (logits_V / 1.7).softmax(-1)
    said = generate(model, words, CONVERSATIONS[:1] * 4000, max_new_tokens=1, temperature=1.7, batch_tokens=10**6)
    counts = collections.Counter(said)
    for token in range(4, VOCABULARY):  # Those below are special, and no part of what is said.
        share = float(expected_V[token])
        assert abs(counts[f"t{token}"] / 4000 - share) < 5 * math.sqrt(share * (1 - share) / 4000) + 1e-9


def test_random_numbers_are_its_own(words):
    state = torch.get_rng_state()
    first = generate(tiny(), words, CONVERSATIONS, **DRAWN)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert generate(tiny(), words, CONVERSATIONS, **DRAWN) == first


def test_adapters_are_on(words):
    base = ready_to_end(tiny(dtype=torch.float32))
    adapted = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=2))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(0))
    expected = [one_by_one(adapted, words, turns, 6) for turns in CONVERSATIONS]
    found = generate(adapted, words, CONVERSATIONS, max_new_tokens=6)
    assert found == expected
    assert found != generate(base, words, CONVERSATIONS, max_new_tokens=6)


@pytest.mark.parametrize("kind", [peft.PromptTuningConfig, peft.PrefixTuningConfig])
def test_virtual_tokens_are_read(kind, words):
    torch.manual_seed(0)
    model = peft.get_peft_model(tiny(dtype=torch.float32), kind(task_type="CAUSAL_LM", num_virtual_tokens=3))
    expected = [one_by_one(model, words, turns, 4) for turns in CONVERSATIONS[:4]]
    assert generate(model, words, CONVERSATIONS[:4], max_new_tokens=4) == expected


class Counting(nn.Module):
    """Says the token after the last one, and keeps no cache."""

    def __init__(self, broken=False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.broken = broken
        self.rows = []
        self.generation_config = types.SimpleNamespace(eos_token_id=[2, 57])

    def forward(self, input_ids, attention_mask, past_key_values, use_cache):
        self.rows.append(len(input_ids))
        logits_BTV = nn.functional.one_hot((input_ids + 1) % VOCABULARY, VOCABULARY).float()
        return types.SimpleNamespace(logits=logits_BTV / (0 if self.broken else 1), past_key_values=None)


def counting_tokenizer(*, special=True):
    """A tokenizer whose template ends a turn with t30, which is not the end of the sequence."""
    tok = tokenizer()
    if special:
        tok.add_special_tokens({"additional_special_tokens": ["t30"]})
    else:
        tok.add_tokens([transformers.AddedToken("t30", special=False, normalized=False)])
    tok.chat_template = (
        "{% for m in messages %}{{ m.content }}{{ ' t30 ' if m.role == 'assistant' else ' ' }}{% endfor %}"
    )
    return tok


@pytest.mark.parametrize("special", [True, False])
def test_an_answer_ends_where_the_model_or_the_template_ends_it(special):
    """A mark that was added as no special token ended no answer."""
    tok = counting_tokenizer(special=special)
    starts = [user(27), user(54), user(10)]
    assert generate(Counting(), tok, starts, max_new_tokens=4) == ["t28 t29", "t55 t56", "t11 t12 t13 t14"]


def test_what_has_ended_leaves_its_batch():
    model = Counting()
    generate(model, counting_tokenizer(), [user(27), user(54), user(10), user(29)], max_new_tokens=6)
    assert model.rows == [4, 3, 3, 1, 1, 1]


def test_no_batch_is_larger_than_asked_and_long_ones_come_first(words):
    model = tiny()
    shapes = []
    model.register_forward_pre_hook(
        lambda _, __, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    generate(model, words, CONVERSATIONS, max_new_tokens=1, batch_tokens=45)
    assert all(rows * (length + 1) <= 45 for rows, length in shapes)
    assert [length for _, length in shapes] == sorted((length for _, length in shapes), reverse=True)
    assert sum(rows for rows, _ in shapes) == len(CONVERSATIONS)


def test_an_answer_ends_where_the_context_is_full(words):
    model = tiny(max_position_embeddings=20, eos_token_id=None)
    row = Row(turns=(*CONVERSATIONS[1], Turn("assistant", "A")))
    room = 20 - len(ids_of_prompts([row], words)[0])
    assert 0 < room < 10
    long, short = generate(model, words, [CONVERSATIONS[1], CONVERSATIONS[0]], max_new_tokens=10)
    assert (len(long.split()), len(short.split())) == (room, 10)
    assert short == generate(model, words, [CONVERSATIONS[0]], max_new_tokens=10)[0]
    with pytest.raises(
        HoldfastError, match=r"^facts/7: has \d+ tokens, .*; shorten the conversation or leave it out\.$"
    ):
        generate(model, words, [user(*range(3, 30))], max_new_tokens=1, names=["facts/7"])


def test_the_model_is_left_as_it_was_found(words, capfd, recwarn):
    model = tiny("gpt2")
    model.transformer.drop.p = 0.5
    model.train()
    model.transformer.h[0].eval()
    before = [module.training for module in model.modules()]
    config, generation = copy.deepcopy(model.config.to_dict()), copy.deepcopy(model.generation_config.to_dict())
    weights, random_state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    first = generate(model, words, CONVERSATIONS, max_new_tokens=5)
    assert [module.training for module in model.modules()] == before
    assert model.config.to_dict() == config
    assert model.generation_config.to_dict() == generation
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert torch.is_grad_enabled()
    # Dropout was off: asking again gives the same.
    assert generate(model, words, CONVERSATIONS, max_new_tokens=5) == first
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_a_model_that_trains_with_checkpoints_says_the_same(words):
    model = ready_to_end(tiny(dtype=torch.float32))
    expected = generate(model, words, CONVERSATIONS, max_new_tokens=5)
    model.gradient_checkpointing_enable()
    model.config.use_cache = False
    model.train()
    assert generate(model, words, CONVERSATIONS, max_new_tokens=5) == expected
    assert model.config.use_cache is False
    assert model.is_gradient_checkpointing


def test_the_model_is_left_as_it_was_found_when_it_fails(words):
    model = tiny().train()
    model.lm_head.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generate(model, words, CONVERSATIONS, max_new_tokens=2)
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()


def test_progress_ends_at_its_total(words):
    told = []
    generate(tiny(), words, CONVERSATIONS, max_new_tokens=2, batch_tokens=40, progress=lambda *done: told.append(done))
    assert told[-1] == (8, 8)
    assert told == sorted(told)
    assert len(told) > 2
    assert generate(tiny(), words, [], max_new_tokens=2) == []


def test_what_cannot_be_answered_is_named(words):
    with pytest.raises(HoldfastError, match="conversation 2: the conversation has no turns; end it with"):
        generate(tiny(), words, [user(4), ()], max_new_tokens=2)
    with pytest.raises(HoldfastError, match="conversation 1: the conversation ends with the assistant's turn"):
        generate(tiny(), words, [(*user(4), Turn("assistant", "t5"))], max_new_tokens=2)
    for temperature in (0.0, 1.0):
        with pytest.raises(HoldfastError, match="logits behind conversation 1 or .* are not finite"):
            generate(Counting(broken=True), words, [user(4)], max_new_tokens=2, temperature=temperature)
    with pytest.raises(HoldfastError, match=r"^temperature=nan: give a number from 0"):
        generate(tiny(), words, [user(4)], max_new_tokens=2, temperature=math.nan)
    with pytest.raises(ValueError, match="max_new_tokens 0"):
        generate(tiny(), words, [user(4)], max_new_tokens=0)
    with pytest.raises(ValueError, match="batch_tokens 0"):
        generate(tiny(), words, [user(4)], max_new_tokens=1, batch_tokens=0)


BEGIN = tuple(range(10, 60, 2))
ALIKE = [user(*BEGIN, *own) for own in ((5,), (6, 7, 8, 9), (20, 21), (30, 31, 32, 33, 34, 35), (5, 6))]


@pytest.mark.parametrize("name", BACKBONES)
def test_prompts_that_begin_alike_get_the_answers_of_the_plain_loop(name, words):
    # In float64 the eager attention of gemma2 makes NaN of a padded row.
    model = ready_to_end(tiny(name, dtype=torch.float32 if name == "gemma2" else torch.float64))
    expected = [one_by_one(model, words, turns, 12) for turns in ALIKE]
    assert generate(model, words, ALIKE, max_new_tokens=12) == expected


def test_the_tokens_with_which_all_prompts_begin_are_read_once(words):
    model = tiny()
    shapes = []
    model.register_forward_pre_hook(
        lambda _, __, inputs: shapes.append((*inputs["input_ids"].shape, inputs["attention_mask"].shape[1])),
        with_kwargs=True,
    )
    prompts = ids_of_prompts([Row(turns=(*turns, Turn("assistant", "A"))) for turns in ALIKE], words)
    shared, longest = common(prompts), max(map(len, prompts))
    assert shared >= len(BEGIN)
    generate(model, words, ALIKE, max_new_tokens=1)
    assert shapes == [(1, shared, shared), (5, longest - shared, longest)]
    shapes.clear()
    generate(model, words, ALIKE[:2], max_new_tokens=1)  # saves too little
    width = max(map(len, prompts[:2]))
    assert shapes == [(2, width, width)]
    shapes.clear()
    windowed = tiny("phi3", sliding_window=16)
    windowed.register_forward_pre_hook(
        lambda _, __, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    generate(windowed, words, ALIKE, max_new_tokens=1)
    assert shapes == [(5, longest)]
