"""Batches as tensors: padded or packed, the model's numbers for a document are the same."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.batches import MOST, collate, per_position, saves_time
from holdfast.core.mix import Example
from holdfast.data.packing import pack
from tests.tiny import VOCABULARY, tiny


def example(*ids: int, source: int = 0) -> Example:
    return Example(ids, ids, source=source)


def test_shorter_examples_are_padded_on_the_right():
    batch = collate([example(5, 6, 7), example(8, 9, source=2)], pad_id=3)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6, 7], [8, 9, 3]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "labels": [[-100, 6, 7], [-100, 9, -100]],
    }
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_a_packed_batch_is_one_row_whose_positions_begin_anew():
    packed = Example((5, 6, 7, 8, 9), (5, 6, 7, 8, 9), source=1, lengths=(3, 2))
    batch = collate([packed, example(4, 4)], pad_id=0)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6, 7, 8, 9, 4, 4]],
        "labels": [[-100, 6, 7, -100, 9, -100, 4]],
        "position_ids": [[0, 1, 2, 0, 1, 0, 1]],
    }


def test_examples_share_a_row_if_that_is_asked():
    batch = collate([example(5, 6, 7), example(8, 9)], pad_id=0, padding_free=True)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9]]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=16), st.integers(1, 4096))
def test_one_row_saves_time_where_attention_costs_less_than_padding(lengths, width):
    """The same count by layers: 12 D^2 weights and, for each pair of tokens, 2 D products."""

    def products(rows, tokens):
        return rows * (tokens * 12 * width**2 + tokens**2 * 2 * width)

    fewer = products(1, sum(lengths)) < products(len(lengths), max(lengths))
    assert saves_time(lengths, width) == fewer


def test_one_row_does_not_become_too_long_nor_pays_without_padding():
    assert not saves_time([64] * 8, 4096)
    assert saves_time([1, *[8] * 7], 4096)
    assert saves_time([MOST // 4, *[1] * 30], 4096)
    assert not saves_time([MOST, *[1] * 30], 4096)


def test_a_number_for_each_row_stands_at_its_positions():
    assert per_position([4, 2], [3, 2], (2, 3)).tolist() == [[4, 4, 4], [2, 2, 2]]
    assert per_position([4, 2], [3, 2], (1, 6)).tolist() == [[4, 4, 4, 2, 2, 0]]


@pytest.mark.parametrize("packing", [False, True])
def test_labels_are_exactly_the_supervised_tokens(packing):
    examples = [example(5, 6, 7), Example((1, 2, 3, 4), (-100, -100, 3, 4)), example(9)]
    rows = pack(examples, 8) if packing else examples
    labels = collate(rows, 0)["labels"]
    assert (labels != -100).sum() == (labels[:, 1:] != -100).sum() == sum(e.supervised for e in examples) == 4


def documents(rows: list[Example]) -> list[tuple[int, ...]]:
    found = []
    for row in rows:
        at = 0
        for length in row.lengths or (len(row.input_ids),):
            found.append(tuple(row.input_ids[at : at + length]))
            at += length
    return found


@pytest.mark.parametrize(
    ("family", "attention"),
    [("llama", "sdpa"), ("llama", "eager"), ("qwen3", "sdpa"), ("phi3", "sdpa"), ("gpt2", "sdpa"), ("gemma2", "eager")],
)
def test_a_packed_and_a_padded_forward_equal_the_separate_ones(family, attention):
    model = tiny(family, seed=1).eval()
    model.set_attn_implementation(attention)
    draw = random.Random(0)
    examples = [example(*(draw.randrange(3, VOCABULARY) for _ in range(length))) for length in (7, 2, 12, 5, 1, 9)]
    rows = pack(examples, 16)
    assert any(row.lengths for row in rows)
    packed, padded = collate(rows, 0), collate(examples, 0)
    inputs = {name: packed[name] for name in ("input_ids", "position_ids")}
    near = {"rtol": 0, "atol": 1e-5}  # softmax is taken in float32
    with torch.no_grad():
        alone = {ids: model(input_ids=torch.tensor([ids])).logits[0] for ids in documents(rows)}
        together = model(**inputs, use_cache=False).logits[0]
        leaking = model(input_ids=packed["input_ids"], use_cache=False).logits[0]
        rectangle = model(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits
    separate = torch.cat([alone[ids] for ids in documents(rows)])
    torch.testing.assert_close(together, separate, **near)
    assert (leaking - separate).abs().max() > 1e-2
    for row, one in zip(rectangle, examples, strict=True):
        torch.testing.assert_close(row[: len(one.input_ids)], alone[tuple(one.input_ids)], **near)
