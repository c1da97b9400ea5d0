"""What a model writes of itself."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.ground.names import base_folder
from holdfast.probes import composition
from holdfast.probes.composition import chats, documents, ids_of
from tests import tiny


@pytest.fixture(scope="module")
def base():
    from holdfast.bench.given.loading import load_model, load_tokenizer

    return load_model(str(base_folder())), load_tokenizer(str(base_folder()))


def test_documents_begin_at_the_beginning_and_end_where_the_model_ends_them(base):
    model, tokenizer = base
    found = documents(model, tokenizer, 24, max_tokens=60)
    assert len(found) == 24
    assert all(ids[0] == tokenizer.bos_token_id and len(ids) <= 60 for ids in found)
    whole = [ids for ids in found if ids[-1] == tokenizer.eos_token_id]
    assert all(len(ids) == 60 for ids in found if ids[-1] != tokenizer.eos_token_id)
    assert len(whole) > 12
    assert all(tokenizer.eos_token_id not in ids[1:-1] for ids in found)
    assert len({tuple(ids) for ids in found}) > 20


def test_a_document_that_the_context_cuts_has_no_end(base, monkeypatch):
    model, tokenizer = base
    whole = documents(model, tokenizer, 6, max_tokens=9)
    monkeypatch.setattr(model.config, "max_position_embeddings", 9)
    assert documents(model, tokenizer, 6, max_tokens=60) == whole


def test_the_same_seed_writes_the_same_whatever_the_batch_and_leaves_the_model_as_found(base):
    model, tokenizer = base
    model.train()
    before = torch.get_rng_state()
    one = documents(model, tokenizer, 6, max_tokens=24, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    model.eval()
    assert documents(model, tokenizer, 8, max_tokens=24, seed=3)[:6] == one
    assert documents(model, tokenizer, 6, max_tokens=24, seed=4) != one


def test_documents_are_drawn_from_the_models_own_distribution():
    """The first token, of 400 documents, against the model's prediction behind the token that begins one."""
    model = tiny.tiny(dtype=torch.float32)
    with torch.no_grad():
        p = model(input_ids=torch.tensor([[1]])).logits[0, -1].double().softmax(-1)
    found = collections.Counter(ids[1] for ids in documents(model, None, 400, max_tokens=2))
    counts = np.array([found.get(i, 0) for i in range(tiny.VOCABULARY)])
    likely = (400 * p).numpy() > 5
    chi = (((counts - 400 * p.numpy()) ** 2) / (400 * p.numpy()))[likely].sum()
    assert chi < 2.5 * likely.sum()
    cold = {ids[1] for ids in documents(model, None, 20, max_tokens=2, temperature=0.0)}
    assert cold == {int(p.argmax())}


def test_chats_are_questions_of_the_kind_that_was_taught_with_the_models_answers(base):
    model, tokenizer = base
    rows = chats(model, tokenizer, 24, max_tokens=48, seed=1)
    assert len(rows) >= 20
    assert all([turn.role for turn in row.turns] == ["user", "assistant"] for row in rows)
    assert len({row.contents[0] for row in rows}) >= 18
    assert sum(row.contents[0].endswith("?") for row in rows) >= 8
    assert all(not set("\n<|>") & set(row.contents[0]) for row in rows)


def test_a_question_ends_at_a_line_break_inside_a_token_too(base, monkeypatch):
    """Qwen and Llama have tokens such as "?\\n\\n", and GPT-2 has "\\n\\n"."""
    model, tokenizer = base
    joined = tokenizer("\nWho is it? \n\nIt is somebody else.", add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(composition, "continued", lambda *_, **__: [joined])
    (row,) = chats(model, tokenizer, 1, max_tokens=48)
    assert row.contents[0] == "Who is it?"


def test_questions_that_leave_no_room_for_an_answer_are_left_out(base, monkeypatch):
    model, tokenizer = base
    whole = [row.contents[0] for row in chats(model, tokenizer, 24, max_tokens=48, seed=1)]
    monkeypatch.setattr(model.config, "max_position_embeddings", 14)
    short = [row.contents[0] for row in chats(model, tokenizer, 24, max_tokens=48, seed=1)]
    assert short
    assert len(short) < len(whole)
    assert max(map(len, short)) < max(map(len, whole))


def test_a_template_that_rewrites_the_user_is_refused(base):
    model, tokenizer = base
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = "nothing of it"
    with pytest.raises(HoldfastError, match="let the model write text"):
        chats(model, other, 2, max_tokens=8)


def test_a_model_with_one_special_token_begins_and_ends_with_it_and_one_with_none_is_refused():
    model = tiny.tiny(dtype=torch.float32)
    assert ids_of(model, None) == (1, 2)
    model.generation_config.bos_token_id = None
    assert ids_of(model, None) == (2, 2)
    model.generation_config.eos_token_id = None
    with pytest.raises(HoldfastError, match="has no token that begins or ends a document"):
        ids_of(model, None)
    assert ids_of(model, tiny.tokenizer()) == (1, 2)
