"""Rows that end make room for others, and nobody's answer changes."""

import logging
import random

import pytest
import torch
import transformers

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import ids_of_prompts
from holdfast.probes.cache_rows import cut, joined, repeated
from holdfast.probes.generation import continued, generate
from holdfast.probes.parts import common, families
from holdfast.probes.sampling import Sampling, source_of
from holdfast.probes.writing import Prompt, Writer, size_of
from tests.probes.test_generation import one_by_one, ready_to_end, user
from tests.tiny import _SHAPE, BACKBONES, VOCABULARY, tiny, tokenizer

DRAW = random.Random(3)
CONVERSATIONS = [user(*(DRAW.randrange(3, VOCABULARY) for _ in range(DRAW.randint(1, 14)))) for _ in range(18)]
LIMITS = [DRAW.choice([1, 2, 3, 5, 8, 20]) for _ in CONVERSATIONS]
SAMPLED = {"temperature": 1.3, "top_p": 0.9, "seed": 5}


@pytest.fixture(scope="module")
def words():
    return tokenizer()


def gemma3(window=8):
    """A model whose layers see a window of the last tokens, but every third."""
    config = transformers.Gemma3TextConfig(
        **{**_SHAPE, "head_dim": 8, "query_pre_attn_scalar": 8, "num_hidden_layers": 3, "sliding_window": window,
           "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).float()


def watched(model):
    """The shapes of the inputs of the model's calls from now on."""
    shapes = []
    model.register_forward_pre_hook(
        lambda _, __, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    return shapes


MODELS = {name: lambda name=name: tiny(name, dtype=torch.float32, seed=1) for name in BACKBONES}
MODELS |= {"gemma3": gemma3, "windowed": lambda: tiny("phi3", sliding_window=6, dtype=torch.float32)}
MODELS["bloom"] = lambda: transformers.BloomForCausalLM(
    transformers.BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=2, n_head=2, initializer_range=0.4)
)


@pytest.mark.parametrize("name", MODELS)
def test_answers_of_refilled_batches_are_those_of_one_by_one(name, words):
    torch.manual_seed(0)
    model = ready_to_end(MODELS[name]().eval())
    alone = [one_by_one(model, words, turns, most) for turns, most in zip(CONVERSATIONS, LIMITS, strict=True)]
    drawn = [
        generate(model, words, [turns], max_new_tokens=most, **SAMPLED)[0]
        for turns, most in zip(CONVERSATIONS, LIMITS, strict=True)
    ]
    assert len({len(said.split()) for said in alone}) > 4
    for tokens in (60, 150):
        given = {"max_new_tokens": LIMITS, "batch_tokens": tokens}
        assert generate(model, words, CONVERSATIONS, **given) == alone
        assert generate(model, words, CONVERSATIONS, **given, **SAMPLED) == drawn


class EndsAfter:
    """Ends an answer after some tokens, which nobody knows before."""

    def __init__(self, tokens):
        self.tokens = tokens

    def ended(self, ids):
        return len(ids) >= self.tokens


def test_batches_are_refilled_and_never_too_large():
    model = tiny(eos_token_id=None, dtype=torch.float32)
    shapes = watched(model)
    lengths = [12 if number % 4 == 0 else 2 for number in range(40)]
    prompts = [Prompt(n, f"{n}", [3 + n, 6, 7], 12, n, EndsAfter(most)) for n, most in enumerate(lengths)]
    said, held = {}, []
    writer = Writer(model, 0, {2}, Sampling(), (120, 1000), lambda prompt, ids: said.update({prompt.number: len(ids)}))
    call = writer._continued

    def looked(rows):
        held.append(sum(len(each.prompts) for each in (writer.going, writer.coming) if each) * rows.width)
        return call(rows)

    writer._continued = looked
    writer.write(prompts)
    assert said == dict(enumerate(lengths))
    assert max(held) <= 120
    steps = sum(1 for _, length in shapes if length == 1)
    begun = [rows for rows, length in shapes if length > 1]
    assert sum(begun) == 40
    assert begun[0] == 8
    assert len(begun) > 5, "rows join while others go on"
    assert steps < 40, "five batches of eight rows would take 55"


def test_new_rows_are_read_in_calls_of_about_one_length():
    model = ready_to_end(tiny(dtype=torch.float32))
    draw = random.Random(0)
    prompts = [[3 + n, *(draw.randrange(3, VOCABULARY) for _ in range(40 if n % 2 else 4))] for n in range(40)]
    given = {"ends": {2}, "max_new_tokens": 6, "temperature": 1.0}
    alone = [continued(model, [ids], **given)[0] for ids in prompts]
    shapes = watched(model)
    assert continued(model, prompts, **given) == alone
    begun = [(rows, length) for rows, length in shapes if length > 1]
    assert begun[:2] == [(27, 41), (13, 5)]
    assert sum(rows * length for rows, length in begun) <= sum(map(len, prompts)) + 256


def test_a_model_that_cannot_read_in_parts_goes_batch_by_batch(words):
    model = ready_to_end(tiny("llama", rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}))
    shapes = watched(model)
    generate(model, words, CONVERSATIONS, max_new_tokens=LIMITS, batch_tokens=150)
    starts = [number for number, (_, length) in enumerate(shapes) if length > 1]
    assert len(starts) > 2
    for start in starts[1:]:
        rows = [rows for rows, _ in shapes[max(s for s in starts if s < start) : start]]
        assert rows == sorted(rows, reverse=True)


@pytest.mark.parametrize("options", [{}, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_what_does_not_fit_begins_again_and_what_has_ended_stays(name, options, words, caplog):
    wanted = generate(MODELS[name](), words, CONVERSATIONS, max_new_tokens=LIMITS, **options)
    model, told, refused = MODELS[name](), [], []

    def look(_module, _inputs, given):
        if given["attention_mask"].numel() > 170:
            refused.append(given["attention_mask"].numel())
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB")

    model.register_forward_pre_hook(look, with_kwargs=True)
    with caplog.at_level(logging.WARNING, logger="holdfast"):
        given = {"max_new_tokens": LIMITS, "progress": lambda *done: told.append(done)}
        found = generate(model, words, CONVERSATIONS, batch_tokens=1000, **given, **options)
    assert found == wanted
    assert refused
    assert told == [(number + 1, 18) for number in range(18)]
    assert len([message for message in caplog.messages if "not enough memory" in message]) == 1


def test_a_prompt_that_does_not_fit_alone_is_refused(words):
    model = tiny(dtype=torch.float32)

    def look(_module, _inputs, given):
        if given["attention_mask"].shape[1] > 8:
            raise MemoryError

    model.register_forward_pre_hook(look, with_kwargs=True)
    with pytest.raises(HoldfastError, match=r"^There is not enough memory to read \d+ tokens at once"):
        generate(model, words, CONVERSATIONS, max_new_tokens=LIMITS)


@pytest.mark.parametrize("name", ["llama", "gemma3", "mixtral"])
def test_prompts_of_sources_that_begin_alike_have_their_beginnings_read_once(name, words):
    draw = random.Random(0)
    begins = [[draw.randrange(3, VOCABULARY) for _ in range(length)] for length in (90, 70)]
    own = [[draw.randrange(3, VOCABULARY) for _ in range(draw.randint(1, 6))] for _ in range(33)]
    prompts = [[*begins[number % 2], *ids] if number < 28 else [3, *ids] for number, ids in enumerate(own)]
    model = gemma3(200) if name == "gemma3" else tiny(name, dtype=torch.float32, max_position_embeddings=128)
    model.config.max_position_embeddings = 128
    given = {"ends": {2}, "max_new_tokens": 6, "temperature": 1.0, "top_p": 0.95}
    alone = [continued(model, [ids], **given)[0] for ids in prompts]
    shapes = watched(model)
    assert continued(model, prompts, batch_tokens=600, **given) == alone
    assert [length for rows, length in shapes if rows == 1 and length >= 64] == [90, 70]
    assert max(length for rows, length in shapes if rows > 1) <= 7


def test_families_share_much_with_each_other_and_little_with_the_rest():
    long, other = list(range(100, 200)), list(range(200, 300))
    rows = [[1, *long, n] for n in range(10)] + [[1, *other, n] for n in range(10)] + [[1, n, 7] for n in range(5)]
    order = random.Random(0).sample(range(25), 25)
    found = families([rows[n] for n in order])
    assert [sorted(order[n] for n in own) for own in found[-1:]] == [list(range(20, 25))]
    assert {tuple(sorted(order[n] for n in own)) for own in found[:-1]} == {tuple(range(10)), tuple(range(10, 20))}
    assert all(common([rows[order[n]] for n in own]) == 101 for own in found[:-1])
    # Few that share little stay with the rest, as do all that begin alike.
    assert families(rows[:2] + rows[20:]) == [[0, 1, 2, 3, 4, 5, 6]]
    assert families(rows[:10]) == [list(range(10))]
    assert families([]) == []


def test_the_most_tokens_of_rows_are_counted_as_they_leave():
    assert size_of(10, [4]) == 14
    assert size_of(10, [4, 4, 4]) == 42
    assert size_of(10, [100, 1, 1]) == 110
    assert size_of(10, [100, 90, 1]) == 200
    for left in ([3, 9, 9, 20], [1, 2, 3], [7] * 5):
        assert size_of(6, left) == max(sum(most >= t for most in left) * (6 + t) for t in range(1, max(left) + 1))


@pytest.mark.parametrize("window", [5, 8, 100])
def test_rows_of_two_caches_continue_in_one_as_in_their_own(window):
    model = gemma3(window).eval()
    draw = torch.Generator().manual_seed(0)
    ids = [torch.randint(3, VOCABULARY, (rows, length), generator=draw) for rows, length in ((2, 13), (3, 6))]
    more = [torch.randint(3, VOCABULARY, (rows, 1), generator=draw) for rows in (2, 3)]
    with torch.no_grad():
        alone = [model(torch.cat(pair, 1)).logits[:, -1] for pair in zip(ids, more, strict=True)]
        caches = [model(one, use_cache=True).past_key_values for one in ids]
        for turn, wanted in (((0, 1), alone), ((1, 0), alone[::-1])):
            first, second = (repeated_rows(caches[k]) for k in turn)
            cache = joined(first, second)
            order = [*turn]
            mask = torch.cat([torch.nn.functional.pad(torch.ones_like(ids[k]), (13 - ids[k].shape[1], 1), value=0)
                              for k in order])  # fmt: skip
            mask[:, -1] = 1
            given = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1)[:, -1:], "past_key_values": cache}
            found = model(torch.cat([more[k] for k in order]), **given).logits[:, -1]
            torch.testing.assert_close(found, torch.cat(wanted))
        # Without the longer rows, the columns that are padding for all others can go.
        cache = joined(repeated_rows(caches[0]), repeated_rows(caches[1]))
        cache.reorder_cache(torch.tensor([2, 3, 4]))
        cut(cache, 7)
        assert cache.get_seq_length() == 6
        torch.testing.assert_close(model(more[1], past_key_values=cache).logits[:, -1], alone[1])


def repeated_rows(cache):
    """A copy of a cache."""
    import copy

    return copy.deepcopy(cache)


def test_one_row_is_repeated_and_stays():
    model = gemma3(8).eval()
    with torch.no_grad():
        cache = model(torch.tensor([[5, 6, 7]]), use_cache=True).past_key_values
        many = repeated(cache, 4)
        wanted = model(torch.tensor([[5, 6, 7, 9]])).logits[:, -1]
        torch.testing.assert_close(
            model(torch.full((4, 1), 9), past_key_values=many).logits[:, -1], wanted.expand(4, -1)
        )
    assert (many.layers[0].keys.shape[0], cache.layers[0].keys.shape[0], cache.get_seq_length()) == (4, 1, 3)


def test_random_numbers_go_with_their_rows():
    numbers = [float(torch.rand(1, generator=source_of(0, key))) for key in range(3)]
    assert len(set(numbers)) == 3
    [given] = ids_of_prompts([Row(turns=(*CONVERSATIONS[0], Turn("assistant", "A")))], tokenizer())
    model = tiny(dtype=torch.float32)
    many = continued(model, [given] * 12, ends={2}, max_new_tokens=9, batch_tokens=100)
    assert continued(model, [given] * 12, ends={2}, max_new_tokens=9) == many
    assert len(set(map(tuple, many))) > 8
