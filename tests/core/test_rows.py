"""Examples as tensors."""

from __future__ import annotations

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.rows import batch_of, drawn, to_examples, to_tensors
from holdfast.data.batches import collate
from tests import tiny

EXAMPLES = [Example(tuple(row["input_ids"]), tuple(row["labels"])) for row in tiny.rows(7)]


def test_they_come_back_as_they_were():
    assert to_examples(to_tensors(EXAMPLES)) == EXAMPLES


def test_a_batch_of_some_is_what_collating_them_makes():
    some = [5, 0, 3]
    found, expected = batch_of(to_tensors(EXAMPLES), some, torch.device("cpu")), collate([EXAMPLES[i] for i in some], 0)
    assert found.keys() == expected.keys() - {"source"}
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_packed_examples_are_refused():
    with pytest.raises(HoldfastError, match="turn packing off"):
        to_tensors([Example((1, 2, 3, 4), (1, 2, 3, 4), lengths=(2, 2))])


def test_what_is_drawn_depends_on_seed_and_step_alone():
    assert drawn(50, 8, 3, 4) == drawn(50, 8, 3, 4)
    assert len({tuple(drawn(50, 8, seed, step)) for seed in range(4) for step in range(4)}) == 16
    assert sorted(drawn(5, 9, 0, 0)) == [0, 1, 2, 3, 4]
