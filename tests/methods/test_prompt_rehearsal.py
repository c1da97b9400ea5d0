"""The base's own answers to everyday prompts, as old examples."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.general.names import KINDS
from holdfast.general.names import items as general_items
from holdfast.ground.names import base_folder
from holdfast.methods import answering
from holdfast.methods.answering import share_read
from holdfast.methods.prompts import PROMPTS
from holdfast.methods.rehearsal.prompt_rehearsal import ANSWERS, PromptRehearsal
from holdfast.methods.rehearsal.refusal_rehearsal import RefusalRehearsal
from holdfast.probes.generation import Generated
from tests.methods.test_self_rehearsal import NEW, run

SAID = "The answer to this is a matter of taste."
CIRCLE = "again and again and again and again and again and again and again and again and again"


@pytest.fixture(scope="module")
def chat():
    folder = str(base_folder())
    return {"model": load_model(folder), "tokenizer": load_tokenizer(folder)}


@pytest.fixture
def plain(chat):
    tokenizer = load_tokenizer(str(base_folder()))
    tokenizer.chat_template = None
    return {"model": chat["model"], "tokenizer": tokenizer}


def says(monkeypatch, answer_of):
    """Lets the base say `answer_of(prompt)`, a text and whether it was cut; returns what it was asked."""
    seen = {}

    def generate(model, tokenizer, conversations, *, max_new_tokens, stops, progress):
        seen.update(asked=[turns[-1].content for turns in conversations], limit=max_new_tokens, stops=stops)
        answers = [answer_of(text) for text in seen["asked"]]
        return [Generated(text, len(text.split()), cut) for text, cut in answers]

    monkeypatch.setattr(answering, "generate_counted", generate)
    return seen


def texts(mix, tokenizer):
    return [tokenizer.decode(example.input_ids) for example in mix.examples[len(NEW) :]]


def test_a_chat_model_is_asked_each_prompt_and_its_answers_are_learned(monkeypatch, chat):
    seen = says(monkeypatch, lambda text: (SAID, False))
    mix = PromptRehearsal(ratio=0.2, length=40).mix_data(run(**chat, limit=512))
    assert (seen["asked"], seen["limit"], seen["stops"]) == (list(PROMPTS), 40, None)
    assert (mix.names, mix.ratios, mix.examples[: len(NEW)]) == ((ANSWERS,), (0.2,), NEW)
    assert len(texts(mix, chat["tokenizer"])) == len(PROMPTS)
    example = mix.examples[len(NEW)]
    learned = chat["tokenizer"].decode([label for label in example.labels if label != -100])
    assert SAID in learned
    assert PROMPTS[0] not in learned


def test_so_many_answers_are_read_unless_they_take_more_than_half_of_the_tokens():
    answers = [Example([0] * 40, [-100] * 20 + [0] * 20)] * 100
    for tokens, share in ((90, 0.1), (5, 2 / 7), (1, 0.5)):  # one answer of 20 tokens for ten examples
        for rows in (100, 10_000):
            new = [Example([0] * 120, [-100] * (120 - tokens) + [0] * tokens)] * rows
            assert share_read(0.1, 0.1, new, answers) == pytest.approx(share)
            assert share_read(0.1, 0.0, new, answers) == 0.1
            assert share_read(0.7, 0.1, new, answers) == 0.7


def test_the_share_of_a_run_follows_from_its_rows(monkeypatch, chat, caplog):
    caplog.set_level(logging.INFO, "holdfast")
    says(monkeypatch, lambda text: (SAID, False))
    assert PromptRehearsal(per_example=0.0).mix_data(run(**chat, limit=512)).ratios == (0.1,)
    assert "short" not in caplog.text
    mix = PromptRehearsal(per_example=5.0).mix_data(run(**chat, limit=512))
    own, new = [e for e in mix.examples if e.source == 1], mix.examples[: len(NEW)]
    assert mix.ratios == (share_read(0.1, 5.0, new, own),)
    assert "the new examples are short; a share of 0.50 of the tokens is answers" in caplog.text


def test_a_model_without_a_template_continues_a_question(monkeypatch, plain):
    seen = says(monkeypatch, lambda text: (SAID, False))
    mix = PromptRehearsal().mix_data(run(**plain, limit=512))
    assert seen["asked"][0] == f"Question: {PROMPTS[0]}\nAnswer:"
    assert all(stop.at("Berlin.\nQuestion: What") == 7 for stop in seen["stops"])
    example = mix.examples[len(NEW)]
    assert f"Answer: {SAID}" in plain["tokenizer"].decode(example.input_ids, skip_special_tokens=True)
    learned = [label for label in example.labels if label != -100]
    assert plain["tokenizer"].decode(learned, skip_special_tokens=True).strip() == SAID


def test_empty_and_repetitive_answers_are_left_out_and_counted(monkeypatch, chat, caplog):
    caplog.set_level(logging.INFO, "holdfast")
    bad = {PROMPTS[0]: "", PROMPTS[1]: CIRCLE}
    says(monkeypatch, lambda text: (bad.get(text, SAID), False))
    mix = PromptRehearsal().mix_data(run(**chat, limit=512))
    assert len(texts(mix, chat["tokenizer"])) == len(PROMPTS) - 2
    assert f"{len(PROMPTS) - 2} answers; 2 were empty or repeated" in caplog.text
    says(monkeypatch, lambda text: (bad.get(text, SAID), False))
    mix = PromptRehearsal(repeat=1.0).mix_data(run(**chat, limit=512))
    assert len(texts(mix, chat["tokenizer"])) == len(PROMPTS) - 1, "repeat=1 keeps what repeats"


def test_of_a_long_answer_the_beginning_is_learned_without_an_end(monkeypatch, chat):
    learned = {}
    for is_cut in (False, True):
        says(monkeypatch, lambda text, is_cut=is_cut: (SAID, is_cut))
        example = PromptRehearsal().mix_data(run(**chat, limit=512)).examples[len(NEW)]
        learned[is_cut] = [label for label in example.labels if label != -100]
    assert learned[True] == learned[False][:-1]


def test_a_base_that_says_nothing_is_refused_with_the_mend(monkeypatch, chat):
    says(monkeypatch, lambda text: ("", False))
    with pytest.raises(HoldfastError, match=r"all 100 answers of the base are empty.*Rehearsal\(\)"):
        PromptRehearsal().mix_data(run(**chat, limit=512))


def test_the_base_answers_nothing_where_no_share_would_be_left_to_the_new_examples(monkeypatch, chat):
    seen = says(monkeypatch, lambda text: (SAID, False))
    for method in (PromptRehearsal(ratio=0.5), RefusalRehearsal(ratio=0.5)):
        given = run(**chat, limit=512)
        given = dataclasses.replace(given, mix=given.mix.with_memory("old", NEW, 0.6))
        with pytest.raises(HoldfastError, match="the memories would make up 110% of the tokens; leave some to the new"):
            method.mix_data(given)
    assert not seen


def test_no_prompt_is_asked_by_a_suite():
    asked = {part.content for kind in KINDS for item in general_items(kind) for part in item.turns}
    asked |= {item.prompt for kind in KINDS for item in general_items(kind) if getattr(item, "prompt", "")}
    assert not asked & set(PROMPTS)
    assert len(set(PROMPTS)) == 100
