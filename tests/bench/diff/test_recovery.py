"""The recovery probe: what is asked again, what comes back, and that the model is left as it was."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from rich.console import Console

from holdfast.bench.diff.diff import diff
from holdfast.bench.diff.diff_record import RecoveryAmount, RecoveryRow
from holdfast.bench.diff.recovery import probes_of
from holdfast.bench.diff.relearning import relearned
from holdfast.bench.given.specs import DiffSpec
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.probes.answers import ask
from holdfast.probes.items import item_of, read_items
from holdfast.probes.score import Answers, Score
from holdfast.probes.suite import Suite
from holdfast.report.recovery import reading, recovery_lines
from tests import tiny


def item(i, suite="old", **more):
    return item_of({"id": f"i{i}", "suite": suite, "prompt": f"t{20 + i} t3", **more}, "here")


def scores(values):
    same = {"suite": "old", "role": "retained", "split": "proof", "unit": "points", "higher_is_better": True}
    return Answers([Score(**same, item=f"i{i}", group=f"i{i}", value=v, choices=0) for i, v in enumerate(values)])


def test_a_fallen_suite_is_sorted_by_what_became_of_its_items():
    items = tuple(item(i, answer="t5", check={"exact": "t5"}) for i in range(12))
    suite = Suite("old", "retained", items)
    before = scores([100.0] * 9 + [0.0] * 3)
    after = scores([0.0] * 6 + [100.0] * 3 + [0.0, 0.0, 100.0])
    (probe,) = probes_of([suite], before, after)
    assert [one.id for one in probe.lost] == [f"i{i}" for i in range(6)]
    assert [one.id for one in probe.unknown] == ["i9", "i10"]
    assert [one.id for one in probe.others] == ["i6", "i7", "i8", "i11"]
    assert not probes_of([suite], before, before)
    assert not probes_of([suite], after, before)
    assert not probes_of([dataclasses.replace(suite, role="learned")], before, after)


def test_steps_teach_and_leave_the_model_bit_for_bit_as_it_was():
    model = tiny.tiny("llama", dtype=torch.float32)
    model.train()
    kept = {name: weight.clone() for name, weight in model.state_dict().items()}
    examples = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(8)]
    losses = []
    for steps in (1, 60):
        with relearned(model, examples, steps, 0) as loss:
            losses.append(loss)
            assert any(not torch.equal(weight, kept[name]) for name, weight in model.state_dict().items())
        assert all(torch.equal(weight, kept[name]) for name, weight in model.state_dict().items())
    assert losses[1] < losses[0] - 0.1
    assert model.training
    with (
        pytest.raises(HoldfastError, match="no weight to train"),
        relearned(model.requires_grad_(False), examples, 1, 0),
    ):
        pass


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A base that has items of a suite right, and another model that has lost most of them."""
    room = tmp_path_factory.mktemp("recovery")
    for name, seed in (("base", 0), ("other", 1)):
        tiny.tiny("llama", seed=seed).float().save_pretrained(room / name)
        tiny.tokenizer().save_pretrained(room / name)
    asked = [
        {
            "id": f"a-{i}",
            "suite": "old",
            "prompt": f"t{20 + i} t{22 + i}",
            "check": {"lacks": "nothing"},
            "max_tokens": 4,
        }
        for i in range(36)
    ]
    (room / "ask.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    items = read_items(room / "ask.jsonl")
    from holdfast.bench.given.loading import load_model, load_tokenizer

    said = [ask(load_model(str(room / name)), load_tokenizer(str(room / name)), items) for name in ("base", "other")]
    rows = []
    for i, (row, first, last) in enumerate(zip(asked, *said, strict=True)):
        # The base has two thirds right, the other model the next ones, and none the last ones.
        right = first.said if i < 24 else last.said if i < 30 else "t9"
        rows.append({**row, "answer": right or "t9", "check": {"exact": right or "t9"}})
    (room / "old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return room


def test_lost_answers_are_asked_again_beside_their_controls(room):
    given = {"base": str(room / "base"), "tuned": str(room / "other"), "keep": (str(room / "old.jsonl"),)}
    done = diff(DiffSpec(**given, recover=2, recover_steps=3), Console(quiet=True))
    row = done.recovery["old"]
    assert row.lost == row.asked == done.suite("old").answers_lost
    assert row.guess is None
    for share in (row.by_examples, row.base_by_examples, row.by_steps):
        assert share.items == row.asked
        assert share.low <= share.value <= share.high
    assert done.to_dict()["recovery"]["old"]["by_examples"]["items"] == row.asked
    assert diff(DiffSpec(**given), Console(quiet=True)).recovery is None
    alone = diff(DiffSpec(**given, recover_steps=1), Console(quiet=True)).recovery["old"]
    assert alone.by_examples is None
    assert alone.by_steps is not None


def test_saved_answers_cannot_be_asked_again(tmp_path):
    with pytest.raises(HoldfastError, match="give two models and not two files"):
        diff(DiffSpec(base="a.jsonl", tuned="b.jsonl", recover=1), Console(quiet=True))


def amount(value, low, high):
    return RecoveryAmount(value=value, low=low, high=high, items=30)


@pytest.mark.parametrize(
    ("back", "unknown", "base", "words"),
    [
        (amount(80, 60, 90), amount(20, 10, 30), amount(90, 80, 95), "the format was lost"),
        (amount(80, 60, 90), amount(70, 60, 80), None, "does not settle"),
        (amount(10, 3, 25), amount(5, 0, 20), None, "the knowledge was lost"),
        (amount(10, 3, 25), amount(5, 0, 20), amount(90, 80, 95), "the knowledge was lost"),
        (amount(0, 0, 11), amount(5, 0, 20), amount(3, 0, 9), "says nothing, because the base fails with them too"),
        (amount(45, 30, 60), None, None, "does not settle"),
    ],
)
def test_a_share_is_read_beside_its_controls(back, unknown, base, words):
    assert words in reading(back, unknown, base)


def test_guessing_brings_nothing_back():
    assert "the format was lost" in reading(amount(60, 45, 75), None, None, 25.0)
    assert "does not settle" in reading(amount(60, 45, 75), None, None, 50.0)


def test_the_output_states_both_controls():
    row = RecoveryRow(
        lost=120,
        asked=100,
        guess=25.0,
        by_examples=amount(80, 60, 90),
        base_by_examples=amount(95, 80, 99),
        unknown_by_examples=amount(12, 5, 25),
        note="2 other items give a right answer; 5 are needed",
    )
    assert recovery_lines({"old": row})[1:] == [
        "  old: 120 lost, 100 asked again; guessing gets 25%",
        "    by examples: 80% [60, 90] (neither: 12% of 30, base: 95%), so the format was lost more than the knowledge",
        "    not tried: 2 other items give a right answer; 5 are needed",
    ]
    assert recovery_lines(None) == []
    assert "no suite of questions fell" in recovery_lines({})[0]
