"""A part of a run's data: proportions, seeds, and the validation side alone."""

import collections
import dataclasses
import json
import random

import pytest
from rich.console import Console

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.part import Part, chosen
from holdfast.bench.run.run import train
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from tests import tiny


def example(prompt, answer):
    ids = [*prompt, *answer]
    return Example(ids, [*[-100] * len(prompt), *answer])


def labelled(counts):
    made = [example([5, 10 + i], [label]) for label, count in counts.items() for i in range(count)]
    random.Random(0).shuffle(made)
    return made


def test_labels_keep_their_proportions_and_the_order_of_the_file():
    examples = labelled({3: 60, 4: 30, 7: 10})
    part = chosen(examples, 0.1, 0)
    assert collections.Counter(e.labels[-1] for e in part) == {3: 6, 4: 3, 7: 1}
    places = [examples.index(e) for e in part]
    assert places == sorted(places)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.33, 0.5, 0.99])
def test_every_stratum_is_within_one_of_its_share_and_the_sum_is_exact(share):
    examples = labelled({3: 61, 4: 37, 7: 15})
    part = chosen(examples, share, 3)
    assert len(part) == round(share * len(examples))
    counts = collections.Counter(e.labels[-1] for e in part)
    for label, whole in collections.Counter(e.labels[-1] for e in examples).items():
        assert abs(counts[label] - share * whole) < 1


def test_many_answers_are_stratified_by_length():
    draw = random.Random(1)
    examples = [example([5] * draw.randint(1, 40), [draw.randrange(60), draw.randrange(60)]) for _ in range(400)]
    cuts = sorted(len(e.input_ids) for e in examples)[::100][1:]
    part = chosen(examples, 0.1, 0)
    groups = collections.Counter(sum(len(e.input_ids) > cut for cut in cuts) for e in part)
    assert len(part) == 40
    assert all(abs(groups[group] - 10) <= 2 for group in range(4))


def test_the_seed_chooses_and_the_order_of_the_file_does_not():
    examples = [example([5, i // 50, i % 50], [20 + i % 30, i % 7]) for i in range(200)]
    first = {tuple(e.input_ids) for e in chosen(examples, 0.2, 0)}
    assert first == {tuple(e.input_ids) for e in chosen(examples[::-1], 0.2, 0)}
    assert first != {tuple(e.input_ids) for e in chosen(examples, 0.2, 1)}
    assert chosen(examples, 1.0, 0) == examples
    assert len(chosen(examples, 1e-9, 0)) == 1


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    room = tmp_path_factory.mktemp("part")
    tiny.tiny("llama").float().save_pretrained(room / "model")
    tiny.tokenizer().save_pretrained(room / "model")
    rows = [{"prompt": f"t{n} t{m}", "completion": f"t{n + 1}"} for n in range(20, 30) for m in range(30, 34)]
    (room / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    items = [
        {"id": f"i{n}", "suite": "old", "prompt": f"t{n} t{n + 1}", "choices": [f"t{n % 9 + 30}", "t50", "t51"]}
        for n in range(4, 60)
    ]
    (room / "keep.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return room


def spec(room, out, **changes):
    given = {
        "model": str(room / "model"),
        "data": str(room / "rows.jsonl"),
        "keep": (str(room / "keep.jsonl"),),
        "recipe": "Train(lr=1e-3, epochs=1, batch=4)",
        "out": str(out),
        "name": "run",
        "max_length": 32,
    }
    return RunSpec(**{**given, **changes})


def test_a_trial_trains_on_its_share_and_asks_validation_items_alone(room, tmp_path):
    whole = train(spec(room, tmp_path / "whole"), Console(quiet=True))
    part = Part(0.25, side="watch")
    trial = train(spec(room, tmp_path / "trial"), Console(quiet=True), part=part)
    assert (whole.record.steps, trial.record.steps) == (9, 3)  # 35 rows in batches of 4, and 9 of them
    asked = read_scores(trial.folder / "scores.jsonl")["after"]
    assert {score.split for score in asked} == {"watch"}
    every = read_scores(whole.folder / "scores.jsonl")["after"]
    assert {(s.suite, s.item) for s in asked} == {(s.suite, s.item) for s in every if s.split == "watch"}
    assert json.loads((trial.folder / "spec.json").read_text())["part"] == part.to_dict()
    again = train(spec(room, tmp_path / "trial"), Console(quiet=True), part=part)
    assert again.record == trial.record
    for other in (None, dataclasses.replace(part, share=0.5), dataclasses.replace(part, seed=1)):
        with pytest.raises(HoldfastError, match="another part"):
            train(spec(room, tmp_path / "trial"), Console(quiet=True), part=other)
