"""Nobody is judged by what they were chosen on: what a training watched is left out by itself, and it is said."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
import transformers
from rich.console import Console

from holdfast.bench.diff.diff import diff
from holdfast.bench.diff.diff_record import LeftOutRow
from holdfast.bench.diff.watched_items import without_watched
from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.specs import DiffSpec, RunSpec
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.run import train
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import Item, split_of
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import FILE, WatchEntry, WatchRecord, of_item, shared_group
from holdfast.stats.flips import flips
from holdfast.stats.verdict import judge
from holdfast.train.attach import attach
from tests import tiny
from tests.train.watching import watching

ITEMS = [{"id": f"a-{n}", "suite": "old", "prompt": f"t{n} t{n + 3}", "check": {"lacks": "t15"}} for n in range(20, 56)]
WORDS = [f"t{n}" for n in (*range(20, 30), *range(40, 61))]  # the tokenizer reads t30 as an unknown word
TEXTS = [f"{WORDS[i % 31]} {WORDS[(i + 1) % 31]} {WORDS[(i + 2 + i // 31) % 31]}" for i in range(36)]
ROWS = [{"prompt": f"t{n} t{n + 1} ", "completion": "t15"} for n in range(20, 36)]


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A base, files, and a model of it that a trainer with a guard has trained and saved."""
    room = tmp_path_factory.mktemp("steered")
    tiny.tiny("llama", seed=0).float().save_pretrained(room / "base")
    tiny.tokenizer().save_pretrained(room / "base")
    write(room / "kept.jsonl", ITEMS)
    write(room / "texts.jsonl", [{"text": text} for text in TEXTS])
    write(room / "rows.jsonl", ROWS)
    for name, recipe in (("tuned", None), ("adapter", "LoRA(rank=2)")):
        model, tokenizer = load_model(str(room / "base")), load_tokenizer(str(room / "base"))
        trainer = transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(
                str(room / f"out-{name}"), max_steps=2, report_to="none", save_strategy="no", use_cpu=True
            ),
            train_dataset=tiny.rows(8),
            data_collator=tiny.collate,
            processing_class=tokenizer,
        )
        keep = [str(room / "kept.jsonl"), str(room / "texts.jsonl")]
        attach(trainer, recipe, **watching(keep, points=90, nll=9.0, every=1))
        trainer.train()
        trainer.save_model(str(room / name))
    return room


def watched(texts=TEXTS):
    made = [tokenize([Row(text=text)], tiny.tokenizer(), max_length=64).examples[0] for text in texts]
    return sum(split_of(item["id"]) == "watch" for item in ITEMS), sum(split_of(e.content) == "watch" for e in made)


def go(room, tuned="tuned", keep=("kept.jsonl", "texts.jsonl"), **changes):
    console = Console(file=io.StringIO(), width=200)
    given = {"base": str(room / "base"), "tuned": str(room / tuned), "keep": tuple(str(room / one) for one in keep)}
    done = diff(DiffSpec(**{**given, "budget": {"points": 90, "nll": 9.0}, **changes}), console)
    return {row.name: row.items for row in done.suites}, done, console.file.getvalue()


@pytest.mark.parametrize("tuned", ["tuned", "adapter"])
def test_what_was_watched_is_left_out_and_said_with_its_counts(room, tuned):
    items, texts = watched()
    assert 4 < items < 20
    assert 4 < texts < 20
    asked, result, said = go(room, tuned)
    assert asked == {"old": 36 - items, "texts": 36 - texts}
    sentence = f"{items} of 36 items and {texts} of 36 texts steered the training and are not judged (recorded in"
    assert result.steered.sentence.startswith(sentence)
    assert sentence in said
    assert result.steered.suites["old"] == LeftOutRow(left_out=items, of=36, kind="items")
    assert result.steered.records == (str(room / tuned / FILE),)


def test_the_program_says_it_too(room, capsys):
    code = main(
        ["diff", str(room / "base"), str(room / "tuned"), "--keep", str(room / "kept.jsonl"), "--budget", "points=90"]
    )
    assert code == 0
    assert f"{watched()[0]} of 36 items steered the training and are not judged" in capsys.readouterr().out


def test_in_another_file_under_other_names_they_are_left_out_as_well(room):
    renamed = [{**one, "id": f"x{i}", "suite": "new"} for i, one in enumerate(reversed(ITEMS))]
    write(room / "renamed.jsonl", renamed)
    (room / "other.txt").write_text("\n\n".join(reversed(TEXTS)))
    items, texts = watched()
    asked, _, _ = go(room, keep=("renamed.jsonl", "other.txt"))
    assert asked == {"new": 36 - items, "other": 36 - texts}


def test_models_that_nothing_steered_are_asked_everything(room):
    asked, result, _ = go(room, "base")
    assert asked == {"old": 36, "texts": 36}
    assert result.steered is None


def test_where_everything_was_watched_it_says_how_to_mend_that(room):
    seen = [one for one in ITEMS if split_of(one["id"]) == "watch"]
    write(room / "seen.jsonl", seen)
    with pytest.raises(
        HoldfastError, match="Everything under --keep steered the training .recorded in .*give --keep other"
    ):
        go(room, keep=("seen.jsonl",))
    # Where something is left, the suite that is gone is named.
    write(room / "gone.jsonl", [{**one, "suite": "gone"} for one in seen])
    asked, result, _ = go(room, keep=("kept.jsonl", "gone.jsonl"))
    assert asked == {"old": 36 - len(seen)}
    assert result.steered.sentence.endswith("Nothing is left of gone.")


def test_what_measures_the_learning_is_left_out_as_well(room):
    asked, _, _ = go(room, test=str(room / "kept.jsonl"), keep=("texts.jsonl",))
    assert asked["task"] == 36 - watched()[0]


def test_a_run_and_a_comparison_of_its_model_judge_the_same_items(room, tmp_path):
    spec = RunSpec(
        model=str(room / "base"), data=str(room / "rows.jsonl"), held_out=0.0, out=str(tmp_path), name="run",
        keep=(str(room / "kept.jsonl"), str(room / "texts.jsonl")), recipe="Train(lr=1e-3, epochs=2)",
        budget={"points": 90, "nll": 9.0, "every": 1, "items": 6},
    )  # fmt: skip
    done = train(spec, Console(quiet=True))
    of_run = {row.name: (row.items, row.change) for row in done.record.suites}
    items, texts = watched()
    assert {name: count for name, (count, _) in of_run.items()} == {"old": 36 - items, "texts": 36 - texts}
    _, result, _ = go(room, str(done.folder / "model"))
    found = {row.name: row.items for row in result.suites}
    assert found == {name: count for name, (count, _) in of_run.items()}
    for row in result.suites:
        assert row.change == pytest.approx(of_run[row.name][1], abs=1e-4)
    seen = WatchRecord.read(done.folder / "model" / FILE)
    assert sum(thing.use == "keep" for thing in seen.things) == 6, "the others stood apart"
    assert {thing.use for thing in seen.things} == {"keep", "apart"}
    # A text is one group in all files, by its content.
    rows = [row for row in read_scores(done.folder / "scores.jsonl")["after"] if row.suite == "texts"]
    assert {row.split for row in rows} == {"watch", "proof"}
    assert all(row.split == split_of(row.group) for row in rows)


def test_a_record_that_cannot_be_read_ends_the_comparison(room, tmp_path):
    (room / "broken").mkdir()
    for file in (room / "base").iterdir():
        (room / "broken" / file.name).write_bytes(file.read_bytes())
    (room / "broken" / FILE).write_text("{")
    with pytest.raises(HoldfastError, match="what steered the training is not known"):
        go(room, "broken")


def simulated(count):
    return [
        Item(id=f"q{n}", suite="s", group=f"q{n}", turns=(Turn("user", f"question {n}", False),), check={"exact": "x"})
        for n in range(count)
    ]


def test_a_model_chosen_among_many_by_its_guard_is_not_called_kept_too_often(tmp_path):
    """A guard takes the best of 12 checkpoints by the items that it watches; all have lost just what is allowed."""
    items, repeats, rng = simulated(1000), 400, np.random.default_rng(0)
    asked = [item for item in items if item.split == "watch"]
    WatchRecord(tuple(WatchEntry("keep", i.suite, i.id, shared_group(i), of_item(i)) for i in asked)).write(tmp_path)
    again = [dataclasses.replace(item, id=f"n{item.id}", group=f"n{item.id}", suite="renamed") for item in items]
    ((left,), _) = without_watched([Suite("renamed", "retained", items=tuple(again))], [str(tmp_path)], None)
    judged = np.isin([item.id for item in again], [item.id for item in left.items])
    watch = np.array([item.split == "watch" for item in items])
    assert (judged == ~watch).all()
    wrong = {"all": 0, "judged": 0}
    for _ in range(repeats):
        before = rng.random(len(items)) < 0.7
        after = [np.where(before, rng.random(1000) > 0.08 / 0.7, rng.random(1000) < 0.06 / 0.3) for _ in range(12)]
        best = max(after, key=lambda one: one[watch].mean())
        for name, mask in (("all", np.ones(1000, bool)), ("judged", judged)):
            said = judge(flips(before[mask].astype(float).tolist(), best[mask].astype(float).tolist()), 0.02)
            wrong[name] += said.word == "kept"
    assert wrong["judged"] / repeats < 0.085
    assert wrong["all"] / repeats > 0.13, "which is what this is for"
