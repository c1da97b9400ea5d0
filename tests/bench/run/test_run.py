"""A run from its files to its folder: what it leaves, that it is repeatable, and that every option does something."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import peft
import pytest
import torch
import transformers
from rich.console import Console

from holdfast.bench.given.loading import load_tokenizer
from holdfast.bench.given.specs import HOLDFAST, RunSpec
from holdfast.bench.machine.files import read_jsonl, write_jsonl
from holdfast.bench.measured.preparation import prepare_data
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run import run as bench
from holdfast.bench.run import training as steps
from holdfast.bench.run.record import RunRecord
from holdfast.bench.run.run import train
from holdfast.bench.run.training import Collate, packed_alike, plain_trainer
from holdfast.cli.main import main
from holdfast.core.batches import collate
from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.core.mix import Example
from holdfast.data.packing import pack
from holdfast.methods.holdfast import Holdfast
from holdfast.methods.rehearsal.self_rehearsal import SELF
from holdfast.probes.likelihood import document_nll
from holdfast.recipe import parse
from holdfast.train.attach import attach
from tests import tiny

FULL = "Train(lr=0.01, epochs=2)"
ADAPTER = "Train(lr=0.05, epochs=2) + LoRA(rank=2) + MaskTheTarget()"


@pytest.fixture
def asked(room, tmp_path):
    """Makes the spec of a small run, with changes; names of files stand for those in the room."""

    def make(**changes):
        fields = {"model": "model", "data": "facts.jsonl", "recipe": FULL, "out": str(tmp_path / "runs"), **changes}
        for name in ("model", "data", "test", "transfer"):
            if fields.get(name):
                fields[name] = str(room / fields[name])
        fields["keep"] = tuple(str(room / name) for name in fields.get("keep", ()))
        fields["memory"] = tuple(entry.replace("=", f"={room}/") for entry in fields.get("memory", ()))
        return RunSpec(**fields)

    return make


def go(spec):
    return train(spec, Console(quiet=True))


def scores(folder, moment="after"):
    return {(row.suite, row.item): row.value for row in read_scores(folder / "scores.jsonl")[moment]}


def log(folder):
    return [
        {k: v for k, v in row.items() if k not in ("total_flos", "train_runtime", "seconds")}
        for row in read_jsonl(folder / "log.jsonl")
    ]


def weights(folder):
    name = "adapter_model" if (folder / "model" / "adapter_config.json").exists() else "model"
    import safetensors.torch

    return safetensors.torch.load_file(folder / "model" / f"{name}.safetensors")


CASES = {
    "text": {"data": "texts.txt"},
    "prompts and completions": {"keep": ["general.txt"]},
    "packed": {"data": "texts.txt", "packing": True, "max_length": 24},
    "an adapter": {"recipe": ADAPTER, "keep": ["general.txt"]},
    "an adapter, packed, with a memory": {
        "recipe": ADAPTER + " + Rehearsal('old', ratio=0.3)",
        "memory": ["old=old.jsonl"],
        "packing": True,
        "max_length": 24,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_the_folder_holds_all_and_the_model_gives_the_scores_again(asked, case):
    spec = asked(name="run", **CASES[case])
    done = go(spec)
    assert sorted(path.name for path in done.folder.iterdir()) == sorted(
        ["spec.json", "env.json", "log.jsonl", "scores.jsonl", "result.json", "model"]
    )
    written = json.loads((done.folder / "spec.json").read_text())
    assert {name: written[name] for name in ("data", "seed", "recipe")} == {
        name: getattr(spec, name) for name in ("data", "seed", "recipe")
    }
    assert "torch" in json.loads((done.folder / "env.json").read_text())["packages"]
    result = json.loads((done.folder / "result.json").read_text())
    assert result == done.record.to_dict()
    assert RunRecord.read(done.folder) == done.record
    rows = log(done.folder)
    assert [row["step"] for row in rows] == list(range(1, result["steps"] + 1))
    assert all(math.isfinite(row["loss"]) for row in rows)

    tokenizer = load_tokenizer(spec.model)
    kind = peft.AutoPeftModelForCausalLM if "LoRA" in spec.recipe else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(done.folder / "model", dtype=torch.float32)
    for suite in prepare_data(spec, tokenizer).suites:
        for score in document_nll(model, suite.texts, pad_id=0):
            assert scores(done.folder)[suite.name, score.origin] == pytest.approx(score.nats, rel=1e-6)
    assert transformers.AutoTokenizer.from_pretrained(done.folder / "model").get_vocab() == tokenizer.get_vocab()


def test_a_result_is_the_mean_per_token_of_the_scores(asked):
    done = go(asked(keep=["general.txt"], test="test.jsonl"))
    rows = read_scores(done.folder / "scores.jsonl")
    for suite in done.record.suites:
        for moment in ("before", "after"):
            own = [row for row in rows[moment] if row.suite == suite.name]
            assert getattr(suite, moment) == pytest.approx(sum(r.value for r in own) / sum(r.weight for r in own))
        assert suite.change == pytest.approx(suite.after - suite.before)
        assert suite.low < suite.change < suite.high


@pytest.mark.parametrize("recipe", [FULL, ADAPTER])
def test_the_same_seed_gives_the_same_bits(asked, recipe):
    one, two = go(asked(name="one", recipe=recipe)), go(asked(name="two", recipe=recipe))
    assert scores(one.folder) == scores(two.folder)
    assert log(one.folder) == log(two.folder)
    assert all(torch.equal(tensor, weights(two.folder)[name]) for name, tensor in weights(one.folder).items())


@pytest.mark.parametrize(("step", "recipe"), [(1, FULL), (3, FULL), (6, FULL), (3, ADAPTER)])
def test_resumed_after_an_interruption_equals_uninterrupted(asked, monkeypatch, recipe, step):
    whole = go(asked(name="whole", recipe=recipe, keep=["general.txt"]))
    append = steps.append_jsonl

    def interrupt(path, row):
        append(path, row)
        if row["step"] == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(steps, "append_jsonl", interrupt)
    with pytest.raises(KeyboardInterrupt):
        go(asked(name="parts", recipe=recipe, keep=["general.txt"]))
    monkeypatch.undo()
    parts = go(asked(name="parts", recipe=recipe, keep=["general.txt"], resume=True))
    assert scores(parts.folder) == scores(whole.folder)
    assert log(parts.folder) == log(whole.folder)
    assert parts.record.suites == whole.record.suites
    assert all(torch.equal(tensor, weights(parts.folder)[name]) for name, tensor in weights(whole.folder).items())


@pytest.mark.parametrize("place", ["measure", "save_model"])
def test_resumed_after_training_is_done_trains_no_more(asked, monkeypatch, place):
    whole, spec = go(asked(name="whole")), asked(name="parts", resume=True)
    real, calls = getattr(bench, place), []

    def interrupt(*args, **named):
        calls.append(place)
        if place == "save_model" or len(calls) == 2:  # the first measurement is the one before training
            raise KeyboardInterrupt
        return real(*args, **named)

    monkeypatch.setattr(bench, place, interrupt)
    with pytest.raises(KeyboardInterrupt):
        go(spec)
    monkeypatch.undo()
    spec_log = whole.folder.parent / "parts" / "log.jsonl"
    write_jsonl(spec_log, ({**row, "seconds": row["seconds"] + 1000} for row in read_jsonl(spec_log)))
    logged = spec_log.read_text()
    parts = go(spec)
    assert spec_log.read_text() == logged
    assert parts.record.seconds.all > parts.record.seconds.training > 1000, "the time of both calls"
    assert scores(parts.folder) == scores(whole.folder)
    assert all(torch.equal(tensor, weights(parts.folder)[name]) for name, tensor in weights(whole.folder).items())


def test_a_finished_run_is_only_read(asked, monkeypatch):
    first = go(asked())
    monkeypatch.setattr(bench, "_run", lambda *args: pytest.fail("it ran again"))
    again = go(asked())
    assert (again.folder, again.record, again.exit_code) == (first.folder, first.record, 0)


def test_rows_that_are_learned_are_said_and_left_out_of_the_test(asked, room, tmp_path, capsys):
    learned = (room / "facts.jsonl").read_text().splitlines()
    test = tmp_path / "mixed.jsonl"
    test.write_text("\n".join([learned[2], learned[4], *(room / "test.jsonl").read_text().splitlines()]))
    spec = dataclasses.replace(asked(), test=str(test))
    done = train(spec, Console(width=300))
    assert done.record.suites[0].groups == 6
    assert "2 rows are also among those to learn and left out of" in (said := capsys.readouterr().out)
    assert "(first: mixed.jsonl:1 = facts.jsonl:3)" in said


def test_kept_rows_that_are_rehearsed_are_said_and_left_out(asked, room, tmp_path, capsys):
    rehearsed = (room / "old.jsonl").read_text().splitlines()
    kept = tmp_path / "kept.jsonl"
    kept.write_text("\n".join([*rehearsed[:2], *(room / "test.jsonl").read_text().splitlines()]))
    recipe = "Train(lr=0.01, epochs=1) + Rehearsal('old', ratio=0.3)"
    spec = dataclasses.replace(
        asked(recipe=recipe, memory=["old=old.jsonl"], test="facts.jsonl"), test=None, keep=(str(kept),)
    )
    done = train(spec, Console(width=300))
    assert done.record.suites[1].groups == 6
    assert "2 rows are also among those to learn and left out of kept" in capsys.readouterr().out
    alone = dataclasses.replace(spec, keep=(str(room / "old.jsonl"),), name="again")
    with pytest.raises(HoldfastError, match="old: every row is also among those to learn"):
        train(alone, Console(width=300))


def test_a_step_of_memories_alone_is_no_broken_loss(asked):
    rehearse = "Train(lr=0.01, epochs=1) + MaskTheTarget() + Rehearsal('old', ratio=0.6)"
    done = go(asked(recipe=rehearse, memory=["old=old.jsonl"], batch_size=1))
    alone = [row for row in log(done.folder) if row.get("memory_share") == 1.0]
    assert alone
    assert not any("task_loss" in row for row in alone)


def test_a_memory_that_nobody_asks_for_is_said(asked, capsys):
    train(asked(memory=["old=old.jsonl"]), Console(width=300))
    assert "The memory 'old' is not used: no method of the recipe asks for it." in capsys.readouterr().out


def observe(done):
    """What can be seen of a run from outside."""
    return {
        "folder": done.folder.name,
        "place": done.folder.parent.name,
        "before": sorted(scores(done.folder, "before").values()),
        "losses": [row["loss"] for row in log(done.folder)],
        "steps": done.record.steps,
        "suites": [suite.name for suite in done.record.suites],
        "documents": done.record.suites[0].groups,
        "tokens": done.record.suites[0].tokens,
        "after": sorted(scores(done.folder).values()),
        "word": done.record.verdict and done.record.verdict.word,
    }


REHEARSE = {"recipe": FULL + " + Rehearsal('old', ratio=0.4)"}
# Field: (settings of both runs, the field's value in each, what must differ, what must not).
FIELDS = {
    "model": ({}, "model", "other", ["before", "losses"], ["steps"]),
    "data": ({"test": "test.jsonl"}, "facts.jsonl", "more.jsonl", ["losses", "after"], ["before"]),
    "test": ({}, None, "test.jsonl", ["documents", "losses"], ["suites"]),
    "recipe": ({}, FULL, FULL + " + Finch()", ["losses", "after"], ["before", "steps"]),
    "keep": ({}, [], ["general.txt"], ["suites"], ["losses"]),
    "transfer": ({}, None, "test.jsonl", ["suites"], ["losses"]),
    "budget": ({"keep": ["general.txt"]}, {}, {"nll": 0.5, "on_spent": "log"}, ["word"], ["after", "losses"]),
    "memory": (REHEARSE, ["old=old.jsonl"], ["old=older.jsonl"], ["losses", "after"], ["before"]),
    "out": ({}, "here", "there", ["place"], ["after", "folder"]),
    "name": ({}, "one", "two", ["folder"], ["after"]),
    "seed": ({"test": "test.jsonl"}, 0, 1, ["losses", "after", "folder"], ["before", "steps"]),
    "max_length": ({"data": "more.jsonl"}, 64, 8, ["losses", "tokens"], ["documents"]),
    "batch_size": ({}, 4, 8, ["steps", "losses"], ["before"]),
    "raw": ({"model": "chat"}, False, True, ["before", "losses"], ["steps"]),
    "loss_on": ({}, "completion", "all", ["tokens", "losses"], ["steps"]),
    "over_long": (
        {"data": "more.jsonl", "test": "test.jsonl", "max_length": 16, "batch_size": 1},
        "truncate",
        "drop",
        ["steps", "losses"],
        ["before"],
    ),
    "packing": ({"data": "texts.txt", "max_length": 32, "batch_size": 1}, False, True, ["steps", "losses"], ["before"]),
    "held_out": ({}, 0.1, 0.5, ["documents"], ["suites"]),
    "precision": ({}, "fp32", "bf16", ["losses", "before", "after"], ["steps"]),
    "training": ({}, {}, {"weight_decay": 5.0}, ["after"], ["before", "steps"]),
}


@pytest.mark.parametrize("field", FIELDS)
def test_an_option_changes_what_happens_and_nothing_else(asked, tmp_path, field):
    others, first, second, differ, same = FIELDS[field]
    values = {"out": str(tmp_path / "runs"), **others}

    def run(value):
        return observe(go(asked(**{**values, field: str(tmp_path / value) if field == "out" else value})))

    one, two = run(first), run(second)
    for what in differ:
        assert one[what] != two[what], what
    for what in same:
        assert one[what] == two[what], what


def test_every_option_is_in_the_table_or_has_a_test_of_its_own():
    of_its_own = {"resume"}  # test_resumed_after_an_interruption_equals_uninterrupted
    of_its_own |= {"eval_batch_tokens"}  # test_eval_batch_tokens_bounds_every_batch_and_changes_no_score
    of_its_own |= {"memory_check"}  # test_a_run_that_does_not_fit_is_refused_with_what_would
    of_its_own |= {"refused", "preference"}  # the two tests below
    of_its_own |= {"task", "loss", "negatives", "easy", "depth"}  # test_rerankers.py
    assert {field.name for field in dataclasses.fields(RunSpec)} == set(FIELDS) | of_its_own


def test_rows_that_the_template_refuses_end_the_run_or_are_left_out(asked, room, tmp_path, capsys):
    model = shutil.copytree(room / "chat", tmp_path / "model")
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system messages') }}{% endif %}"
    template = model / "chat_template.jinja"
    template.write_text(refuses + template.read_text())
    lines = [json.loads(line) for line in (room / "facts.jsonl").read_text().splitlines()]
    data = tmp_path / "mixed.jsonl"
    data.write_text("".join(json.dumps(row | ({"system": "t5"} if i % 5 == 0 else {})) + "\n"
                            for i, row in enumerate(lines)))  # fmt: skip
    spec = dataclasses.replace(asked(test="test.jsonl"), model=str(model), data=str(data))
    with pytest.raises(HoldfastError, match="4 of 20 rows.*--refused drop.*--raw"):
        go(spec)
    done = go(dataclasses.replace(spec, refused="drop"))
    assert done.record.steps == 4  # 16 rows in eights, twice
    train(dataclasses.replace(spec, refused="drop", name="said"), Console(width=300))
    assert "4 of 20 rows" in capsys.readouterr().out


def test_preferences_are_refused_unless_the_chosen_answer_is_to_be_learned(asked, room, tmp_path):
    data = tmp_path / "pairs.jsonl"
    rows = [json.loads(line) for line in (room / "facts.jsonl").read_text().splitlines()]
    data.write_text("".join(json.dumps({"prompt": row["prompt"], "chosen": row["completion"], "rejected": "t3"}) + "\n"
                            for row in rows))  # fmt: skip
    spec = dataclasses.replace(asked(test="test.jsonl"), data=str(data))
    with pytest.raises(HoldfastError, match="--preference chosen"):
        go(spec)
    learned = go(dataclasses.replace(spec, preference="chosen"))
    assert scores(learned.folder) == scores(go(asked(test="test.jsonl")).folder), "as where it stands as completion"


def test_nothing_held_out_and_nothing_kept_measures_nothing(asked):
    assert go(asked(held_out=0.0)).record.suites == ()


def test_the_other_arguments_of_the_trainer_pass_through(asked):
    done = go(asked(recipe="Train(lr=0.01)", training={"max_steps": 3, "lr_scheduler_type": "linear"}))
    assert [row["learning_rate"] for row in log(done.folder)] == pytest.approx([0.01, 0.02 / 3, 0.01 / 3])


def test_a_file_and_flags_give_the_same_run(asked, room, tmp_path):
    out = tmp_path / "runs"
    flags = {"model": room / "model", "data": room / "more.jsonl", "recipe": FULL, "out": out, "max-length": 16}
    flags |= {"batch-size": 4, "seed": 2, "over-long": "drop", "loss-on": "all", "held-out": 0.2, "precision": "bf16"}
    text = "".join(
        f"{key}: {json.dumps(str(v)) if not isinstance(v, (int, float)) else v}\n" for key, v in flags.items()
    )
    (tmp_path / "run.yaml").write_text(f"{text}keep: [{room / 'general.txt'}]\ntraining:\n  weight_decay: 1e-2\n")
    given = [word for key, value in flags.items() for word in (f"--{key}", str(value))]
    given += ["--keep", str(room / "general.txt"), "--training", "weight_decay=1e-2"]
    assert main(["train", *given, "--name", "flags"]) == 0
    assert main(["train", "--config", str(tmp_path / "run.yaml"), "--name", "file"]) == 0
    assert scores(out / "flags") == scores(out / "file")
    assert log(out / "flags") == log(out / "file")
    written = [(out / name / "spec.json").read_text() for name in ("flags", "file")]
    assert written[0] == written[1]


@pytest.mark.parametrize("recipe", [FULL, ADAPTER, FULL + " + MaskTheTarget() + Finch() + Rehearsal('old', ratio=0.3)"])
def test_a_run_equals_attach_on_a_trainer_built_by_hand(asked, room, tmp_path, recipe):
    spec = asked(recipe=recipe, memory=["old=old.jsonl"], test="test.jsonl", batch_size=4, seed=3)
    done = go(spec)
    tokenizer = load_tokenizer(spec.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(spec.model, dtype=torch.float32)
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path / "hand"),
            per_device_train_batch_size=4,
            lr_scheduler_type="cosine",
            seed=3,
            data_seed=3,
            remove_unused_columns=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=list(prepare_data(spec, tokenizer).train),
        data_collator=Collate(tokenizer.pad_token_id, model.config.hidden_size),
        processing_class=tokenizer,
    )
    attach(trainer, recipe, memories={"old": str(room / "old.jsonl")}, chunked_loss=True).train()
    by_hand = dict(trainer.model.state_dict())
    for name, tensor in weights(done.folder).items():
        own = by_hand.get(name, by_hand.get(name.replace("weight", "default.weight")))
        assert torch.equal(tensor, own), name


def test_a_run_puts_batches_together_as_everybody(asked):
    examples = prepare_data(asked(), load_tokenizer(asked().model)).train[:3]
    batch, expected = Collate(0)(packed_alike(examples)), collate(examples, 0)
    assert batch.keys() == expected.keys()
    assert all(torch.equal(batch[name], expected[name]) for name in batch)


def test_packed_rows_are_read_without_a_cache_each_batch_of_them(asked):
    whole, *others = prepare_data(asked(), load_tokenizer(asked().model)).train[:3]
    rows = packed_alike([whole, *pack(others, 64)])
    for batch in (Collate(0)(rows[:1]), Collate(0)(rows)):
        assert batch["use_cache"] is False
        assert batch["input_ids"].shape == batch["position_ids"].shape == (1, batch["input_ids"].numel())
        assert "attention_mask" not in batch


def test_a_batch_is_one_row_where_that_saves_time_and_padded_elsewhere():
    short, long = Example((5,) * 3, (5,) * 3), Example((6,) * 12, (6,) * 12)
    one_row, padded = Collate(0, 256)([short, long]), Collate(0, 256)([short, short])
    assert one_row["input_ids"].shape == (1, 15)
    assert one_row["use_cache"] is False
    assert padded["input_ids"].shape == (2, 3)
    assert Collate(0)([short, long])["input_ids"].shape == (2, 12)


BLOOM = transformers.BloomConfig(vocab_size=61, hidden_size=16, n_layer=2, n_head=2)


@pytest.mark.parametrize(
    ("model", "recipe", "width"), [(None, "LoRA()", 16), (None, "OnPolicySDFT()", 0), (BLOOM, "LoRA()", 0)]
)
def test_only_models_and_recipes_that_can_read_a_batch_in_one_row_do(tmp_path, model, recipe, width):
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    made = tiny.tiny() if model is None else transformers.AutoModelForCausalLM.from_config(model)
    trainer = plain_trainer(made, arguments, [Example((5, 6), (5, 6))], tiny.tokenizer(), parse(recipe))
    assert trainer.data_collator == Collate(0, width)


def test_a_model_on_several_devices_of_one_process_keeps_padded_batches(tmp_path):
    """nn.DataParallel gives each device some rows of a batch, and one row cannot be split."""
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    arguments._n_gpu = 2
    trainer = plain_trainer(tiny.tiny(), arguments, [Example((5, 6), (5, 6))], tiny.tokenizer(), parse("LoRA()"))
    assert trainer.data_collator == Collate(0, 0)


def test_packed_rows_are_refused_for_a_model_that_reads_their_documents_as_one(tmp_path):
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    model = transformers.AutoModelForCausalLM.from_config(BLOOM)
    packed = pack([Example((5, 6), (5, 6)), Example((7, 8), (7, 8))], 8)
    with pytest.raises(HoldfastError, match="BloomForCausalLM reads the documents of a packed row as one"):
        plain_trainer(model, arguments, packed, tiny.tokenizer(), parse("Train()"))


@pytest.mark.parametrize(
    ("model", "memory"),
    [
        ("model", ()),
        pytest.param("chat", (), marks=pytest.mark.slow),
        pytest.param("model", ("old=old.jsonl",), marks=pytest.mark.slow),
        ("chat", ("old=old.jsonl",)),
    ],
)
def test_without_a_recipe_it_is_holdfast_that_trains(asked, model, memory):
    spec = asked(model=model, memory=memory, recipe=HOLDFAST)
    done = go(spec)
    recorded = json.loads((done.folder / "spec.json").read_text())
    assert recorded["resolved_recipe"] == repr(chain(Holdfast("old" if memory else "")))
    (rehearsed,) = done.record.memories
    assert (rehearsed.name, rehearsed.token_share) == ("old" if memory else SELF, 0.5)
