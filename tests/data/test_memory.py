"""Memories: what is loaded, and that the order of a mix keeps it."""

from __future__ import annotations

import json
import logging

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example, Mix
from holdfast.data.examples import read
from holdfast.data.memory import load_memory
from holdfast.data.order import order
from tests.data import conftest as templates


@pytest.fixture
def files(tmp_path):
    """A file of documents and one of conversations."""
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(30)))
    said = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "ok"}]
    (tmp_path / "chats.jsonl").write_text((json.dumps({"messages": said}) + "\n") * 5)
    return tmp_path


def test_documents_are_learned_in_full_and_conversations_on_their_completions(files, make_tokenizer, learned):
    tokenizer = make_tokenizer(templates.CHATML)
    texts = load_memory(files / "texts.jsonl", tokenizer, max_length=64)
    assert texts[0].labels == texts[0].input_ids
    assert learned(texts[0], tokenizer) == "document 0</s>"
    chats = load_memory(files / "chats.jsonl", tokenizer, max_length=64)
    assert learned(chats[0], tokenizer) == "ok<|im_end|>"
    raw = load_memory(files / "chats.jsonl", tokenizer, max_length=64, raw=True)
    assert tokenizer.decode(raw[0].input_ids) == "question ok</s>"


def test_several_paths_are_read_one_after_the_other(files, make_tokenizer):
    both = [files / "chats.jsonl", str(files / "texts.jsonl")]
    origins = [example.origin for example in load_memory(both, make_tokenizer(templates.CHATML), max_length=64)]
    assert origins == [f"chats.jsonl:{i}" for i in range(1, 6)] + [f"texts.jsonl:{i}" for i in range(1, 31)]
    rows = read(files / "texts.jsonl")
    assert len(load_memory(rows, make_tokenizer(), max_length=64)) == 30
    assert len(load_memory([{"text": "t"}], make_tokenizer(), max_length=64)) == 1


def test_what_is_cut_is_logged(files, make_tokenizer, caplog):
    with caplog.at_level(logging.WARNING):
        load_memory(files / "texts.jsonl", make_tokenizer(), max_length=8)
    assert caplog.messages == [
        "texts: 30 of 30 rows are longer than 8 tokens: 30 split into windows (first: texts.jsonl:1)."
    ]


def test_the_order_of_a_mix_keeps_the_shares_of_its_memories(files, make_tokenizer):
    tokenizer = make_tokenizer(templates.CHATML)
    mix = Mix(tuple(Example((5,) * 11, (5,) * 11) for _ in range(300)))
    for name, ratio in (("texts", 0.2), ("chats", 0.1)):
        mix = mix.with_memory(name, load_memory(files / f"{name}.jsonl", tokenizer, max_length=64), ratio)
    tokens = [0, 0, 0]
    for index in order(mix, epochs=1, seed=0)[0]:
        tokens[mix.examples[index].source] += mix.examples[index].supervised
    assert [count / sum(tokens) for count in tokens] == pytest.approx([0.7, 0.2, 0.1], abs=0.006)


def test_a_memory_that_holds_nothing_to_learn_says_so(files, make_tokenizer):
    (files / "empty.jsonl").write_text('{"text": " "}\n')
    with pytest.raises(HoldfastError, match=r"^empty: holds nothing to learn; give rows with completions or text\.$"):
        load_memory(files / "empty.jsonl", make_tokenizer(), max_length=64)


def test_a_memory_of_rows_that_are_all_too_long_says_so(files, make_tokenizer):
    how = {"max_length": 3, "over_long": "drop"}
    with pytest.raises(HoldfastError, match=r"^chats: holds nothing to learn within 3 tokens; allow longer rows\.$"):
        load_memory(files / "chats.jsonl", make_tokenizer(templates.CHATML), **how)
