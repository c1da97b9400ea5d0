"""Choices by their likelihood."""

import copy
import math

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Turn
from holdfast.ground.corpus import suites
from holdfast.ground.tokenizer import build_tokenizer
from holdfast.ground.world import World
from holdfast.probes import shared_prefix
from holdfast.probes.choice import Choice, choose
from holdfast.probes.items import Item
from tests.tiny import VOCABULARY, tiny, tokenizer


@pytest.fixture(scope="module")
def chat_tokenizer():
    return build_tokenizer(World(0), 512, sample=300)


@pytest.fixture(scope="module")
def items():
    made = [item for own in suites(World(0), 1, 2).values() for item in own if item.choices]
    assert {bool(item.turns) for item in made} == {True, False}
    return made


def chat_model(**options):
    return tiny(vocab_size=512, max_position_embeddings=256, **options)


def plain(model, given, said):
    """The definition: a whole forward in float64 for one choice, one token at a time; nats."""
    model = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        logits_TV = model(input_ids=torch.tensor([given + said]), use_cache=False).logits[0]
    total = 0.0
    for k, token in enumerate(said):
        scores = [float(x) for x in logits_TV[len(given) + k - 1]]
        top = max(scores)
        total += top + math.log(sum(math.exp(x - top) for x in scores)) - scores[token]
    return total


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_is_a_forward_for_each_choice(chat_tokenizer, items, dtype, end):
    model = chat_model(dtype=dtype)
    found = choose(model, chat_tokenizer, items[::2], batch_tokens=700, end=end)
    for item, choice in zip(items[::2], found, strict=True):
        messages = [{"role": turn.role, "content": turn.content} for turn in item.turns]
        for number, text in enumerate(item.choices):
            # The template's own words, written out: a header of the assistant, a blank, and where it is wanted the end
            # of its turn.
            given = [1]
            if messages:
                given = chat_tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
            said = f"{' ' if messages else ''}{text}{'</s>' if end else ''}"
            ids = chat_tokenizer(said, add_special_tokens=False)["input_ids"]
            assert choice.nats[number] == pytest.approx(
                plain(model, given, ids), rel=1e-9 if dtype.itemsize == 8 else 1e-5
            )
            assert choice.tokens[number] == len(ids)


def test_neither_batches_nor_neighbours_nor_order_matter(chat_tokenizer, items):
    model = chat_model()
    together = choose(model, chat_tokenizer, items)
    apart = [choose(model, chat_tokenizer, [item], batch_tokens=1)[0] for item in items]
    turned = choose(model, chat_tokenizer, items[::-1], batch_tokens=100)[::-1]
    for one, other, third in zip(together, apart, turned, strict=True):
        assert one.nats == pytest.approx(other.nats, rel=1e-9)
        assert one.nats == pytest.approx(third.nats, rel=1e-9)
        assert one.tokens == other.tokens == third.tokens


def test_what_the_choices_of_an_item_begin_with_is_read_once(chat_tokenizer, items, monkeypatch):
    model = chat_model()
    read = []
    model.register_forward_pre_hook(
        lambda _, __, inputs: read.append(int(inputs["attention_mask"][:, -inputs["input_ids"].shape[1] :].sum())),
        with_kwargs=True,
    )
    once = choose(model, chat_tokenizer, items)
    together = sum(read)
    read.clear()
    monkeypatch.setattr(shared_prefix, "LEAST", math.inf)
    each = choose(model, chat_tokenizer, items)
    assert together < 0.6 * sum(read)
    for one, other in zip(once, each, strict=True):
        assert one.nats == pytest.approx(other.nats, rel=1e-9)
        assert one.tokens == other.tokens


def test_the_right_choice_is_picked_when_the_model_says_it(chat_tokenizer):
    """A model of which the head knows one token: choices that say it are likely."""
    model = chat_model()
    word = chat_tokenizer(" the", add_special_tokens=False)["input_ids"]
    base = model.model.forward

    def constant(*args, **options):
        output = base(*args, **options)
        output.last_hidden_state = torch.ones_like(output.last_hidden_state)
        return output

    model.model.forward = constant
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.weight[word] = 1.0
    good, bad = "the the the", "zz zz zz"
    item = Item("a", "s", "a", (Turn("user", "say"),), choices=(good, bad))
    turned = Item("b", "s", "b", (Turn("user", "say"),), choices=(bad, good))
    right, wrong = choose(model, chat_tokenizer, [item, turned])
    assert (right.picked, wrong.picked) == (0, 1)


def test_a_model_to_which_all_is_equal_is_never_right(chat_tokenizer, items):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        model = chat_model(dtype=dtype)
        with torch.no_grad():
            model.lm_head.weight.zero_()
        for choice in choose(model, chat_tokenizer, items):
            each = [nats / count for nats, count in zip(choice.nats, choice.tokens, strict=True)]
            assert each == pytest.approx([math.log(512)] * len(each), rel=1e-6)
            if choice.tokens[0] >= min(choice.tokens[1:]):
                assert choice.picked != 0


def test_the_pick_and_the_probabilities_by_hand():
    choice = Choice(nats=(6.0, 5.0, 8.0), tokens=(3, 2, 8))
    assert choice.picked == 1
    odds = [math.exp(-6), math.exp(-5), math.exp(-8)]
    assert choice.probabilities == pytest.approx([odd / sum(odds) for odd in odds], rel=1e-12)
    far = Choice(nats=(2000.0, 4000.0), tokens=(1, 1))
    assert far.probabilities == (1.0, 0.0)


@pytest.mark.parametrize("right", [5.0, 5.0 - 1e-9, 5.0 + 1e-9, 6.0])
def test_ties_are_wrong(right):
    assert Choice((right, 5.0, 7.0), (1, 1, 1)).picked == 1
    assert Choice((right, 7.0, 5.0), (1, 1, 1)).picked == 2
    assert Choice((4.999, 5.0), (1, 1)).picked == 0


def test_the_first_token_of_a_bare_choice_is_scored_without_a_habit_of_bos():
    words = tokenizer()
    assert words("t5")["input_ids"] == [5]
    model = tiny()
    item = Item("a", "s", choices=("t5 t6", "t7 t6"))
    (found,) = choose(model, words, [item])
    assert found.tokens == (2, 2)
    assert found.nats == pytest.approx([plain(model, [1], [5, 6]), plain(model, [1], [7, 6])], rel=1e-9)
    words.bos_token = None
    (found,) = choose(model, words, [item])
    assert found.nats == pytest.approx([plain(model, [2], [5, 6]), plain(model, [2], [7, 6])], rel=1e-9)
    (found,) = choose(model, words, [item], end=True)
    assert found.nats == pytest.approx([plain(model, [2], [5, 6, 2]), plain(model, [2], [7, 6, 2])], rel=1e-9)


def test_a_conversation_without_a_template_is_written_as_in_training():
    words, model = tokenizer(), tiny()
    asked = (Turn("user", "t9"), Turn("assistant", "t10"), Turn("user", "t11"))
    (found,) = choose(model, words, [Item("a", "s", "", asked, choices=("t5", "t6 t7"))])
    given = words("user: t9\nassistant: t10\nuser: t11\nassistant:")["input_ids"]
    assert found.nats == pytest.approx([plain(model, given, [5]), plain(model, given, [6, 7])], rel=1e-9)
    assert found.tokens == (1, 2)


@pytest.mark.parametrize("end", [False, True])
def test_a_single_question_without_a_template_is_the_prompt_as_it_is(end):
    words, model = tokenizer(), tiny()
    item = Item("a", "s", "", (Turn("user", "t9 t10"),), choices=("t5", "t6 t7"))
    (found,) = choose(model, words, [item], end=end)
    ended = [2] if end else []
    expected = [plain(model, [9, 10], [5, *ended]), plain(model, [9, 10], [6, 7, *ended])]
    assert found.nats == pytest.approx(expected, rel=1e-9)
    assert found.tokens == (1 + end, 2 + end)


def encoded_pair(tok, context, said):
    """How lm-eval takes a request apart: white space that ends the context goes with what is said."""
    blank = context[len(context.rstrip()) :]
    before = tok(context.rstrip())["input_ids"]
    return before, tok(context.rstrip() + blank + said)["input_ids"][len(before) :]


PROMPTS = ("Where does Mia live?", "Question: Who is it?\nAnswer:", "Who? ", "Fill in:\n\n", "a", "Is it so,\t")
CHOICES = (("In Rome.", "no", "With her sister."), (" Yes", "No", "\nMaybe"), ("zz", "3", "Über allen Gipfeln ist Ruh"))


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_without_a_template_tokens_and_picks_are_those_of_lm_eval(chat_tokenizer, prompt, choices):
    model = chat_model(seed=len(prompt))
    item = Item("a", "s", "", (Turn("user", prompt),), choices=choices)
    (found,) = choose(model, chat_tokenizer, [item], raw=True)
    nats, tokens = [], []
    for choice in choices:
        delimiter = "" if prompt[-1].isspace() or choice[0].isspace() else " "
        given, said = encoded_pair(chat_tokenizer, prompt, delimiter + choice)
        nats.append(plain(model, given, said))
        tokens.append(len(said))
    assert found.tokens == tuple(tokens)
    assert found.nats == pytest.approx(nats, rel=1e-9)
    places = range(len(choices))
    assert found.picked == min(places, key=lambda k: nats[k])


def test_what_ends_a_turn_changes_the_pick_only_where_it_is_scored(chat_tokenizer):
    model = chat_model()
    asked = [Item(f"{k}", "s", "", (Turn("user", f"Is it {k}?"),), choices=("Yes", "No")) for k in range(40)]
    without = choose(model, chat_tokenizer, asked)
    ended = choose(model, chat_tokenizer, asked, end=True)
    assert [one.picked for one in without] != [one.picked for one in ended]
    for one, other in zip(without, ended, strict=True):
        assert all(a < b for a, b in zip(one.nats, other.nats, strict=True))
        assert [b - a for a, b in zip(one.tokens, other.tokens, strict=True)] == [1, 1]


def test_an_answer_that_the_template_writes_in_other_words_is_named():
    words, model = tokenizer(), tiny()
    words.chat_template = "{% for m in messages %}{{ m.content | replace('t5', 't7') }} {% endfor %}"
    item = Item("a", "s", "", (Turn("user", "t9"),), choices=("t8", "t5 t6"))
    with pytest.raises(
        HoldfastError, match=r"^s/a, choice 2: the chat template changes the words of the answer 't5 t6'"
    ):
        choose(model, words, [item])
    (found,) = choose(model, words, [item], end=True)
    assert found.nats[1] == pytest.approx(plain(model, [9], [7, 6]), rel=1e-9)


def test_where_a_token_spans_question_and_answer_all_choices_are_scored_from_it():
    import tokenizers
    import transformers

    pieces = {"<pad>": 0, "<s>": 1, "</s>": 2, "q": 3, "x": 4, "y": 5, "z": 6, "xy": 7}
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=pieces, merges=[("x", "y")]))
    bpe.decoder = tokenizers.decoders.Fuse()
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    words.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    model = tiny()
    item = Item("a", "s", "", (Turn("user", "qx"),), choices=("y", "z"))
    (found,) = choose(model, words, [item])
    assert found.nats == pytest.approx([plain(model, [3], [7]), plain(model, [3], [4, 6])], rel=1e-9)
    assert found.tokens == (1, 2)


def test_the_model_is_left_as_it_was_found(chat_tokenizer, items):
    model = chat_model().train()
    state, config = torch.get_rng_state(), copy.deepcopy(model.config.to_dict())
    choose(model, chat_tokenizer, items)
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.config.to_dict() == config
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_what_cannot_be_chosen_is_named(chat_tokenizer):
    words, model = tokenizer(), tiny()
    asked = (Turn("user", "t4"),)

    def told(*items, **options):
        with pytest.raises(HoldfastError) as caught:
            choose(model, words, items, **options)
        return str(caught.value)

    good = Item("a", "s", "a", asked, choices=("t5", "t6"))
    assert told(Item("b", "s", text="t")) == "s/b: has no choices; give 'choices', the right one first."
    assert told(good, good) == "s/a: is given twice; ask every item once."
    assert told(Item("b", "s", "", asked, choices=("t5", " "))).startswith("s/b, choice 2: is blank;")
    assert told(Item("b", "s", "", (), choices=(" ", "t5"))).startswith("s/b, choice 1: is blank;")
    long = Item("b", "s", "", asked, choices=("t5", "t6 " * (VOCABULARY + 4)))
    assert told(good, long).startswith("s/b, choice 2: has ")
    assert told(Item("b", "s", "", (Turn("assistant", "t"),), choices=("t5", "t6"))).startswith(
        "s/b, choice 1: the con"
    )
    words.chat_template = None
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    assert told(good).startswith("The model gives s/a, choice 1 a likelihood of nan nats")
    assert choose(model, words, []) == []
