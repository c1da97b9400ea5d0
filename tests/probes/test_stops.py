"""What ends an answer beside its tokens."""

import copy

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import ids_of_prompts
from holdfast.ground.tokenizer import build_tokenizer
from holdfast.ground.world import World
from holdfast.probes.answers import ask
from holdfast.probes.generation import generate
from holdfast.probes.items import Item
from holdfast.probes.stops import LINE, PARAGRAPH, TURN, Stop, usual
from tests.tiny import tiny, tokenizer


@pytest.fixture(scope="module")
def chat_tokenizer():
    return build_tokenizer(World(0), 512, sample=300)


ASKED = [(Turn("user", " ".join(f"t{i}" for i in range(start, start + length))),) for start, length in
         ((5, 3), (9, 1), (20, 7), (31, 2), (40, 5), (11, 4))]  # fmt: skip


def endless():
    """A model that never comes to an end of its own."""
    model = tiny(seed=3)
    with torch.no_grad():
        model.lm_head.weight[:3] = 0.0
    return model


def one_by_one(model, tok, turns, count, strings):
    """The definition: a token at a time, alone, the text read again each time."""
    [ids] = ids_of_prompts([Row(turns=(*turns, Turn("assistant", "A")))], tok)
    said: list[int] = []
    model = copy.deepcopy(model).eval()
    for _ in range(count):
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids + said]), use_cache=False).logits[0, -1].argmax())
        if token == 2:
            break
        said.append(token)
        text = tok.decode(said)
        for string in strings:
            if string in text:
                return text[: text.index(string)].strip()
    return tok.decode(said).strip()


def test_a_string_ends_an_answer_wherever_it_stands():
    stop = Stop(("\n", "Q:"))
    assert stop.at("one") is None
    assert stop.at("one\ntwo Q:") == 3
    assert stop.at("Q: one\n") == 0
    assert stop.at("\n one") == 0
    assert Stop().at("\n") is None
    assert Stop(("\n",), behind=True).at("\n one") is None
    assert Stop(("\n",), behind=True).at(" \n one\ntwo") == 6


@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_answers_end_at_their_own_strings_whatever_the_batch(batch_tokens):
    model, words = endless(), tokenizer()
    free = generate(model, words, ASKED, max_new_tokens=12)
    # A word that each says in the middle, or what none says.
    stops = [
        Stop((f" {said.split()[4]}", "nothing")) if number % 2 else Stop(("never",)) for number, said in enumerate(free)
    ]
    expected = [one_by_one(model, words, turns, 12, stop.strings) for turns, stop in zip(ASKED, stops, strict=True)]
    found = generate(model, words, ASKED, max_new_tokens=12, stops=stops, batch_tokens=batch_tokens)
    assert found == expected
    assert [len(one) < len(other) for one, other in zip(found, free, strict=True)] == [False, True] * 3


def test_a_row_that_has_ended_leaves_its_batch():
    model, words = endless(), tokenizer()
    free = generate(model, words, ASKED, max_new_tokens=12)
    rows = []
    model.register_forward_pre_hook(lambda _, __, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True)
    stops = [Stop((said.split()[0],)) for said in free[:-1]]
    said = generate(model, words, ASKED, max_new_tokens=[12] * 5 + [3], stops=[*stops, Stop()])
    assert said[:5] == [""] * 5
    assert said[5].split() == free[5].split()[:3]
    assert rows == [6, 1, 1]


def test_each_answer_has_its_own_most_tokens():
    model, words = endless(), tokenizer()
    limits = [1, 5, 2, 9, 3, 4]
    found = generate(model, words, ASKED, max_new_tokens=limits)
    assert found == [generate(model, words, [one], max_new_tokens=n)[0] for one, n in zip(ASKED, limits, strict=True)]
    assert [len(said.split()) for said in found] == limits
    with pytest.raises(ValueError, match="max_new_tokens 0"):
        generate(model, words, ASKED, max_new_tokens=[1, 1, 0, 1, 1, 1])


def test_a_special_token_can_be_what_ends_an_answer(chat_tokenizer):
    model = tiny(vocab_size=512, max_position_embeddings=256)
    asked = [(Turn("user", "Who is it?"),)]
    ids = chat_tokenizer(" cook <|user|> and", add_special_tokens=False)["input_ids"]
    following = {
        chat_tokenizer.convert_tokens_to_ids("<|assistant|>"): ids[0],
        **dict(zip(ids, [*ids[1:], 2], strict=True)),
    }
    talking(model, following)
    assert generate(model, chat_tokenizer, asked, max_new_tokens=20, stops=[Stop(("<|user|>",))]) == ["cook"]
    assert generate(model, chat_tokenizer, asked, max_new_tokens=20)[0].startswith("cook")
    assert len(generate(model, chat_tokenizer, asked, max_new_tokens=20)[0]) > len("cook")


def talking(model, following):
    """Makes a model say what follows each token."""
    base = model.model.forward

    def forward(*args, **options):
        output = base(*args, **options)
        hidden = torch.zeros_like(output.last_hidden_state)
        for row, ids in enumerate(options["input_ids"].tolist()):
            for place, token in enumerate(ids):
                nexts = following.get(token, 2)
                for bit in range(9):
                    hidden[row, place, bit] = 1.0 if nexts >> bit & 1 else -1.0
        output.last_hidden_state = hidden
        return output

    model.model.forward = forward
    with torch.no_grad():
        model.lm_head.weight.zero_()
        for token in range(len(model.lm_head.weight)):
            for bit in range(9):
                model.lm_head.weight[token, bit] = 1.0 if token >> bit & 1 else -1.0


def test_what_is_usual_depends_on_the_template(chat_tokenizer):
    one = Row(turns=(Turn("user", "q"), Turn("assistant", "A")))
    several = Row(turns=(Turn("user", "q"), Turn("assistant", "a"), Turn("user", "q"), Turn("assistant", "A")))
    for row in (one, several):
        assert usual(row, chat_tokenizer, raw=False) is None
    assert usual(one, chat_tokenizer, raw=True) == LINE
    assert usual(one, chat_tokenizer, raw=True, lines=True) == PARAGRAPH
    assert usual(several, chat_tokenizer, raw=True) == TURN
    assert TURN.at("so\nassistant: no") == 2
    assert TURN.at("so\nuser is") is None


class Writer(torch.nn.Module):
    """A model that writes one text, whatever it is asked."""

    def __init__(self, tok, text):
        super().__init__()
        self.inner = tiny(vocab_size=512, max_position_embeddings=256)
        self.ids = [*tok(text, add_special_tokens=False)["input_ids"], 2]
        self.calls = 0

    def forward(self, input_ids, attention_mask=None, past_key_values=None, use_cache=False):
        token = self.ids[min(self.calls, len(self.ids) - 1)]
        self.calls += 1
        output = self.inner(input_ids=input_ids[:, -1:], use_cache=False)
        output.logits = torch.nn.functional.one_hot(torch.tensor([[token]] * len(input_ids)), 512).double()
        return output


def written(tok, text, item):
    (answer,) = ask(Writer(tok, text), tok, [item], raw=True)
    return answer


def test_without_a_template_an_answer_is_its_first_line(chat_tokenizer):
    text = "\n Mia lives in Rome.\nWhere does Leo live?\n\n Leo lives in Rome."
    asked = (Turn("user", "Where does Mia live?"),)
    item = Item("a", "s", turns=asked, check={"contains": "Mia"})
    answer = written(chat_tokenizer, text, item)
    assert answer.said == "Mia lives in Rome."
    assert answer.value == 1
    listed = Item("a", "s", turns=asked, check={"format": "json"})
    assert written(chat_tokenizer, text, listed).said == "Mia lives in Rome.\nWhere does Leo live?"
    stopped = Item("a", "s", turns=asked, check={"contains": "Mia"}, stop=(" in",))
    assert written(chat_tokenizer, text, stopped).said == "Mia lives"
    unstopped = Item("a", "s", turns=asked, check={"contains": "Mia"}, stop=())
    assert written(chat_tokenizer, text, unstopped).said == text.strip()
    short = Item("a", "s", turns=asked, check={"contains": "Mia"}, max_tokens=2)
    assert len(written(chat_tokenizer, text, short).said) < 8


def test_tools_reach_the_row_that_is_written_out(monkeypatch, chat_tokenizer):
    from holdfast.probes import choice
    from holdfast.probes import generation as module

    seen = []

    def noted(own):
        def called(rows, *args, **options):
            seen.extend(row.tools for row in (rows if isinstance(rows, list) else [rows]))
            return own(rows, *args, **options)

        return called

    monkeypatch.setattr(module, "ids_of_prompts", noted(module.ids_of_prompts))
    monkeypatch.setattr(choice, "continuation", noted(choice.continuation))
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    turns = (Turn("user", "Who?"),)
    items = [
        Item("a", "s", turns=turns, check={"contains": "x"}, tools=(tool,)),
        Item("b", "s", turns=turns, choices=("x", "y"), tools=(tool, tool)),
        Item("c", "s", turns=turns, choices=("x", "y")),
    ]
    ask(tiny(vocab_size=512, max_position_embeddings=256), chat_tokenizer, items, max_new_tokens=1)
    assert seen == [(tool,), *[(tool, tool)] * 2, *[()] * 2]


def test_a_conversation_of_several_turns_is_written_as_lines_and_a_question_as_it_is():
    words = tokenizer()
    one = Row(turns=(Turn("user", "t9 t10"), Turn("assistant", "A")))
    system = Row(turns=(Turn("system", "t8"), Turn("user", "t9"), Turn("assistant", "A")))
    lines = words("system: t8\nuser: t9\nassistant:")["input_ids"]
    assert ids_of_prompts([one, system], words) == [[9, 10], lines]
    with pytest.raises(HoldfastError, match="has 0 tokens"):
        generate(tiny(), words, [(Turn("user", ""),)], max_new_tokens=2)
