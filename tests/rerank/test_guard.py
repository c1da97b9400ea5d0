"""A guard that ranks queries during training, and a run that is resumed."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch
import transformers
from sentence_transformers.cross_encoder import losses

from holdfast import BaseKL, Budget, Guard, LoRA, Rehearsal, attach
from holdfast.rerank.collection import CandidateList, collection_of
from holdfast.rerank.questions import RerankQuestions
from holdfast.rerank.scoring import CrossEncoderReranker
from holdfast.rerank.suite import RerankSuite
from tests.rerank import encoders

WATCH = Guard(every=1, items=12, on_spent="stop")


def asked(count=40, seed=1):
    """Queries whose relevant document is the one that the untrained model likes most."""
    draw, model = random.Random(seed), encoders.encoder(double=False)
    made = []
    for _ in range(count):
        query, texts = encoders.text(draw), [encoders.text(draw) for _ in range(4)]
        scores = CrossEncoderReranker(model).score([(query, text) for text in texts])
        made.append(CandidateList(query, tuple(texts), tuple(float(i == scores.argmax()) for i in range(4))))
    return collection_of(made, "old")


def test_the_budget_of_points_stops_a_training_that_spends_it(tmp_path):
    model = encoders.encoder(double=False)
    trainer = encoders.trainer(
        model, encoders.lists(64), tmp_path, losses.ListNetLoss(model), learning_rate=3.0, num_train_epochs=4
    )
    kept = asked()
    attach(trainer, None, Budget(points=1), keep=kept, guard=WATCH)
    assert {entry.suite for entry in trainer.holdfast_watched.things} == {"old"}
    trainer.train()
    looks = trainer.holdfast_guard.looks
    assert trainer.state.global_step < trainer.state.max_steps
    watched = RerankSuite(kept.side("watch").first(12))
    scores = [score.value for score in watched.ask(CrossEncoderReranker(model)).scores]
    assert looks[-1].lost["points"] == pytest.approx(100.0 - sum(scores) / len(scores), abs=1e-6)
    assert (tmp_path / "holdfast_watched.json").exists()


@pytest.mark.parametrize("recipe", [BaseKL() + Rehearsal("old", ratio=0.4), LoRA(rank=2, targets="query,value")])
def test_a_resumed_run_ends_where_the_whole_run_ends(recipe, tmp_path):
    ended = []
    for name, resumes in (("whole", False), ("parts", True)):
        for part in ("first", "second") if resumes else ("only",):
            model = encoders.encoder(double=False, dropout=0.1)
            trainer = encoders.trainer(
                model,
                encoders.lists(24),
                tmp_path / name,
                losses.ListNetLoss(model),
                save_strategy="steps",
                save_steps=3,
                optim="adamw_torch",
                learning_rate=0.01,
            )
            attach(trainer, recipe, memories={"old": encoders.lists(6, seed=5)})
            if part == "first":
                trainer.add_callback(_StopAt(3))
            trainer.train(resume_from_checkpoint=True if part == "second" else None)
        ended.append({n: p.detach().clone() for n, p in model.named_parameters()})
    for name, value in ended[0].items():
        torch.testing.assert_close(ended[1][name], value, rtol=0, atol=1e-6, msg=name)


class _StopAt(transformers.TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step


def test_a_guard_tells_edited_judgments_and_documents_from_those_of_its_checkpoint(tmp_path):
    trainer = encoders.trainer(encoders.encoder(double=False), encoders.lists(4), tmp_path)

    def fingerprint(lists):
        given = collection_of(lists, "old")
        return RerankQuestions.of(trainer, Budget(points=1), WATCH, given, None).fingerprint

    lists = [CandidateList(f"query {i}", (f"a{i}", f"b{i}", "c"), (1, 0, 0)) for i in range(12)]
    first = fingerprint(lists)
    assert fingerprint(lists) == first
    for changes in ({"labels": (2, 1, 0)}, {"documents": ("a", "b", "d")}):
        assert fingerprint([dataclasses.replace(entry, **changes) for entry in lists]) != first
