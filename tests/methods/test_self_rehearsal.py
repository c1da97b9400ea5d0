"""Old examples that the base writes itself."""

from __future__ import annotations

import copy

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example, Mix
from holdfast.core.run import Run
from holdfast.ground.names import base_folder
from holdfast.methods.rehearsal.self_rehearsal import SELF, SelfRehearsal, sieved
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import trainer_for

NEW = tuple(Example(row["input_ids"], row["labels"]) for row in tiny.rows(6))


def run(model=None, tokenizer=None, seed=0, mix=None, limit=64):
    model = model or tiny.tiny(dtype=torch.float32)
    kept = {}
    return Run(
        model,
        mix or Mix(NEW),
        seed,
        0,
        tokenizer=tokenizer,
        longest=lambda: limit,
        keep=lambda name, make: kept.setdefault(name, make()),
    )


def test_what_turns_in_circles_and_what_is_there_already_is_left_out():
    def example(*ids):
        return Example(ids, ids)

    written = [
        example(*range(10)),
        example(*[1, 2, 3, 4] * 4),
        example(*range(10)),
        example(*range(1, 11)),
        example(*range(20, 30)),
        example(*range(40, 50)),
    ]
    found = list(sieved(iter(written), [example(*range(40, 50), 60)], repeat=0.5, similar=0.7))
    assert found == [written[0], written[4]]
    assert list(sieved(iter(written), [], repeat=1.0, similar=1.0)) == written


def test_documents_are_learned_in_full_and_stand_behind_the_new_examples_at_their_share():
    mix = SelfRehearsal(ratio=0.3, count=5, length=12, near="same").mix_data(run())
    assert mix.names == (SELF,)
    assert mix.ratios == (0.3,)
    assert mix.nears == ("same",)
    assert mix.examples[:6] == NEW
    written = mix.examples[6:]
    assert len(written) == 5
    assert all(e.source == 1 and tuple(e.input_ids) == tuple(e.labels) and len(e.input_ids) <= 12 for e in written)


def test_the_seed_of_the_run_decides_and_nothing_else():
    method = SelfRehearsal(count=4, length=10)
    one, same, other = (method.mix_data(run(seed=seed)).examples[6:] for seed in (0, 0, 1))
    assert one == same != other


def test_a_base_that_writes_too_little_that_differs_gives_fewer_and_says_so(caplog):
    mix = SelfRehearsal(count=9, length=10, temperature=0.0).mix_data(run())
    assert len(mix.examples) == 7
    assert "1 of 36 written examples passed the sieve" in caplog.text
    known = Example(mix.examples[6].input_ids, mix.examples[6].labels)
    with pytest.raises(
        HoldfastError, match="no example that the base wrote passed the sieve; raise repeat and similar"
    ):
        SelfRehearsal(count=9, length=10, temperature=0.0).mix_data(run(mix=Mix((*NEW, known))))


def test_chats_are_learned_on_their_answers():
    from holdfast.bench.given.loading import load_model, load_tokenizer

    model, tokenizer = load_model(str(base_folder())), load_tokenizer(str(base_folder()))
    mix = SelfRehearsal(count=6, length=48).mix_data(run(model, tokenizer))
    assert len(mix.examples) == 12
    for example in mix.examples[6:]:
        learned = [i for i, label in enumerate(example.labels) if label != -100]
        answer = tokenizer.decode([example.input_ids[i] for i in learned])
        question = tokenizer.decode(example.input_ids[: learned[0]])
        assert "<|user|>" in question
        assert "<|user|>" not in answer
        assert answer.endswith("</s>")
    texts = SelfRehearsal(count=6, length=48, form="text").mix_data(run(model, tokenizer))
    assert all(-100 not in example.labels for example in texts.examples[6:])
    with pytest.raises(HoldfastError, match="chats need a tokenizer with a chat template; use form='text'"):
        SelfRehearsal(form="chat").mix_data(run(model, None))


def test_memories_that_leave_nothing_to_the_new_examples_are_refused():
    full = Mix(NEW).with_memory("old", [Example((1, 2), (1, 2))], 0.9)
    with pytest.raises(HoldfastError, match="leave some to the new examples"):
        SelfRehearsal(ratio=0.2).mix_data(run(mix=full))


def test_a_resumed_run_reads_back_what_was_written(tmp_path, monkeypatch):
    import holdfast.methods.rehearsal.self_rehearsal as module

    start, method = tiny.tiny(dtype=torch.float32), SelfRehearsal(count=5, length=10)
    settings = {"save_strategy": "steps", "save_steps": 1, "max_steps": 3}
    trainer = attach(trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(12), **settings), method)
    assert not list(tmp_path.rglob("self-rehearsal-*")), "nothing is left by a run that has not begun"
    trainer.train()
    assert len(list((tmp_path / "holdfast").glob("self-rehearsal-*.safetensors"))) == 1

    def not_again(*_, **__):
        raise AssertionError("it was written before")

    monkeypatch.setattr(module, "documents", not_again)
    again = attach(trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(12), **settings), method)
    written = [[tuple(e.input_ids) for e in t.holdfast_mix.examples] for t in (trainer, again)]
    assert written[0] == written[1]


def test_a_later_round_writes_only_in_place_of_what_the_sieve_dropped(monkeypatch):
    asked = []

    def documents(model, tokenizer, count, *, seed, **how):
        asked.append(count)
        fresh = (
            range(6) if seed == 0 else range(6, 6 + count)
        )  # of ten documents, the first round has six different ones
        return [[100 * min(i, max(fresh)) + j for j in range(8)] for i in (*fresh, *[0] * (count - len(fresh)))]

    monkeypatch.setattr("holdfast.methods.rehearsal.self_rehearsal.documents", documents)
    mix = SelfRehearsal(ratio=0.3, count=10, form="text").mix_data(run())
    assert asked == [10, 6]
    assert len(mix.examples) - len(NEW) == 10


def test_later_runs_of_the_same_model_find_what_it_wrote(tmp_path, monkeypatch, caplog):
    from holdfast.methods.rehearsal import self_rehearsal

    monkeypatch.setenv("HOLDFAST_WRITTEN", str(tmp_path / "written"))
    caplog.set_level("INFO", "holdfast")
    calls = []
    real = self_rehearsal.documents
    monkeypatch.setattr(self_rehearsal, "documents", lambda *a, **k: (calls.append(a), real(*a, **k))[1])

    def examples(**changes):
        return SelfRehearsal(count=4, length=10).mix_data(run(**changes)).examples[6:]

    first = examples()
    assert len(calls) == 1
    assert "are kept for later runs in" in caplog.text
    others = Mix(tuple(Example(row["input_ids"], row["labels"]) for row in tiny.rows(3)))
    assert SelfRehearsal(count=4, length=10).mix_data(run(mix=others)).examples[3:] == first
    assert len(calls) == 1, "other new examples change the sieve, not what is written"
    assert "has written these 4 old examples before" in caplog.text
    moved = tiny.tiny(dtype=torch.float32)
    with torch.no_grad():
        next(moved.parameters())[0, 0] += 1e-3
    examples(model=moved)
    examples(seed=1)
    SelfRehearsal(count=4, length=11).mix_data(run())
    assert len(calls) == 4
    assert len(list((tmp_path / "written").iterdir())) == 4
    for path in (tmp_path / "written").iterdir():
        path.write_text("{}")
    with pytest.raises(HoldfastError, match="holds no old examples"):
        examples()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOLDFAST_WRITTEN", str(tmp_path / "file"))
    with pytest.raises(HoldfastError, match="cannot be kept there"):
        examples()
