"""Items asked in their forms."""

import copy
import math

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import tokenize
from holdfast.ground.corpus import suites
from holdfast.ground.tokenizer import build_tokenizer
from holdfast.ground.world import World
from holdfast.probes.answers import Answer, accuracy, ask, form_of
from holdfast.probes.calibration import calibration
from holdfast.probes.checks import fulfils
from holdfast.probes.choice import choose
from holdfast.probes.generation import generate
from holdfast.probes.items import Item
from holdfast.probes.likelihood import document_nll
from tests.tiny import tiny


@pytest.fixture(scope="module")
def words():
    return build_tokenizer(World(0), 512, sample=300)


@pytest.fixture(scope="module")
def model():
    return tiny(vocab_size=512, max_position_embeddings=256)


@pytest.fixture(scope="module")
def items():
    made = suites(World(0), 1, 2)
    return [item for own in made.values() for item in own]


def same(one, other):
    assert (one.item, one.form, one.said, one.picked, one.tokens) == (
        other.item,
        other.form,
        other.said,
        other.picked,
        other.tokens,
    )
    for name in ("value", "confidence", "nats"):
        value = getattr(other, name)
        assert getattr(one, name) == (value if value is None else pytest.approx(value, rel=1e-9))


def test_every_item_is_asked_in_its_form(model, words, items):
    found = ask(model, words, items, max_new_tokens=6)
    assert [answer.item for answer in found] == items
    assert {answer.form for answer in found} == {"generate", "choice", "text"}
    for answer in found:
        item = answer.item
        if answer.form == "generate":
            (said,) = generate(model, words, [item.turns], max_new_tokens=6)
            assert (answer.said, answer.value) == (said, float(fulfils(said, item.check)))
            assert (answer.choice, answer.picked, answer.confidence, answer.nats) == (None, None, None, None)
        elif answer.form == "choice":
            (choice,) = choose(model, words, [item])
            assert answer.choice.nats == pytest.approx(choice.nats, rel=1e-9)
            assert answer.picked == choice.picked
            assert answer.said == item.choices[answer.picked]
            assert answer.value == float(answer.picked == 0)
            assert answer.confidence == pytest.approx(max(choice.probabilities))
        else:
            examples = tokenize([Row(text=item.text)], words, max_length=256).examples
            (score,) = document_nll(model, examples)
            assert (answer.nats, answer.tokens) == (pytest.approx(score.nats), score.tokens)
            assert answer.value == pytest.approx(score.nats / score.tokens)


def test_what_else_is_asked_does_not_matter(model, words, items):
    together = ask(model, words, items, max_new_tokens=4)
    turned = ask(model, words, items[::-1], max_new_tokens=4, batch_tokens=300)[::-1]
    for one, other in zip(together, turned, strict=True):
        same(one, other)
    for answer in together[::5]:
        same(answer, ask(model, words, [answer.item], max_new_tokens=4)[0])


def test_a_form_can_be_asked_for(model, words, items):
    facts = [item for item in items if item.choices and item.check]
    found = ask(model, words, facts, form="choice")
    assert {answer.form for answer in found} == {"choice"}
    assert [answer.picked for answer in found] == [choice.picked for choice in choose(model, words, facts)]
    calibrated = calibration(found)
    assert calibrated.count == len(facts)
    text = [item for item in items if item.text]
    assert {a.form for a in ask(model, words, text, form="text")} == {"text"}


def test_a_right_answer_is_right(words):
    """A model that says one word whatever it is asked."""
    said = words(" cook", add_special_tokens=False)["input_ids"]
    model = tiny(vocab_size=512)
    sequence = [*said, 2]
    following = dict(zip([words.convert_tokens_to_ids("<|assistant|>"), *said], sequence, strict=True))

    def head(_, __, output):
        # The k-th token of the answer, by how many stand behind the assistant's header.
        output.logits = torch.zeros_like(output.logits)
        for row in range(len(output.logits)):
            output.logits[row, -1, following[int(head.last[row])]] = 5.0
        return output

    def look(_, __, inputs):
        head.last = inputs["input_ids"][:, -1]

    model.register_forward_pre_hook(look, with_kwargs=True)
    model.register_forward_hook(head)
    asked = (Turn("user", "Who?"),)
    right = Item("a", "jobs", "a", asked, check={"exact": "Cook.", "format": "word"})
    wrong = Item("b", "jobs", "b", (Turn("user", "What does he do for a living?"),), check={"contains": "sailor"})
    other = Item("c", "other", "c", asked, check={"lacks": "sailor"})
    found = ask(model, words, [wrong, right, other])
    assert [answer.said for answer in found] == ["cook"] * 3
    assert [answer.value for answer in found] == [0.0, 1.0, 1.0]
    assert accuracy(found) == {"jobs": 0.5, "other": 1.0}


def test_texts_are_neither_right_nor_wrong():
    text = Answer(Item("a", "text", text="t"), "text", 3.2, nats=32.0, tokens=10)
    right = Answer(Item("b", "s"), "generate", 1.0)
    assert accuracy([text, right]) == {"s": 1.0}
    assert accuracy([text]) == accuracy([]) == {}


def test_long_texts_are_read_in_windows_of_the_context(words):
    model = tiny(vocab_size=512, max_position_embeddings=32)
    item = Item("a", "s", text="The villages beside the boats cover the teachers. " * 8)
    (answer,) = ask(model, words, [item])
    examples = tokenize([Row(text=item.text, origin="x")], words, max_length=32).examples
    assert len(examples) > 2
    (score,) = document_nll(model, examples)
    assert (answer.nats, answer.tokens) == (pytest.approx(score.nats), score.tokens)


def test_progress_is_of_items_and_ends_at_their_number(model, words, items):
    told = []
    ask(model, words, items, max_new_tokens=2, batch_tokens=500, progress=lambda *done: told.append(done))
    assert told[-1] == (len(items), len(items))
    assert told == sorted(told)
    assert len(told) > 5
    assert ask(model, words, [], progress=lambda *done: told.append(done)) == []


def test_the_model_is_left_as_it_was_found(words, items):
    model = tiny(vocab_size=512, max_position_embeddings=256).train()
    state, config = torch.get_rng_state(), copy.deepcopy(model.config.to_dict())
    ask(model, words, items[::4], max_new_tokens=2)
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.config.to_dict() == config
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_what_cannot_be_asked_is_named(model, words):
    asked = (Turn("user", "Who?"),)
    checked = Item("a", "s", "a", asked, check={"exact": "x"})
    bare = Item("b", "s", choices=("x", "y"))
    text = Item("c", "s", text="t")

    def told(items, **options):
        with pytest.raises(HoldfastError) as caught:
            ask(model, words, items, **options)
        return str(caught.value)

    assert told([checked, bare], form="generate") == (
        "s/b: has no question with a 'check', so it cannot be asked as 'generate'; use form='choice' or leave it out."
    )
    assert told([checked], form="choice").startswith("s/a: has no 'choices', so it cannot be asked as 'choice'; use")
    assert told([bare], form="text").startswith("s/b: has no 'text'")
    assert told([Item("d", "s", "d", asked)]).startswith("s/d: asks nothing; give a 'check' with a question")
    assert told([Item("d", "s", check={"exact": "x"})]).startswith("s/d: asks nothing")
    assert told([text, Item("d", "s", text="  ")]).startswith("s/d: the text has no token to predict")
    assert told([text, text]) == "s/c: is given twice; ask every item once."
    assert told([text], form="guess") == "form='guess': choose one of 'auto', 'generate', 'choice', 'text'."
    assert told([Item("e", "s", "e", (Turn("user", "who " * 300),), check={"exact": "x"})]).startswith("s/e: has ")


def test_the_form_of_an_item():
    asked = (Turn("user", "Who?"),)
    assert form_of(Item("a", "s", "", asked, check={"exact": "x"}, choices=("x", "y"), text="t")) == "generate"
    assert form_of(Item("a", "s", "", asked, choices=("x", "y"), text="t")) == "choice"
    assert form_of(Item("a", "s", "", text="t")) == "text"


def test_a_uniform_model_costs_the_logarithm_of_the_vocabulary(words, items):
    model = tiny(vocab_size=512, max_position_embeddings=256)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    for answer in ask(model, words, [item for item in items if item.text]):
        assert answer.value == pytest.approx(math.log(512), rel=1e-6)


def test_without_a_template_a_model_continues_the_plain_prompt(model, words):
    asked = Item(
        "a", "s", "a", (Turn("user", "Q", False),), check={"any": "x"}, choices=("b", "c"), plain="who is it ->"
    )
    plainly = Item("a", "s", "a", (Turn("user", "who is it ->", False),), check={"any": "x"}, choices=("b", "c"))
    chat = Item("a", "s", "a", (Turn("user", "Q", False),), check={"any": "x"}, choices=("b", "c"))
    for form in ("generate", "choice"):
        for raw, other in ((True, plainly), (False, chat)):
            (one,) = ask(model, words, [asked], form=form, raw=raw, max_new_tokens=8)
            (wanted,) = ask(model, words, [other], form=form, raw=raw, max_new_tokens=8)
            assert one.item is asked
            assert (one.said, one.choice) == (wanted.said, wanted.choice)
    both = [ask(model, words, [asked], form="choice", raw=raw)[0].choice for raw in (True, False)]
    assert both[0] != both[1]
