"""Memories: what is loaded, with which share, and that the order of a mix keeps it."""

from __future__ import annotations

import json
import logging

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example, Mix
from holdfast.data.examples import read
from holdfast.data.memory import add_memories, load_memories, load_memory
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


def test_shares_follow_the_weights_or_else_the_tokens(files, make_tokenizer):
    tokenizer = make_tokenizer(templates.CHATML)
    paths = [files / "texts.jsonl", files / "chats.jsonl"]
    memories = load_memories(paths, tokenizer, max_length=64, weights=[1, 3])
    assert [(memory.name, memory.share) for memory in memories] == [("texts", 0.25), ("chats", 0.75)]
    memories = load_memories({"a": paths[0], "b": paths[1]}, tokenizer, max_length=64)
    tokens = [sum(example.supervised for example in memory.examples) for memory in memories]
    assert [memory.name for memory in memories] == ["a", "b"]
    assert [memory.share for memory in memories] == [tokens[0] / sum(tokens), tokens[1] / sum(tokens)]
    assert [memory.notes.supervised_tokens for memory in memories] == tokens


def test_files_of_one_name_are_told_apart(files, make_tokenizer):
    (files / "other").mkdir()
    (files / "other" / "texts.jsonl").write_text('{"text": "t"}\n')
    paths = [files / "texts.jsonl", files / "other" / "texts.jsonl"]
    names = [memory.name for memory in load_memories(paths, make_tokenizer(), max_length=64)]
    assert names == [str(path) for path in paths]


def test_the_order_of_a_mix_keeps_the_shares_of_its_memories(files, make_tokenizer):
    tokenizer = make_tokenizer(templates.CHATML)
    memories = load_memories([files / "texts.jsonl", files / "chats.jsonl"], tokenizer, max_length=64, weights=[2, 1])
    new = tuple(Example((5,) * 11, (5,) * 11) for _ in range(300))
    mix = add_memories(Mix(new), memories, ratio=0.3)
    assert mix.ratios == pytest.approx((0.2, 0.1))
    tokens = [0, 0, 0]
    for index in order(mix, epochs=1, seed=0)[0]:
        tokens[mix.examples[index].source] += mix.examples[index].supervised
    assert [count / sum(tokens) for count in tokens] == pytest.approx([0.7, 0.2, 0.1], abs=0.006)


def test_what_does_not_fit_says_so(files, make_tokenizer):
    paths = [files / "texts.jsonl", files / "chats.jsonl"]

    def said(sources, **options):
        with pytest.raises(HoldfastError) as caught:
            load_memories(sources, make_tokenizer(), max_length=64, **options)
        return str(caught.value)

    assert said([]) == "no memory is named; give at least one source."
    assert said(paths, weights=[1]) == "there are 2 memories but 1 weights; give one weight for each."
    assert said(paths, weights=[1, 0]) == "weights=[1, 0]: give numbers above 0 (in proportion to each other)."
    (files / "empty.jsonl").write_text('{"text": " "}\n')
    assert said([files / "empty.jsonl"]) == "empty: holds nothing to learn; give rows with completions or text."
    with pytest.raises(HoldfastError, match=r"^empty: holds nothing to learn; give rows with completions or text\.$"):
        load_memory(files / "empty.jsonl", make_tokenizer(), max_length=64)
    with pytest.raises(HoldfastError, match=r"^ratio=1: give a number above 0 and below 1 \(of the supervised tokens"):
        add_memories(Mix(()), [], 1)
