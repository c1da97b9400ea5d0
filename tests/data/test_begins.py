"""The tokens that begin and end a sequence: once each, and before every window of a long text."""

from __future__ import annotations

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

import holdfast
from holdfast.data.examples import Row, Turn, read
from holdfast.data.tokenization import ending_ids, ids_of_prompts, tokenize
from tests.data import conftest as templates

BASE = f"{holdfast.__path__[0]}/ground/base"


@pytest.fixture(scope="module")
def grounds() -> transformers.PreTrainedTokenizerFast:
    """The tokenizer of the ground, made to add its BOS, as Gemma's does."""
    plain = transformers.AutoTokenizer.from_pretrained(BASE)
    fast = Tokenizer.from_str(plain.backend_tokenizer.to_str())
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", plain.convert_tokens_to_ids("<s>"))]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", bos_token="<s>", eos_token="</s>", chat_template=plain.chat_template
    )


def examples(text: str, tokenizer: object, max_length: int = 10_000) -> list:
    return tokenize([Row(text=text, origin="t:1")], tokenizer, max_length=max_length).examples


def test_a_text_that_a_template_wrote_begins_and_ends_once(grounds):
    (row,) = read([{"text": "<s><|user|> Hi there.<|assistant|> Hello to you.</s>"}])
    (example,) = tokenize([row], grounds, max_length=100).examples
    ids = list(example.input_ids)
    assert ids.count(grounds.bos_token_id) == ids.count(grounds.eos_token_id) == 1
    assert (ids[0], ids[-1]) == (grounds.bos_token_id, grounds.eos_token_id)
    (plain,) = examples("<|user|> Hi there.<|assistant|> Hello to you.", grounds)
    assert plain.input_ids == example.input_ids


@pytest.mark.parametrize("text", ["once", "<s>once", "once</s>", "<s>once</s>"])
@pytest.mark.parametrize("options", [{}, {"bos": True}, {"bos": True, "eos_by_habit": True}])
def test_what_the_tokenizer_adds_is_there_once_whatever_the_text_has(make_tokenizer, text, options):
    tokenizer = make_tokenizer(**options)
    (example,) = examples(text, tokenizer)
    begun = bool(options) or text.startswith("<s>")
    assert tokenizer.decode(example.input_ids) == ("<s>" if begun else "") + "once</s>"


def test_white_space_behind_the_end_gets_no_second_end(make_tokenizer):
    (example,) = examples("once</s>\n", make_tokenizer())
    assert make_tokenizer().decode(example.input_ids) == "once</s>\n"


@pytest.mark.parametrize("bos", [False, True])
def test_a_prompt_that_a_template_wrote_is_left_as_it_is_and_said(make_tokenizer, bos, learned):
    tokenizer = make_tokenizer(templates.CHATML, bos=bos)
    row = Row(prompt="<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", completion="Yes", origin="d:1")
    prepared = tokenize([row], tokenizer, max_length=200)
    begin = "<s>" if bos else ""
    assert tokenizer.decode(prepared.examples[0].input_ids) == f"{begin}{row.prompt}Yes</s>"
    assert tokenizer.decode(ids_of_prompts([row], tokenizer)[0]) == f"{begin}{row.prompt}"
    assert prepared.notes.sentences() == [
        "1 of 1 row begins with a special token, already written by a template, and is kept as it is (first: d:1)."
    ]


def test_what_ends_a_turn_and_stands_in_the_content_is_written_once(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.CHATML)
    for end in ("<|im_end|>", "<|im_end|>\n"):
        row = Row(
            turns=(Turn("user", "u"), Turn("assistant", f"a{end}"), Turn("user", "v"), Turn("assistant", f"b{end}"))
        )
        (example,) = tokenize([row], tokenizer, max_length=200).examples
        assert learned(example, tokenizer) == "a<|im_end|>b<|im_end|>"


def test_a_template_that_begins_a_conversation_finds_no_second_beginning_in_it(make_tokenizer):
    tokenizer = make_tokenizer(templates.WITH_BOS, bos=True)
    row = Row(turns=(Turn("user", "<s>u"), Turn("assistant", "a")))
    (example,) = tokenize([row], tokenizer, max_length=200).examples
    assert list(example.input_ids).count(tokenizer.bos_token_id) == 1


@given(st.integers(0, 40), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_every_window_begins_with_bos_and_every_token_is_predicted_once(make_tokenizer, length, max_length):
    tokenizer = make_tokenizer(bos=True)
    text = "".join(chr(ord("a") + n % 26) for n in range(2 * length + 2))
    whole = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    found = examples(text, tokenizer, max_length)
    predicted = [label for example in found for label in example.labels[1:] if label != -100]
    assert predicted == whole[1:]
    assert sum(example.supervised for example in found) == len(whole) - 1
    at = 0
    for example in found:
        ids = list(example.input_ids)
        assert ids[0] == tokenizer.bos_token_id
        assert len(ids) <= max_length
        new = [label for label in example.labels[1:] if label != -100]
        at += len(new)
        context = ids[1 : len(ids) - len(new)]
        if at > len(new):  # not the first window: what stands before the new tokens is the token before them
            assert context == ([whole[at - len(new)]] if max_length > 2 else [])
            assert ids[-len(new) :] == new
    assert at == len(whole) - 1


def test_windows_of_the_grounds_tokenizer_begin_with_bos(grounds):
    text = "Once upon a time there was a cat named Tom. Tom liked to play. " * 20
    found = examples(text, grounds, 32)
    assert len(found) > 5
    assert all(example.input_ids[0] == grounds.bos_token_id for example in found)
    whole = grounds(text)["input_ids"]
    assert [label for e in found for label in e.labels[1:] if label != -100] == [*whole[1:], grounds.eos_token_id]


def test_segments_are_written_as_they_stand_and_learned_where_they_say(make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.CHATML, bos=True)
    segments = [(False, "<s>q\n"), (True, "a</s>"), (False, "r"), (True, "b</s>")]
    (row,) = read([{"segments": [{"label": label, "text": text} for label, text in segments]}])
    (example,) = tokenize([row], tokenizer, max_length=200).examples
    assert tokenizer.decode(example.input_ids) == "<s>q\na</s>rb</s>"
    assert learned(example, tokenizer) == "a</s>b</s>"
    windows = tokenize([row], tokenizer, max_length=4).examples
    assert "".join(learned(window, tokenizer) for window in windows) == "a</s>b</s>"


def test_the_tokens_that_end_an_answer_are_those_of_the_sequence_and_of_the_turn(make_tokenizer):
    tokenizer = make_tokenizer(templates.CHATML)
    eos, turn = tokenizer.convert_tokens_to_ids(["</s>", "<|im_end|>"])
    assert ending_ids(tokenizer) == {eos, turn}
    assert ending_ids(tokenizer, raw=True) == {eos}
    assert ending_ids(make_tokenizer()) == {eos}
    assert ending_ids(make_tokenizer("{{ raise_exception('never') }}")) == {eos}
