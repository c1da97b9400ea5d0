"""The model's own answers, and itself as the teacher when it is shown an answer."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from holdfast.core.batches import collate, examples_of, per_position
from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.core.mix import Example, Mix
from holdfast.core.params import trainable
from holdfast.core.run import SHOWN, SOURCE, Run, Step
from holdfast.methods.rehearsal import on_policy_sdft
from holdfast.methods.rehearsal.on_policy_sdft import OnPolicySDFT
from holdfast.methods.selection.lora import LoRA
from holdfast.recipe import parse
from holdfast.train.attach import attach
from holdfast.train.full_loop import train_reference
from tests import tiny
from tests.train.retrace import batches_of, furthest, trainer_for

END = 2


@pytest.fixture(autouse=True)
def few_words(monkeypatch):
    """What stands around an answer that is shown, in words that the tiny tokenizer knows."""
    monkeypatch.setattr(on_policy_sdft, "BEFORE", "t7")
    monkeypatch.setattr(on_policy_sdft, "BEHIND", "t8 t9")


def run(model, examples, **changes):
    examples = tuple(examples)
    settings = {"tokenizer": tiny.tokenizer(), "examples": lambda _: examples, **changes}
    return Run(model, Mix(examples), settings.pop("seed", 0), 3, **settings)


def state_of(method, model=None):
    return method.init_state(run(model or tiny.tiny(), [Example((5, 6, 11, END), (-100, -100, 11, END))]))


def collated(*rows):
    return tiny.collate([{"input_ids": list(ids), "labels": list(labels)} for ids, labels in rows])


def renewed(method, batch, answers, model=None, state=None):
    asked = {}

    def write(prompts, **settings):
        asked.update(settings, prompts=prompts)
        return answers[: len(prompts)]

    model = model or tiny.tiny()
    step = Step(2, 5, {}, trainable(model), write=write)
    (found,) = method.renew_batches(state or state_of(method, model), step, [batch])
    return found, asked


def test_model_and_teacher_read_the_same_answer_behind_other_prompts():
    batch = collated(([5, 6, 11, 12, END], [-100, -100, 11, 12, END]), ([5, 13, END], [-100, 13, END]))
    found, asked = renewed(OnPolicySDFT(skip=1, length=4), batch, [[21, 22], [31, 32, 33, 34]])
    assert asked["prompts"] == [(5, 6), (5,)]
    assert (asked["max_new_tokens"], asked["temperature"]) == (4, 1.0)
    assert END in asked["ends"]
    # The first ended by itself, the second was cut off.
    assert found["input_ids"].tolist() == [[5, 6, 21, 22, END], [5, 31, 32, 33, 34]]
    assert found["labels"].tolist() == [[-100, -100, -100, 22, END], [-100, -100, 32, 33, 34]]
    shown = found[SHOWN]
    assert shown["input_ids"][0].tolist() == [5, 6, 7, 11, 12, 8, 9, 21, 22, END]
    assert shown["labels"][0].tolist() == [-100] * 7 + [-100, 22, END]
    assert shown["input_ids"][1].tolist() == [5, 7, 13, 8, 9, 31, 32, 33, 34, 0]
    assert shown["labels"][1].tolist() == [-100] * 5 + [-100, 32, 33, 34, -100]
    assert shown["attention_mask"].sum(1).tolist() == [10, 9]


def test_old_examples_stay_and_what_has_no_answer_teaches_nothing():
    rows = [([5, 6, 11, END], [-100, -100, 11, END]), ([5, 6, 7], [5, 6, 7]), ([9, 9], [9, 9])]
    batch = collated(*rows)
    batch[SOURCE] = torch.tensor([[0] * 4, [1] * 4, [0] * 4])
    found, asked = renewed(OnPolicySDFT(skip=0), batch, [[21]])
    assert len(asked["prompts"]) == 1
    assert found["input_ids"].tolist() == [[5, 6, 21, END], [5, 6, 7, 0], [9, 9, 0, 0]]
    assert found["labels"].tolist() == [[-100, -100, 21, END], [-100, 6, 7, -100], [-100] * 4]
    assert found[SOURCE].tolist() == [[0] * 4, [1] * 4, [0] * 4]
    assert SOURCE not in found[SHOWN]
    for name, shown in found[SHOWN].items():
        if name != "weights":
            assert (shown[:, 1:] != -100).shape[0] == 3
    scored = [(b["labels"][:, 1:] != -100).sum(1).tolist() for b in (found, found[SHOWN])]
    assert scored[0] == scored[1] == [2, 2, 0]


def test_rows_become_a_batch_and_again_rows():
    rows = [Example([5, 6, 7], [-100, 6, 7]), Example([8, 9], [-100, 9], source=3)]
    batch = collate(rows, 0)
    assert [one.source for one in examples_of(batch)] == [0, 0]
    batch[SOURCE] = per_position([0, 3], [3, 2], batch["input_ids"].shape)
    assert examples_of(batch) == rows


def test_padding_on_the_left_is_no_part_of_a_row():
    batch = {"input_ids": torch.tensor([[0, 5, 6]]), "labels": torch.tensor([[-100, -100, 6]]),
             "attention_mask": torch.tensor([[0, 1, 1]])}  # fmt: skip
    (example,) = examples_of(batch)
    assert (example.input_ids, example.labels) == ([5, 6], [-100, 6])


def test_every_step_draws_anew_and_the_seed_decides():
    batch = collated(([5, 6, 11, END], [-100, -100, 11, END]))
    seeds = set()
    for seed, index in ((0, 0), (0, 1), (1, 0), (0, 0)):
        method = OnPolicySDFT()
        asked = []
        step = Step(index, 5, {}, {}, write=lambda prompts, asked=asked, **kw: asked.append(kw["seed"]) or [[3]])
        state = {**state_of(OnPolicySDFT(rate=0.0)), "seed": torch.tensor(seed)}
        dataclasses.replace(method, rate=0.0).renew_batches(state, step, [batch])
        seeds.add(asked[0])
    assert len(seeds) == 3


def test_the_teacher_is_the_average_that_begins_as_the_base():
    model = tiny.tiny(dtype=torch.bfloat16)
    method = OnPolicySDFT(rate=0.25)
    state = state_of(method, model)
    name, param = next(iter(trainable(model).items()))
    start = param.detach().float().clone()
    expected = start.clone()
    for _ in range(3):
        with torch.no_grad():
            param += 1.0
        method.after_step(state, Step(0, 3, {}, trainable(model)))
        expected += 0.25 * (param.detach().float() - expected)
    assert state["average"][name].dtype == torch.float32
    torch.testing.assert_close(state["average"][name], expected)
    batch = collated(([5, 6, 11, END], [-100, -100, 11, END]))
    found, _ = renewed(method, batch, [[21]], model, state)
    assert found[SHOWN]["weights"][name].dtype == torch.bfloat16
    torch.testing.assert_close(found[SHOWN]["weights"][name].float(), expected, rtol=0.01, atol=0.01)
    assert "weights" not in renewed(OnPolicySDFT(rate=0.0), batch, [[21]])[0][SHOWN]
    OnPolicySDFT(rate=0.0).after_step({"words": {}}, Step(0, 3, {}, {}))  # as a checkpoint gives an empty state back
    live, _ = renewed(OnPolicySDFT(rate=1.0), batch, [[21]], model)
    assert torch.equal(live[SHOWN]["weights"][name], param)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_loss_is_the_divergence_from_the_teacher_on_its_own_prompt(tmp_path, direction):
    """One step of plain gradient descent, by hand: two forwards, probabilities, the mean over the answers' tokens."""
    start = tiny.tiny()
    rows = [([5, 6, 11, 12, END], [-100, -100, 11, 12, END]), ([5, 13, END], [-100, 13, END])]
    data = [{"input_ids": ids, "labels": labels} for ids, labels in rows]
    method = OnPolicySDFT(direction=direction, skip=1, length=6)
    trainer = trainer_for(copy.deepcopy(start), tmp_path, data, micro=2, max_grad_norm=0.0)
    trainer.processing_class = tiny.tokenizer()
    attach(trainer, method)
    taken = []
    renew = trainer.holdfast.renew
    trainer.holdfast.renew = lambda batches: taken.extend(renew(batches)) or taken
    trainer.train()

    (batch,) = taken
    model = copy.deepcopy(start)
    total, count = 0.0, 0
    for row in range(2):
        logits = model(batch["input_ids"][row : row + 1]).logits[0]
        own = batch["labels"][row, 1:] != -100
        with torch.no_grad():
            shown = batch[SHOWN]
            theirs = start(shown["input_ids"][row : row + 1], attention_mask=shown["attention_mask"][row : row + 1])
            teacher = theirs.logits[0][:-1][shown["labels"][row, 1:] != -100].softmax(-1)
        student = logits[:-1][own].softmax(-1)
        p, q = (teacher, student) if direction == "forward" else (student, teacher)
        total = total + (p * (p.log() - q.log())).sum()
        count += int(own.sum())
    assert count > 2
    (total / count).backward()
    with torch.no_grad():
        for param in model.parameters():
            param -= 0.05 * param.grad
    assert furthest(model, trainer.model) < 1e-10
    assert furthest(model, start) > 1e-4


@pytest.mark.parametrize("recipe", [OnPolicySDFT(length=6, skip=0, rate=0.3), OnPolicySDFT(length=5, rate=0.0, skip=1)])
@pytest.mark.parametrize(("backbone", "micro", "accumulate"), [("llama", 8, 1), ("llama", 2, 4), ("gpt2", 4, 2)])
def test_the_trainer_retraces_the_reference_loop(tmp_path, recipe, backbone, micro, accumulate):
    start = tiny.tiny(backbone)
    trainer = trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(24), micro=micro, accumulate=accumulate)
    trainer.processing_class = tiny.tokenizer()
    attach(trainer, recipe)
    steps = batches_of(trainer)
    trainer.train()
    model, active = copy.deepcopy(start), chain(recipe)
    state = active.init_state(run(model, [Example(row["input_ids"], row["labels"]) for row in tiny.rows(24)], seed=5))
    groups = [{"params": [p], "lr": 0.05} for p in model.parameters()]
    record = train_reference(model, copy.deepcopy(start), steps, active, state, torch.optim.SGD(groups))
    assert len(record) == 3
    assert furthest(trainer.model, model) < 1e-10
    assert furthest(model, start) > 1e-3


def test_on_an_adapter_the_average_is_the_adapters(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(16), micro=8)
    trainer.processing_class = tiny.tokenizer()
    attach(trainer, LoRA(rank=2) + OnPolicySDFT(length=6, skip=0, rate=0.5))
    trainer.train()
    (own,) = (state["average"] for state in trainer.holdfast.state.values())
    assert own
    assert all("lora" in name for name in own)
    assert any(not torch.equal(own[name], p) for name, p in trainable(trainer.model).items())


def test_what_cannot_be_answered_is_refused():
    model = tiny.tiny()
    fine = Example((5, 6, 11, END), (-100, -100, 11, END))
    assert int(OnPolicySDFT(length=5).init_state(run(model, [fine]))["room"]) == 5
    assert int(OnPolicySDFT().init_state(run(model, [fine]))["room"]) == 64 - 7
    for examples, changes, settings, message in (
        ([fine], {"tokenizer": None}, {}, "give the trainer its processing_class"),
        ([Example((5, 6), (5, 6))], {}, {}, "no new example is a prompt followed by one answer"),
        ([Example((5, 6), (-100, 6), lengths=(1, 1))], {}, {}, "set packing=False"),
        ([Example((*range(3, 63), END), (*[-100] * 59, 62, END))], {}, {}, "leave out the longest examples"),
    ):
        with pytest.raises(HoldfastError, match=message):
            OnPolicySDFT(**settings).init_state(run(model, examples, **changes))
    batch = {**collated(([5, 6, 11, END], [-100, -100, 11, END])), "position_ids": torch.arange(4)[None]}
    with pytest.raises(HoldfastError, match="set padding_free=False"):
        renewed(OnPolicySDFT(), batch, [[21]])


def test_it_says_how_many_examples_teach_nothing(caplog):
    fine = Example((5, 6, 11, END), (-100, -100, 11, END))
    OnPolicySDFT(length=4).init_state(run(tiny.tiny(), [fine, Example((5, 6), (5, 6))]))
    assert "1 of 2 examples are not a prompt with one answer" in caplog.text


def test_there_is_no_loss_for_finch_to_follow():
    with pytest.raises(HoldfastError, match="it follows the task loss, and the new examples have none"):
        parse("Finch() + OnPolicySDFT()")
