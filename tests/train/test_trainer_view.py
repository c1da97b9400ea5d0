"""What methods may ask of a trainer before training and at its steps."""

from __future__ import annotations

import copy
import dataclasses
from typing import ClassVar

import peft
import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, chain
from holdfast.core.mix import Example, Mix
from holdfast.core.params import trainable
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.train.attach import attach
from holdfast.train.forward import Forward
from holdfast.train.full_loop import tokens
from holdfast.train.trainer_view import TrainerView
from tests import tiny
from tests.train.retrace import both, furthest, trainer_for

OLD = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=3)]


@pytest.mark.parametrize("backbone", ["llama", "gemma2"])
@pytest.mark.parametrize("size", [1, 4, 16])
def test_scores_are_those_of_the_model_in_the_order_of_the_tokens(tmp_path, backbone, size, monkeypatch):
    monkeypatch.setattr("holdfast.train.trainer_view.SCORED", size)
    data = tiny.rows(11)
    trainer = trainer_for(tiny.tiny(backbone), tmp_path, [*data, data[2]])
    found = TrainerView(trainer, {}).score("nll_N", "entropy_N", "document_N")
    for start in range(0, 11, 3):
        tok = tokens(trainer.model.eval(), None, tiny.collate(data[start : start + 3]))
        here = torch.isin(found["document_N"], torch.arange(start, start + 3))
        torch.testing.assert_close(found["nll_N"][here], tok.nll_N.detach(), rtol=0, atol=1e-6)
        torch.testing.assert_close(found["entropy_N"][here], tok.entropy_N.detach(), rtol=0, atol=1e-6)
    assert int(found["document_N"].max()) == 10  # the row that is given twice is one document


@pytest.mark.parametrize("packing", [False, True])
def test_scores_say_which_example_a_token_is_in_and_whose_it_is(tmp_path, packing):
    data = tiny.rows(20)
    if packing:  # two documents in a row
        pairs = list(zip(data[::2], data[1::2], strict=True))
        data = [
            {
                "input_ids": one["input_ids"] + other["input_ids"],
                "labels": one["labels"] + other["labels"],
                "seq_lengths": (len(one["input_ids"]), len(other["input_ids"])),
            }
            for one, other in pairs
        ]
    trainer = trainer_for(tiny.tiny(), tmp_path, [*data, data[1]])
    before = TrainerView(trainer, {})
    before.mix = Mix(tuple(before.examples())).with_memory("old", OLD, 0.3)
    found = before.score("row_N", "source_N")
    examples = before.examples()
    tokens = [example.supervised for example in examples]
    tokens[len(data)] = 0  # the row that is given twice
    assert torch.bincount(found["row_N"], minlength=len(examples)).tolist() == tokens
    assert torch.equal(found["source_N"], torch.tensor([examples[row].source for row in found["row_N"]]))
    assert set(found["source_N"].tolist()) == {0, 1}


def test_the_gradient_of_another_batch_is_autograds_and_leaves_the_steps_own_alone():
    model = tiny.tiny().train()
    batch, other = tiny.collate(tiny.rows(4)), tiny.collate(tiny.rows(3, seed=5))
    tokens(model, None, batch).nll_N.sum().backward()
    before = {name: p.grad.clone() for name, p in model.named_parameters()}
    for term in (None, lambda tok: tok.nll_N**2 + tok.entropy_N):
        found = Forward(model, chain()).gradient(other, term)
        tok = tokens(model, None, other)
        expected = torch.autograd.grad((tok.nll_N if term is None else term(tok)).mean(), list(model.parameters()))
        for (name, grad), true in zip(found.items(), expected, strict=True):
            torch.testing.assert_close(grad, true, rtol=0, atol=1e-12)
            assert torch.equal(before[name], dict(model.named_parameters())[name].grad)
    assert all(module.training for module in model.modules())


@dataclasses.dataclass(frozen=True, repr=False)
class Looking(Method):
    """Reads all that was arranged: numbers, values, the start, and another gradient with the base in it."""

    reads: ClassVar[frozenset[str]] = frozenset({"token_N", "document_N", "base_nll_N"})
    asks: ClassVar[frozenset[str]] = frozenset({"start", "gradient", "base_gradient"})
    sees: ClassVar[frozenset[str]] = frozenset({"nll_N", "document_nll"})

    def init_state(self, run):
        found = run.score("nll_N", "document_N")
        batch = next(run.batches("new", 3))
        return {
            "weight": (-found["nll_N"]).exp(),
            "first": found["document_N"] % 2,
            "middle": torch.ones((), dtype=torch.float64),
            **{name: batch[name] for name in ("input_ids", "attention_mask", "labels")},
        }

    def weigh_tokens(self, state, tok):
        odd = tok.kept(state["first"], tok.token_N) == tok.document_N % 2
        assert bool(odd.all())
        return tok.kept(state["weight"], tok.token_N) + state["middle"]

    def edit_grads(self, state, step):
        batch = {name: state[name] for name in ("input_ids", "attention_mask", "labels")}
        other = step.gradient(batch, lambda tok: (tok.nll_N - tok.base_nll_N) ** 2 + 0.1 * tok.entropy_N)
        for name, p in step.params.items():
            p.grad += 0.3 * other[name] + 0.01 * (p.detach() - step.start[name])

    def after_step(self, state, step):
        state["middle"] = 0.1 * step.values["nll_N"].median() + 0.1 * step.values["document_nll"].median()


@pytest.mark.parametrize(("micro", "accumulate"), [(8, 1), (2, 4), (1, 8)])
def test_a_method_that_reads_all_of_it_ends_where_the_loop_ends(tmp_path, monkeypatch, micro, accumulate):
    # The loop takes the numbers of the tokens from the batch, the trainer from the content of the rows.
    from holdfast.train import full_loop

    data = tiny.rows(24)
    index = TrainerView(trainer_for(tiny.tiny(), tmp_path, data), {}).index(chain(Looking()))
    plain = full_loop.tokens

    def numbered(model, base, batch):
        from holdfast.train.supervised import SupervisedTokens

        tokens = SupervisedTokens.of(batch, None)
        token_N, document_N = index.find(tokens.keys(batch))
        shape = batch["labels"].shape
        places = {}
        for name, place_N in (("token", token_N), ("document", document_N)):
            places[name] = torch.zeros(shape, dtype=torch.int64).masked_scatter(tokens.scored_BT, place_N)
        return plain(model, base, {**batch, **places})

    monkeypatch.setattr(full_loop, "tokens", numbered)
    start = tiny.tiny()
    made = Looking().init_state(TrainerView(trainer_for(copy.deepcopy(start), tmp_path, data), {}).run())
    monkeypatch.setattr(Looking, "init_state", lambda self, run: dict(made))
    trainer, model, expected, _ = both(tmp_path, Looking(), micro=micro, accumulate=accumulate, model=start)
    assert furthest(model, expected) < 1e-11
    assert float(trainer.holdfast.state["0.Looking"]["middle"]) != 1.0


def test_examples_are_told_apart_and_memories_can_be_had_at_any_time(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(6))
    attach(trainer, Rehearsal("old", ratio=0.3), memories={"old": OLD})
    before = trainer._holdfast_view
    assert [len(before.examples(which)) for which in ("all", "new", "memory")] == [11, 6, 5]
    assert before.memory("old") == OLD
    assert sum(batch["input_ids"].shape[0] for batch in before.batches(OLD, 2)) == 5
    with pytest.raises(HoldfastError, match="Memory 'else' needs a tokenizer: give the trainer processing_class"):
        before.memory("else")


def test_what_a_method_made_is_made_once_for_a_run_and_its_resumption(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(6))
    before, made = TrainerView(trainer, {}), []

    def make():
        made.append(1)
        return OLD

    assert before.keep("SelfRehearsal-1", make) == OLD
    assert not (tmp_path / "holdfast").exists()  # nothing is left by a run that never began
    before.save_made()
    again = TrainerView(trainer, {}).keep("SelfRehearsal-1", make)
    assert [tuple(e.input_ids) for e in again] == [tuple(e.input_ids) for e in OLD]
    assert len(made) == 1
    with torch.no_grad():
        next(iter(trainable(trainer.model).values())).add_(1.0)
    TrainerView(trainer, {}).keep("SelfRehearsal-1", make)
    assert len(made) == 2, "another starting model"


def test_what_a_method_made_is_made_anew_for_another_frozen_base_template_or_limit(tmp_path):
    made = []

    def keep(model, *, limit=None, template=None):
        trainer = trainer_for(model, tmp_path, tiny.rows(6))
        trainer.processing_class = tiny.tokenizer()
        trainer.processing_class.chat_template = template
        if limit is not None:
            trainer.args.max_length = limit
        view = TrainerView(trainer, {})
        view.keep("prompts", lambda: made.append(1) or OLD)
        view.save_made()

    def adapted(seed):
        torch.manual_seed(0)
        config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
        return peft.get_peft_model(tiny.tiny(seed=seed), config)

    keep(adapted(0))
    keep(adapted(0))
    assert len(made) == 1
    keep(adapted(1))
    assert len(made) == 2, "the trained adapter is the same, and the frozen base another"
    keep(adapted(0), limit=40)
    keep(adapted(0), template="{{ messages }}")
    assert len(made) == 4
