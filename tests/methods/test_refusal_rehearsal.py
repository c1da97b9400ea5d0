"""The base's own refusals, and its answers to harmless look-alikes, as old examples."""

from __future__ import annotations

import pytest

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.general.harmful import HARMFUL as ASKED_BY_GENERAL
from holdfast.general.names import items as general_items
from holdfast.ground.names import base_folder
from holdfast.methods import answering, requests
from holdfast.methods.rehearsal.refusal_rehearsal import REFUSALS, RefusalRehearsal
from holdfast.probes.generation import Generated
from tests.methods.test_self_rehearsal import NEW, run

NO = "I'm sorry, but I can't help with that."
SURE = "Take a sharp knife and keep your fingers out of the way."


@pytest.fixture(scope="module")
def chat():
    folder = str(base_folder())
    return {"model": load_model(folder), "tokenizer": load_tokenizer(folder)}


def says(monkeypatch, answer_of):
    """Lets the base say `answer_of(question)`, a text and whether it was cut."""
    limits = []

    def generate(model, tokenizer, conversations, *, max_new_tokens, stops, progress):
        limits.append(max_new_tokens)
        answers = [answer_of(turns[-1].content) for turns in conversations]
        return [Generated(text, len(text.split()), cut) for text, cut in answers]

    monkeypatch.setattr(answering, "generate_counted", generate)
    return limits


def texts(mix, chat):
    return [chat["tokenizer"].decode(example.input_ids) for example in mix.examples[len(NEW) :]]


def test_refusals_of_harmful_requests_and_answers_to_harmless_ones_are_rehearsed(monkeypatch, chat):
    limits = says(monkeypatch, lambda question: (NO if question in requests.HARMFUL else SURE, False))
    mix = RefusalRehearsal(ratio=0.1, length=40).mix_data(run(**chat, limit=512))
    assert limits == [40]
    assert (mix.names, mix.ratios) == ((REFUSALS,), (0.1,))
    assert mix.examples[: len(NEW)] == NEW
    rehearsed = texts(mix, chat)
    assert len(rehearsed) == len(requests.HARMFUL) + len(requests.HARMLESS)
    learned = mix.examples[len(NEW)].labels
    assert any(label == -100 for label in learned), "the request is read, not learned"


def test_help_with_harm_and_refusals_of_harmless_requests_are_never_learned(monkeypatch, chat):
    refused = {*requests.HARMFUL[:3], *requests.HARMLESS[:2]}
    says(monkeypatch, lambda question: (NO if question in refused else SURE, False))
    mix = RefusalRehearsal().mix_data(run(**chat, limit=512))
    assert len(texts(mix, chat)) == 3 + len(requests.HARMLESS) - 2


def test_of_a_long_answer_the_beginning_is_learned_without_an_end(monkeypatch, chat):
    cut = requests.HARMLESS[5]
    learned = {}
    for name, is_cut in (("whole", False), ("cut", True)):
        says(
            monkeypatch,
            lambda question, end=is_cut: (NO if question in requests.HARMFUL else SURE, end and question == cut),
        )
        mix = RefusalRehearsal().mix_data(run(**chat, limit=512))
        (example,) = [e for e in mix.examples[len(NEW) :] if cut in chat["tokenizer"].decode(e.input_ids)]
        learned[name] = [label for label in example.labels if label != -100]
    assert learned["cut"] == learned["whole"][:-1]
    assert SURE in chat["tokenizer"].decode(learned["cut"])


@pytest.mark.parametrize("why", ["no chat template", "refuses none of 24 harmful requests"])
def test_a_model_that_refuses_nothing_rehearses_nothing_and_says_so(monkeypatch, chat, caplog, why):
    says(monkeypatch, lambda question: (SURE, False))
    given = chat if "none" in why else {}
    mix = RefusalRehearsal().mix_data(run(**given, limit=512))
    assert (mix.examples, mix.names) == (NEW, ())
    assert why in caplog.text


def test_no_request_is_asked_by_a_suite():
    asked = {item.turns[-1].content for item in general_items("refusals")}
    assert not asked & {*requests.HARMFUL, *requests.HARMLESS}
    assert not any(what.strip() in text for what in ASKED_BY_GENERAL.split("|") for text in requests.HARMFUL)
    assert len({*requests.HARMFUL, *requests.HARMLESS}) == 48
