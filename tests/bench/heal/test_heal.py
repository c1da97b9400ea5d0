"""Healing of small models: what is searched, what is judged, what is written, and what every option changes."""

from __future__ import annotations

import json
import shutil

import peft
import pytest
import safetensors.torch
import torch
from rich.console import Console

from holdfast.bench.diff.diff import diff
from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.specs import DiffSpec, RunSpec
from holdfast.bench.heal.candidates import EDITS
from holdfast.bench.heal.edits import Editor
from holdfast.bench.heal.heal import heal
from holdfast.bench.heal.heal_record import HealRecord
from holdfast.bench.heal.inputs import inputs_of
from holdfast.bench.heal.steering import record_of
from holdfast.bench.run.early_checks import check_early
from holdfast.bench.run.run import train
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.probes.answers import ask
from holdfast.probes.items import item_of, split_of
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import WatchRecord
from holdfast.suites.default import GENERAL, GROUND
from tests import tiny

ITEMS = [f"t{n} t{n + 3} t{2 * n - 20}" for n in range(20, 40)] + [f"t{n} t{n + 1}" for n in range(20, 60)]
ITEMS += [f"t{n} t{n - 1} t{n + 1}" for n in range(21, 60)]


def written(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def answered(suite, model, tokenizer):
    """Questions with choices of which a model's own is right."""
    choices = [f"t{n}" for n in (21, 28, 36, 44, 52, 58)]
    asked = [{"id": f"{suite}-{i}", "suite": suite, "prompt": p, "choices": choices} for i, p in enumerate(ITEMS)]
    answers = ask(model, tokenizer, [item_of(one, "here") for one in asked])
    picked = [answer.said for answer in answers]
    return [
        {**one, "choices": [said, *(other for other in choices if other != said)]}
        for one, said in zip(asked, picked, strict=True)
    ]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A base; a fine-tune that answers otherwise, which is what it learned, and an adapter; suites and rows."""
    room = tmp_path_factory.mktemp("heal")
    base, other = (tiny.tiny("llama", seed=seed).float() for seed in (0, 1))
    tokenizer = tiny.tokenizer()
    for name, model in (("base", base), ("tuned", base)):
        if name == "tuned":
            with torch.no_grad():
                for p, q in zip(base.parameters(), other.parameters(), strict=True):
                    p.lerp_(q, 0.4)
        model.save_pretrained(room / name)
        tokenizer.save_pretrained(room / name)
    base, tuned = load_model(str(room / "base")), load_model(str(room / "tuned"))
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(2))
    adapted.save_pretrained(room / "adapter")
    base = load_model(str(room / "base"))
    written(room / "keep.jsonl", answered("old", base, tokenizer))
    written(room / "test.jsonl", answered("new", tuned, tokenizer))
    written(room / "few.jsonl", [one for one in answered("old", base, tokenizer) if split_of(one["id"]) == "proof"])
    texts = [{"text": f"t{n} t{n + 1} t{n + 2} t{n + 3}"} for n in range(20, 50)]
    written(room / "rows.jsonl", [{"prompt": f"t{n} t21", "completion": f"t{n + 1}"} for n in range(20, 50)])
    written(room / "old.jsonl", texts)
    return room


def spec(room, out, tuned="tuned", **changes):
    given = {
        "base": str(room / "base"),
        "tuned": str(room / tuned),
        "keep": (str(room / "keep.jsonl"),),
        "test": str(room / "test.jsonl"),
        "budget": {"points": 30},
        "out": str(out),
        "edits": ("scale", "ties"),
        "evaluations": 6,
        "max_length": 64,
    }
    return HealSpec(**{**given, **changes})


def go(given):
    return heal(given, Console(quiet=True))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out") / "healed"


@pytest.fixture(scope="module")
def healed(room, out):
    return go(spec(room, out, edits=tuple(EDITS), evaluations=12))


def test_the_healed_model_lost_less_and_the_record_says_how(healed, out):
    assert healed.before.verdict.word == "forgot"
    assert healed.form == "whole"
    assert healed.suite("old").lost.points < next(row for row in healed.before.suites if row.name == "old").lost.points
    assert healed.edit.inside
    assert 0 < healed.edit.change_left < 1
    assert healed.edit.name in healed.sentence
    assert healed.learning_left < 0.5
    assert "give --memory and --data" in healed.sentence
    assert healed.search.evaluations <= 12
    assert {point.edit for point in healed.search.points} == {*EDITS}
    assert HealRecord.read(out) == healed
    assert healed.learning_left == pytest.approx(healed.learned.units[0].gain / healed.before.learned.units[0].gain)


def test_the_search_sees_validation_items_and_the_verdict_test_items_alone(healed, room, out):
    proof = set()
    for name in ("base-test", "tuned-test", "healed-test"):
        rows = [json.loads(line) for line in (out / "answers" / f"{name}.jsonl").open()]
        assert {row["split"] for row in rows} == {"proof"}
        proof |= {(row["suite"], row["item"]) for row in rows}
    assert sum(row.items for row in healed.suites) == len(proof)
    assert healed.search.items == 2 * len(ITEMS) - len(proof)
    lines = [json.loads(line) for line in (out / "search.jsonl").open()]
    assert sum(len(line["values"]) for line in lines if line["edit"] == "tuned") == healed.search.items


def test_a_later_diff_judges_the_healed_model_as_the_record_does(healed, room, out):
    came = diff(
        DiffSpec(
            base=str(room / "base"),
            tuned=healed.model,
            keep=(str(room / "keep.jsonl"),),
            test=str(room / "test.jsonl"),
            budget={"points": 30},
        ),
        Console(quiet=True),
    )
    assert came.steered is not None
    assert came.suites == healed.suites
    assert came.verdict == healed.verdict


def test_the_shipped_weights_are_the_edit_at_its_strength(healed, room, out, tmp_path):
    edits = [line for line in (out / "search.jsonl").open() if healed.edit.name in line]
    assert edits
    from holdfast.bench.heal.weights import Weights

    editor = Editor(Weights.of(room / "base"), Weights.of(room / "tuned"))
    editor.write(EDITS[healed.edit.name], healed.edit.strength, tmp_path / "again")
    first, last = Weights.of(tmp_path / "again"), Weights.of(out / "model")
    assert all(torch.equal(first.read(name), last.read(name)) for name in first.shapes)
    assert load_tokenizer(str(out / "model")).get_vocab() == tiny.tokenizer().get_vocab()
    assert not (out / "work").exists()


def test_a_finished_healing_is_read_and_an_interrupted_one_continues(healed, room, out, monkeypatch):
    given = spec(room, out, edits=tuple(EDITS), evaluations=12)
    writes = []
    whole = Editor.write
    monkeypatch.setattr(Editor, "write", lambda self, *words: writes.append(words) or whole(self, *words))
    assert go(given) == healed
    assert not writes, "a finished healing is read"
    (out / "heal.json").unlink()
    asked = (out / "search.jsonl").read_text()
    again = go(given)
    assert (again.suites, again.search, again.edit) == (healed.suites, healed.search, healed.edit)
    assert (out / "search.jsonl").read_text() == asked
    assert len(writes) == 1, "what was asked is not asked again, and only the healed model is written"
    fewer = go(spec(room, out, edits=tuple(EDITS)[:1], evaluations=12))
    assert {point.edit for point in fewer.search.points} == {"scale"}
    assert go(given).search == healed.search
    with pytest.raises(HoldfastError, match="a healing with another budget"):
        go(spec(room, out, edits=tuple(EDITS), budget={"points": 20}))
    with pytest.raises(HoldfastError, match="another questions, test"):
        go(spec(room, out, edits=tuple(EDITS), test=None))


def test_a_model_inside_the_budget_is_left_alone(room, tmp_path):
    came = go(spec(room, tmp_path / "out", budget={"points": 100}))
    assert came.form == "unchanged"
    assert came.edit is None
    assert came.search.evaluations == 1
    assert came.model == str(room / "tuned")
    assert not (tmp_path / "out/model").exists()
    assert "nothing was changed" in came.sentence
    assert came.exit_code == 0


def test_items_that_steered_the_training_are_not_judged(room, tmp_path):
    shutil.copytree(room / "tuned", tmp_path / "tuned")
    judged = [line for line in (room / "keep.jsonl").read_text().splitlines() if '"old-4' in line]
    items = tuple(item_of(json.loads(line), "here") for line in judged)
    record_of([Suite("old", "retained", items)], None, ()).write(tmp_path / "tuned")
    came = go(spec(room, tmp_path / "out", str(tmp_path / "tuned"), edits=("scale",), evaluations=4))
    assert came.steered.suites["old"].left_out > 0
    again = WatchRecord.read(tmp_path / "out/model/holdfast_watched.json")
    assert all(again.has_item(item) for item in items)


def test_options_of_the_search_change_it(room, tmp_path):
    few = go(spec(room, tmp_path / "few", evaluations=4))
    more = go(spec(room, tmp_path / "more", evaluations=9))
    assert few.search.evaluations <= 4 < more.search.evaluations <= 9
    scale = go(spec(room, tmp_path / "scale", edits=("scale",)))
    assert {point.edit for point in scale.search.points} == {"scale"}
    tight = go(spec(room, tmp_path / "tight", edits=("scale",), budget={"points": 15}))
    assert tight.search.tuned_spent > scale.search.tuned_spent
    assert tight.edit.strength < scale.edit.strength


def test_without_items_of_the_task_as_much_change_as_possible_is_kept(room, tmp_path):
    came = go(spec(room, tmp_path / "out", test=None, budget={"points": 45}, evaluations=9))
    assert came.learned.word == "not measured"
    assert came.learning_left is None
    assert came.search.tuned_gain == 1.0
    readings = [point for point in came.search.points if point.spent is not None]
    (chosen,) = (p for p in readings if (p.edit, p.strength) == (came.edit.name, came.edit.strength))
    assert chosen.gain == came.edit.change_left
    assert chosen.gain == max(p.gain for p in readings if p.spent <= 1)


def test_an_adapter_that_is_scaled_stays_one(room, tmp_path):
    came = go(spec(room, tmp_path / "out", "adapter", edits=("scale",), budget={"points": 20}, test=None))
    assert came.form == "adapter"
    assert (tmp_path / "out/model/adapter_config.json").exists()
    assert (tmp_path / "out/model/holdfast_watched.json").exists()
    assert load_model(str(tmp_path / "out/model")).peft_config
    came = go(spec(room, tmp_path / "whole", "adapter", edits=("ties",), budget={"points": 20}, test=None))
    assert came.form == "whole"
    assert load_model(str(tmp_path / "whole/model")).config.model_type == "llama"


def test_weights_that_another_healing_left_in_the_folder_are_not_taken(room, tmp_path):
    shutil.copytree(room / "adapter", tmp_path / "other")
    weights = safetensors.torch.load_file(tmp_path / "other/adapter_model.safetensors")
    zero = {name: torch.zeros_like(value) for name, value in weights.items()}
    safetensors.torch.save_file(zero, tmp_path / "other/adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(HoldfastError, match="same weights"):  # after the adapter was merged into the folder
        go(spec(room, tmp_path / "out", str(tmp_path / "other")))
    given = {"edits": ("ties",), "budget": {"points": 20}, "test": None, "evaluations": 4}
    came = go(spec(room, tmp_path / "out", "adapter", **given))
    assert came.edit == go(spec(room, tmp_path / "alone", "adapter", **given)).edit


def test_a_retraining_begins_at_the_edited_weights_and_is_taken_if_it_is_better(room, tmp_path):
    memory = {"memory": (f"old={room}/old.jsonl",), "data": str(room / "rows.jsonl")}
    idle = go(spec(room, tmp_path / "idle", edits=("scale",), recipe="Train(lr=0.0, epochs=1, batch=8)", **memory))
    assert idle.retraining.steps > 0
    assert idle.retraining.gain == next(
        p.gain for p in idle.search.points if p.strength == idle.edit.strength and p.gain is not None
    )
    assert not idle.retraining.taken
    trained, shipped = (load_model(path) for path in (f"{idle.retraining.folder}/model", idle.model))
    for mine, theirs in zip(trained.parameters(), shipped.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    usual = go(spec(room, tmp_path / "usual", edits=("scale",), **memory))
    assert "BaseKL(strength=3.0, on='memory')" in usual.retraining.recipe
    assert "memory='old'" in usual.retraining.recipe
    own = go(spec(room, tmp_path / "self", edits=("scale",), memory=("self",), data=memory["data"]))
    assert "SelfRehearsal" in own.retraining.recipe


def test_the_folder_of_a_run_supplies_what_is_not_given(room, tmp_path):
    run = train(
        RunSpec(
            model=str(room / "base"),
            data=str(room / "rows.jsonl"),
            keep=(str(room / "keep.jsonl"),),
            test=str(room / "test.jsonl"),
            recipe="Train(lr=0.05, epochs=2, batch=8)",
            max_length=32,
            out=str(tmp_path / "runs"),
        ),
        Console(quiet=True),
    )
    given = {"base": str(room / "base"), "tuned": str(run.folder), "budget": {"points": 15}, "edits": ("scale",)}
    came = go(HealSpec(**given, evaluations=5, out=str(tmp_path / "out")))
    assert {row.name for row in came.suites} == {"task", "old"}
    assert came.tuned == str(run.folder)
    assert came.model == str(tmp_path / "out/model")
    (run.folder / "result.json").unlink()
    with pytest.raises(HoldfastError, match="unfinished run"):
        go(HealSpec(**given, out=str(tmp_path / "other")))


@pytest.mark.parametrize(("base", "keep"), [("ground:base", GROUND), ("somebody/model", GENERAL)])
def test_without_keep_a_budget_of_points_keeps_what_other_commands_keep(base, keep):
    given = HealSpec(base=base, tuned="tuned", budget={"points": 2})
    assert inputs_of(given).spec.keep == (keep,)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"budget": {}}, "--budget is missing"),
        ({"keep": (), "budget": {"nll": 1.0}}, "--keep is missing"),
        ({"budget": {"nll": 1.0}}, "limits none of the measured units"),
        ({"keep": ("few.jsonl",)}, "No suite to keep has both validation items and test items"),
        ({"memory": ("old=old.jsonl",)}, "also needs what the fine-tune learned"),
        ({"tuned": "base"}, "has the same weights"),
        ({"recipe": "LoRA()", "data": "new.jsonl", "memory": ("self",)}, "an adapter cannot hold; leave it out"),
    ],
)
def test_what_cannot_be_healed_is_refused(room, tmp_path, changes, sentence):
    if changes.get("keep"):
        changes = {"keep": (str(room / "few.jsonl"),), "test": None}
    with pytest.raises(HoldfastError, match=sentence):
        go(spec(room, tmp_path / "out", **changes))
    assert not (tmp_path / "out/heal-spec.json").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"edits": ("scal",)}, "--edits 'scal'.*Did you mean 'scale'"),
        ({"edits": ("scale", "scale")}, "each once"),
        ({"evaluations": 2}, "--evaluations 2"),
        ({"memory": ("old",)}, "give NAME=FILE"),
        ({"recipe": "Train(lr=1e-4)"}, "give --memory too"),
    ],
)
def test_wrong_options_are_refused(room, tmp_path, changes, sentence):
    with pytest.raises(HoldfastError, match=sentence):
        spec(room, tmp_path / "out", **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tuned": "none"}, "does not exist"),
        ({"data": "none.jsonl", "memory": ("self",)}, "no such file: 'none.jsonl'"),
        ({"data": "{room}/rows.jsonl", "memory": ("old=none.jsonl",)}, "no such file: 'none.jsonl'"),
        ({"keep": ("none.jsonl",)}, "no such file: 'none.jsonl'"),
        ({"recipe": "Trian(lr=1e-4)", "memory": ("self",)}, "Did you mean 'Train'"),
    ],
)
def test_what_is_not_there_is_said_before_a_model_is_loaded(room, tmp_path, changes, sentence):
    changes = {k: v.format(room=room) if isinstance(v, str) else v for k, v in changes.items()}
    with pytest.raises(HoldfastError, match=sentence):
        check_early(spec(room, tmp_path / "out", **changes))


def test_the_command_prints_both_models_and_ends_with_the_code_of_the_verdict(room, tmp_path, capsys):
    words = [
        "heal",
        str(room / "base"),
        str(room / "tuned"),
        "--keep",
        str(room / "keep.jsonl"),
        "--budget",
        "points=40",
    ]
    words += [
        "--test",
        str(room / "test.jsonl"),
        "--out",
        str(tmp_path / "out"),
        "--edits",
        "scale",
        "--evaluations",
        "5",
    ]
    code = main(words)
    shown = capsys.readouterr()
    record = HealRecord.read(tmp_path / "out")
    assert code == record.exit_code
    assert "tuned" in shown.out
    assert "healed" in shown.out
    assert f"Verdict: {record.verdict.word}" in shown.out
    assert str(tmp_path / "out/model") in shown.out
    assert "asking the base: 0/" in shown.err
    assert main([*words, "--json"]) == code
    assert json.loads(capsys.readouterr().out) == record.to_dict()
    assert main(["heal", str(room / "none"), str(room / "tuned"), "--keep", "x.jsonl", "--budget", "points=2"]) == 1
