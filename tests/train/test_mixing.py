"""Memories in a trainer: the order of the mix is what the trainer visits, epoch after epoch."""

from __future__ import annotations

import math

import pytest

from holdfast.core.mix import Example
from holdfast.core.run import SOURCE
from holdfast.data.batches import order
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

MEMORY = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(9, seed=3)]
RATIO = 0.25


class _Spy:
    """Notes what comes out of a collator."""

    def __init__(self, collate):
        self.collate = collate
        self.rows = []

    def __call__(self, rows):
        self.rows += [(row[SOURCE], tuple(row["input_ids"])) for row in rows]
        return self.collate(rows)


def visited(folder, recipe="Rehearsal('old', ratio=0.25) + BaseKL()", **changes):
    trainer = trainer_for(tiny.tiny(), folder, tiny.rows(20), micro=2, **{"num_train_epochs": 3, **changes})
    attach(trainer, recipe, memories={"old": MEMORY})
    trainer.data_collator = spy = _Spy(trainer.data_collator)
    trainer.train()
    return trainer, spy.rows


def test_a_trainer_visits_the_order_of_the_mix_in_every_epoch(tmp_path):
    trainer, rows = visited(tmp_path)
    mix = trainer.holdfast_mix
    expected = [i for epoch in order(mix, epochs=3, seed=5) for i in epoch]
    assert rows == [(mix.examples[i].source, tuple(mix.examples[i].input_ids)) for i in expected]
    third = len(rows) // 3
    assert rows[:third] != rows[third : 2 * third] != rows[2 * third :]


def test_every_new_example_is_seen_in_every_epoch_and_the_share_is_kept_at_every_step(tmp_path):
    _, rows = visited(tmp_path)
    new = [ids for source, ids in rows if source == 0]
    assert set(new) == {tuple(row["input_ids"]) for row in tiny.rows(20)}
    assert 60 <= len(new) <= 62
    lengths = {tuple(e.input_ids): e.supervised for e in (*MEMORY, *(Example(**row) for row in tiny.rows(20)))}
    old = total = 0
    for source, ids in rows:
        total += lengths[ids]
        old += lengths[ids] * (source > 0)
        assert abs(old - RATIO * total) <= max(lengths.values())


@pytest.mark.parametrize("steps", [4, 25])
def test_max_steps_ends_the_run_there(tmp_path, steps):
    trainer, rows = visited(tmp_path, max_steps=steps)
    assert trainer.state.global_step == steps
    assert math.isclose(sum(source > 0 for source, _ in rows) / len(rows), RATIO, abs_tol=0.15)


def test_two_memories_keep_their_own_shares(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(60), micro=4)
    other = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(9, seed=4)]
    recipe = "Rehearsal('old', ratio=0.2) + Rehearsal('other', ratio=0.1)"
    attach(trainer, recipe, memories={"old": MEMORY, "other": other})
    trainer.data_collator = spy = _Spy(trainer.data_collator)
    trainer.train()
    lengths = {tuple(e.input_ids): e.supervised for e in trainer.holdfast_mix.examples}
    tokens = [sum(lengths[ids] for source, ids in spy.rows if source == s) for s in (0, 1, 2)]
    assert tokens[1] / sum(tokens) == pytest.approx(0.2, abs=0.03)
    assert tokens[2] / sum(tokens) == pytest.approx(0.1, abs=0.03)


def test_memory_rows_longer_than_every_new_row_stay_whole(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(20, longest=6), micro=2)
    trainer.processing_class = tiny.tokenizer()
    rows = [{"text": " ".join(f"t{3 + (i + j) % 50}" for j in range(20))} for i in range(6)]
    attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": rows})
    assert all(len(e.input_ids) > 20 for e in trainer.holdfast_mix.examples if e.source)


def test_what_is_logged_is_the_mean_over_the_steps_since_the_last_line(tmp_path):
    every, _ = visited(tmp_path / "a", logging_steps=1)
    third, _ = visited(tmp_path / "b", logging_steps=3)
    one = [row for row in every.state.log_history if "task_loss" in row]
    three = [row for row in third.state.log_history if "task_loss" in row]
    assert three[0]["task_loss"] == pytest.approx(sum(row["task_loss"] for row in one[:3]) / 3, rel=1e-6)
    shares = [row.get("memory_share", 0.0) for row in one[:3]]
    assert three[0]["memory_share"] == pytest.approx(sum(shares) / 3, rel=1e-6)
