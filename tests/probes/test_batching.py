"""Batches that do not fit into memory are read in smaller ones."""

import logging
import random

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.rows import Turn
from holdfast.probes import batching
from holdfast.probes.batching import tokens_of
from holdfast.probes.drift import drift
from holdfast.probes.generation import generate
from holdfast.probes.likelihood import document_nll
from holdfast.probes.shared_prefix import group_nll
from tests.tiny import VOCABULARY, tiny, tokenizer

CPU = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 bytes.")
ERRORS = (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB"), CPU, MemoryError())


@pytest.fixture
def examples():
    draw = random.Random(0)
    made = []
    for number in range(12):
        ids = [draw.randrange(3, VOCABULARY) for _ in range(draw.randint(4, 16))]
        made.append(Example(ids, ids, origin=f"{number}"))
    return made


def with_room(tokens, error=ERRORS[0], **options):
    """A model that has room for so many tokens at once, and the sizes of the calls that it was asked for."""
    model, asked = tiny(**options), []

    def look(_module, _inputs, given):
        asked.append(given["input_ids"].numel())
        if asked[-1] > tokens:
            raise error

    model.register_forward_pre_hook(look, with_kwargs=True)
    return model, asked


@pytest.mark.parametrize("error", ERRORS)
def test_what_does_not_fit_is_halved_until_it_does_and_said_once(examples, error, caplog):
    wanted = document_nll(tiny(), examples)
    model, asked = with_room(50, error)
    told = []
    with caplog.at_level(logging.WARNING, logger="holdfast"):
        found = document_nll(model, examples, progress=lambda *done: told.append(done))
        later = document_nll(model, examples)
    assert [(s.origin, s.tokens) for s in found] == [(s.origin, s.tokens) for s in wanted]
    assert [s.nats for s in found] == pytest.approx([s.nats for s in wanted], rel=1e-12)
    assert [s.nats for s in later] == [s.nats for s in found]
    assert told[-1] == (12, 12)
    assert told == sorted(told)
    assert len(caplog.messages) == 1
    assert "There is not enough memory for batches of" in caplog.messages[0]
    # Later calls begin with what fitted.
    refused = [size for size in asked if size > 50]
    assert 1 <= len(refused) <= 3
    assert asked.index(refused[-1]) < len(asked) // 2


def test_drift_choices_and_answers_are_halved_too(examples, caplog):
    other = tiny(seed=1)
    wanted = [s.nats for s in drift(tiny(), other, examples)]
    model, _ = with_room(40, seed=1)
    assert [s.nats for s in drift(tiny(), model, examples)] == pytest.approx(wanted, rel=1e-9)
    groups = [
        [Example([*one.input_ids, *end], [*one.labels, *end], origin=f"{one.origin} {end}") for end in ((4, 5), (6, 7))]
        for one in examples
    ]
    wanted = {s.origin: s.nats for s in group_nll(other, groups)}
    model, _ = with_room(40, seed=1)
    assert {s.origin: s.nats for s in group_nll(model, groups)} == pytest.approx(wanted, rel=1e-9)
    asked = [(Turn("user", " ".join(f"t{i}" for i in one.input_ids)),) for one in examples]
    wanted = generate(other, tokenizer(), asked, max_new_tokens=5)
    model, _ = with_room(40, seed=1)
    told = []
    said = generate(model, tokenizer(), asked, max_new_tokens=5, progress=lambda *done: told.append(done))
    assert said == wanted
    assert told == [(number + 1, 12) for number in range(12)]


def test_one_text_that_does_not_fit_is_refused_with_the_mend(examples):
    model, _ = with_room(10)
    with pytest.raises(HoldfastError, match=r"^There is not enough memory to read 1\d tokens at once .*--max-length"):
        document_nll(model, examples)


def test_other_errors_are_not_taken_for_a_want_of_memory(examples):
    model, asked = with_room(10, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        document_nll(model, examples)
    assert len(asked) == 1


def test_a_batch_is_as_large_as_is_asked_for_or_usual(monkeypatch):
    model = tiny()
    assert tokens_of(model, None) == 8192
    monkeypatch.setattr(batching, "LARGE", 100)
    assert tokens_of(model, None) == 2048
    assert tokens_of(model, None, writes=True) == 8192
    assert tokens_of(model, 7) == 7
    with pytest.raises(ValueError, match="batch_tokens 0: give a positive number of tokens"):
        tokens_of(model, 0)
