"""Methods that read old examples themselves read them one by one, also where the trainer packs its rows."""

from __future__ import annotations

import torch

from holdfast.core.mix import Example
from holdfast.core.rows import to_examples
from holdfast.train.attach import attach
from tests import tiny
from tests.train.test_sft_trainer import sft

MEMORIES = {"old": [Example(row["input_ids"], row["labels"]) for row in tiny.rows(7, seed=3)]}


def test_the_documents_of_a_row_are_its_texts():
    row = Example((1, 2, 3, 4, 5), (1, -100, 3, 4, 5), source=2, lengths=(2, 3), origin="old:1")
    first, second = Example((1, 2), (1, -100), 2, origin="old:1"), Example((3, 4, 5), (3, 4, 5), 2, origin="old:1")
    assert row.documents == (first, second)
    assert sum(document.supervised for document in row.documents) == row.supervised
    assert first.documents == (first,)
    assert Example((1, 2), (1, 2), lengths=(2,)).documents == (Example((1, 2), (1, 2)),)


def state_of(folder, recipe, *, packing):
    trainer = attach(sft(folder, tiny.tiny(), packing=packing), recipe, memories=MEMORIES)
    trainer.holdfast_host.begin()
    return trainer.holdfast.state


def texts(kept):
    return sorted((list(example.input_ids), list(example.labels)) for example in to_examples(kept))


def test_agem_keeps_the_same_texts_where_rows_are_packed(tmp_path):
    plain, packed = (state_of(tmp_path, "AGEM('old')", packing=packing) for packing in (False, True))
    assert texts(packed["0.AGEM"]["memory"]) == texts(plain["0.AGEM"]["memory"])
    assert len(texts(plain["0.AGEM"]["memory"])) == 7


def test_the_fisher_is_that_of_single_texts_where_rows_are_packed(tmp_path):
    recipe = "EWC(memory='old', labels='data')"
    plain, packed = (state_of(tmp_path, recipe, packing=packing)["0.EWC"]["fisher"] for packing in (False, True))
    for name, fisher in plain.items():
        torch.testing.assert_close(packed[name], fisher, rtol=1e-6, atol=1e-12, msg=name)


def test_packed_new_examples_are_compared_one_by_one(tmp_path):
    trainer = attach(sft(tmp_path, tiny.tiny(), packing=True), "ConflictDecay(every=1)")
    trainer.train()
    assert trainer.state.global_step > 0
