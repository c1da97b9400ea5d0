"""Ways to go wrong with `holdfast train`: one sentence that helps, exit code 1, and nothing half-written."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import peft
import pytest
import safetensors
import torch
import transformers

from holdfast.bench.machine import files
from holdfast.cli.commands import IN_RECIPE
from holdfast.cli.main import main
from holdfast.methods.schedules.train import Train
from tests import tiny

TRAIN = "Train(lr=0.01, epochs=2)"
ENDINGS = (".partial", ".tmp")


def words(count, draw):
    return " ".join(f"t{draw.randrange(3, tiny.VOCABULARY)}" for _ in range(count))


def save(folder, model, tokenizer=True):
    model.save_pretrained(folder)
    if tokenizer:
        tiny.tokenizer().save_pretrained(folder)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with models and files, good and bad."""
    room, draw = tmp_path_factory.mktemp("room"), random.Random(0)
    save(room / "model", tiny.tiny("llama", dtype=torch.float32))
    save(room / "positions", tiny.tiny("gpt2", dtype=torch.float32))
    save(room / "fewer-words", tiny.tiny("llama", dtype=torch.float32, vocab_size=40))
    save(room / "headless", tiny.tiny("llama", dtype=torch.float32).model)
    save(room / "no-tokenizer", tiny.tiny("llama", dtype=torch.float32), tokenizer=False)
    save(room / "cut", tiny.tiny("llama", dtype=torch.float32))
    weights = room / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    save(
        room / "t5", transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=tiny.VOCABULARY, **shape))
    )
    wide = tiny.tiny("llama", dtype=torch.float32, hidden_size=32)
    adapter = peft.get_peft_model(wide, peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    adapter.peft_config["default"].base_model_name_or_path = str(room / "model")
    adapter.save_pretrained(room / "adapter")
    (room / "empty").mkdir()

    facts = [json.dumps({"prompt": words(3, draw) + " ", "completion": words(4, draw)}) for _ in range(24)]
    (room / "facts.jsonl").write_text("\n".join(facts) + "\n")
    (room / "broken.jsonl").write_text("\n".join([*facts[:6], '{"prompt": "t3", "completion": ', *facts[7:]]))
    (room / "nothing.jsonl").write_text("")
    (room / "hollow.jsonl").write_text('{"prompt": "t3 t4", "completion": ""}\n' * 3)
    (room / "mostly-hollow.jsonl").write_text('{"prompt": "t3 t4", "completion": ""}\n' + facts[0] + "\n")
    (room / "one.jsonl").write_text('{"text": "t3 t4 t5"}\n')
    (room / "long.jsonl").write_text(json.dumps({"prompt": words(9, draw), "completion": words(3, draw)}) + "\n")
    (room / "book.txt").write_text(words(90, draw))
    (room / "general.txt").write_text("\n\n".join(words(8, draw) for _ in range(6)))
    (room / "again.jsonl").write_text("\n".join(facts[:3]))
    (room / "key.yaml").write_text("max_lenght: 32\n")
    (room / "twice.yaml").write_text("seed: 1\nseed: 2\n")
    return room


@pytest.fixture
def train(room, tmp_path, monkeypatch, capfd):
    """Calls `holdfast train` in the room; gives its exit code and what it said on stderr."""
    monkeypatch.chdir(room)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def call(*flags, plain=True):
        given = ["--model", "model", "--data", "facts.jsonl", "--recipe", TRAIN, "--out", str(tmp_path / "out")]
        capfd.readouterr()
        try:
            code = main(["train", *(given if plain else []), *flags])
        except SystemExit as ended:
            code = ended.code
        return code, capfd.readouterr().err

    return call


def litter(out):
    return [path for path in out.rglob("*") if path.name.endswith(ENDINGS)] if out.exists() else []


def one_sentence(err):
    """Checks that a single line was said, and returns it."""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("holdfast: ")
    assert lines[0].endswith((".", "?"))
    return lines[0].removeprefix("holdfast: ")


WAYS = {
    "a data file that is not there": (
        ["--data", "fact.jsonl"],
        r"no such file: 'fact.jsonl'; check the path\. Did you mean 'facts.jsonl'\?",
    ),
    "broken JSON": (["--data", "broken.jsonl"], r"broken\.jsonl:7: not valid JSON .*; mend or delete that line\."),
    "an empty file": (["--data", "nothing.jsonl"], r"nothing\.jsonl: holds no rows; give at least one\."),
    "only empty completions": (
        ["--data", "hollow.jsonl", "--held-out", "0"],
        r"hollow\.jsonl: no row has a token to learn or score; give rows with completions or text\.",
    ),
    "only empty completions beside the rows that are held out": (
        ["--data", "mostly-hollow.jsonl"],
        r"mostly-hollow\.jsonl: 1 of 2 rows are held out to measure what is learned, and no other row has a token to"
        r" learn; give more rows with completions or text, or a --test file\.",
    ),
    "one row, of which a part is held out": (
        ["--data", "one.jsonl"],
        r"one\.jsonl: no two rows differ, so none can be held out; give more rows, .* --held-out 0 .*",
    ),
    "a length that leaves nothing": (
        ["--data", "long.jsonl", "--max-length", "4", "--held-out", "0"],
        r"long\.jsonl: no row has a token to learn or score within --max-length 4; raise it\.",
    ),
    "rows longer than the table of positions": (
        ["--model", "positions", "--data", "book.txt", "--held-out", "0"],
        r"book\.txt:1: has \d+ tokens, and positions reads 64; give --max-length 64\.",
    ),
    "texts to keep longer than the table of positions": (
        ["--model", "positions", "--keep", "book.txt"],
        r"book\.txt:1: has \d+ tokens, and positions reads 64; give --max-length 64\.",
    ),
    "an unknown method": (
        ["--recipe", "LoRA(rank=2) + Finsh()"],
        r"Recipe '.*': there is no method 'Finsh'\. Did you mean 'Finch'\?",
    ),
    "a misspelt setting": (
        ["--recipe", "LoRA(rnk=2)"],
        r"Recipe 'LoRA\(rnk=2\)': LoRA has no setting 'rnk'\. Did you mean 'rank'\?",
    ),
    "a setting out of range": (["--recipe", "LoRA(rank=0)"], r"LoRA\(rank=0\): give a whole number .*1.*"),
    "a share out of range": (["--recipe", "Warmup(ratio=2.0)"], r"Warmup\(ratio=2\.0\): give a number .*0.* 1.*"),
    "Finch and Cosine": (["--recipe", "Finch() + Cosine()"], r"Finch\(\) \+ Cosine\(\): Finch replaces the cosine: .*"),
    "two adapters": (
        ["--recipe", "LoRA(rank=2) + LoRA(rank=4)"],
        r"LoRA\(rank=2\) \+ LoRA\(rank=4\): a model takes one adapter at a time; give one of them\.",
    ),
    "Train twice": (
        ["--recipe", "Train(lr=0.1) + Train(lr=0.2)"],
        r"Train\(lr=0\.1\) \+ Train\(lr=0\.2\): .*; give Train\(\) once\.",
    ),
    "a recipe without its last bracket": (
        ["--recipe", "LoRA(rank=2"],
        r"Recipe 'LoRA\(rank=2' cannot be read at column \d+; write it like .*",
    ),
    "a memory that is not there": (
        ["--recipe", "Rehearsal('generl.txt')"],
        r"no such file: 'generl\.txt'; check the path\. Did you mean 'general\.txt'\?",
    ),
    "a memory of another name": (
        ["--recipe", "Rehearsal('odl')", "--memory", "old=general.txt"],
        r"Recipe .*: no file and no --memory is called 'odl'\. Did you mean 'old'\?",
    ),
    "modules that the model has not": (
        ["--recipe", "LoRA(targets='q_prj')"],
        r"LoRA\(.*\): no module of LlamaForCausalLM ends in q_prj; its linear layers are .*q_proj.*",
    ),
    "a model that is not there": (
        ["--model", "modle"],
        r"Model 'modle' does not exist: give an existing folder, or .*",
    ),
    "a folder without a model": (["--model", "empty"], r"Model 'empty' has no config\.json: give the folder that .*"),
    "no causal language model": (
        ["--model", "t5"],
        r"Model 't5' \(T5ForConditionalGeneration\) is an encoder-decoder: .*; give a causal language model, .*",
    ),
    "a model without its head": (
        ["--model", "headless"],
        r"Model 'headless' lacks 1 of the weights of LlamaForCausalLM \(first: lm_head\.weight\), .*; give a whole .*",
    ),
    "a model whose file is cut off": (
        ["--model", "cut"],
        r"Model 'cut' cannot be loaded \(.*\); save or download it again\.",
    ),
    "a model without a tokenizer": (
        ["--model", "no-tokenizer"],
        r"Model 'no-tokenizer' has no tokenizer beside it; save that of the original model .*",
    ),
    "a tokenizer of another model": (
        ["--model", "fewer-words"],
        r"facts\.jsonl:\d+: token \d+ is outside the vocabulary of fewer-words \(40 tokens\); the tokenizer belongs .*",
    ),
    "an adapter of another base": (
        ["--model", "adapter"],
        r"Adapter 'adapter' does not fit its base '.*model', so it belongs to another .*size mismatch.*",
    ),
    "a model on the hub without a network": (
        ["--model", "no-such/model"],
        r".*'no-such/model' is not a local folder, and the hub did not give it .*; check the name.*",
    ),
    "data on the hub without a network": (
        ["--data", "no-such/data"],
        r"'no-such/data' is not a file or folder here and could not be loaded from the .*hub .*; check the name, .*",
    ),
    "an unknown key for the trainer": (
        ["--training", "learning_rat=1"],
        r"training: transformers has no argument 'learning_rat'\. Did you mean 'learning_rate'\?",
    ),
    "a setting of the recipe among those of the trainer": (
        ["--training", "lr=0.1"],
        r"training: transformers has no argument 'lr'\. Write Train\(lr=0\.1\) in the recipe\.",
    ),
    "the name of a suite with a hyphen": (
        ["--keep", "arc-easy:20"],
        r"There is no suite, file or folder called 'arc-easy'; .* Did you mean 'arc_easy'\?",
    ),
    "a key for the trainer that the run owns": (
        ["--training", "output_dir=x"],
        r"training: output_dir is set by --out and --name; leave it out\.",
    ),
    "evaluation by the trainer": (
        ["--training", "eval_strategy=steps"],
        r"training: eval_strategy is off: a run measures before and after training .*; leave it out\.",
    ),
    "the rate set twice": (
        ["--training", "learning_rate=1"],
        r"training: learning_rate is already set by Train\(lr=\.\.\.\) in the recipe; keep one\.",
    ),
    "the batch set twice": (
        ["--recipe", "Train(batch=16)", "--training", "gradient_accumulation_steps=4"],
        r"training: gradient_accumulation_steps is already set by Train\(batch=\.\.\.\) in the recipe; keep one\.",
    ),
    "a word where the trainer wants a number": (
        ["--training", "warmup_steps=abc"],
        r"training: warmup_steps is 'abc'; give a number\.",
    ),
    "an optimizer that is none": (
        ["--training", "optim=adamw_trch"],
        r"training: 'adamw_trch' is not a valid OptimizerNames\. Did you mean 'adamw_torch'\?",
    ),
    "texts to keep that are learned": (
        ["--keep", "again.jsonl", "--held-out", "0"],
        r"again: every row is also among those to learn; give other rows to measure with\.",
    ),
    "an unknown key in a file": (
        ["--config", "key.yaml"],
        r"Unknown key 'max_lenght' in key\.yaml\. Did you mean 'max_length'\?",
    ),
    "a key twice in a file": (
        ["--config", "twice.yaml"],
        r"twice\.yaml is not YAML: the key 'seed' is given twice .*",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_mistake_is_one_sentence_and_leaves_nothing(train, tmp_path, way):
    flags, sentence = WAYS[way]
    code, err = train(*flags)
    assert code == 1
    assert re.fullmatch(sentence, one_sentence(err)), err
    assert not (tmp_path / "out").exists()


def test_half_precision_without_a_gpu_is_refused(train, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, err = train("--precision", "fp16")
    assert code == 1
    assert one_sentence(err).startswith("--precision fp16 needs a GPU; use bf16")
    assert not (tmp_path / "out").exists()


def test_a_tracker_that_is_not_installed_is_named(train, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.integrations.integration_utils.is_wandb_available", lambda: False)
    code, err = train("--training", "report_to=wandb")
    assert code == 1
    assert re.fullmatch(
        r"training: WandbCallback requires wandb to be installed\. .*pip install wandb.*", one_sentence(err)
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flags", [[], ["--training", "logging_strategy=no"]])
@pytest.mark.parametrize("lr", ["1e9", "1e30"])
def test_a_loss_that_is_no_number_ends_the_run_and_ships_nothing(train, tmp_path, lr, flags):
    code, err = train("--recipe", f"Train(lr={lr}, epochs=3)", "--name", "run", "--held-out", "0", *flags)
    assert code == 1
    assert re.fullmatch(
        r"(Step \d+: the loss is nan|Training left non-finite values in .*); lower the learning rate.*",
        one_sentence(err),
    )
    run = tmp_path / "out" / "run"
    assert not (run / "model").exists()
    assert not (run / "result.json").exists()
    assert not litter(run)


@pytest.mark.parametrize(("flag", "setting"), IN_RECIPE.items())
def test_a_flag_of_other_trainers_is_answered_with_the_recipes_setting(train, flag, setting):
    code, err = train(flag, "3")
    assert code == 1
    assert err.splitlines()[-1].endswith(f"{flag} 3. Did you mean --recipe 'Train({setting}=...) + ...'?")
    assert setting in {field.name for field in dataclasses.fields(Train)}


def test_a_flag_that_is_none_says_which(train, tmp_path):
    code, err = train("--recpie", "Plain()")
    assert code == 1
    assert err.splitlines()[-1] == "holdfast: unrecognized arguments: --recpie Plain(). Did you mean '--recipe'?"


def test_a_missing_flag_says_which(train, tmp_path):
    code, err = train("--model", "model", plain=False)
    assert (code, one_sentence(err)[:18]) == (1, "--data is missing:")


def test_a_folder_of_something_else_is_left_alone(train, tmp_path):
    (tmp_path / "out" / "mine").mkdir(parents=True)
    (tmp_path / "out" / "mine" / "thesis.txt").write_text("...")
    code, err = train("--name", "mine")
    assert code == 1
    assert re.fullmatch(r".*mine is not the folder of a run; choose another with --out or --name\.", one_sentence(err))
    assert os.listdir(tmp_path / "out" / "mine") == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder_is_left_alone(train, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("...")
    code, err = train("--name", "mine")
    assert code == 1
    assert re.fullmatch(r".*mine is a file; choose another folder with --out or --name\.", one_sentence(err))


def test_a_file_in_the_place_of_out_is_said(train, tmp_path):
    (tmp_path / "out").write_text("...")
    code, err = train()
    assert code == 1
    assert re.fullmatch(r"Cannot write .*; .*choose another folder with --out\.", one_sentence(err))


@pytest.mark.parametrize("text", ["{", "[]", '"a"'])
def test_a_spec_that_cannot_be_read_is_said(train, tmp_path, text):
    (tmp_path / "out" / "run").mkdir(parents=True)
    (tmp_path / "out" / "run" / "spec.json").write_text(text)
    code, err = train("--name", "run")
    assert code == 1
    assert re.fullmatch(r".*spec\.json cannot be read; delete .*run, or choose another .*", one_sentence(err))


class TestAFinishedRun:
    def test_is_not_overwritten_by_another(self, train, tmp_path):
        assert train("--name", "run")[0] == 0
        there = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
        code, err = train("--name", "run", "--recipe", "Train(lr=0.1)", "--seed", "1")
        assert code == 1
        assert re.fullmatch(
            r".*run holds a run with another recipe, seed; choose another folder with --out or --name\.",
            one_sentence(err),
        )
        assert there == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}

    def test_is_not_taken_for_one_on_data_that_have_changed(self, train, room, tmp_path):
        data = tmp_path / "mine.jsonl"
        data.write_text((room / "facts.jsonl").read_text())
        assert train("--name", "run", "--data", str(data))[0] == 0
        data.write_text(data.read_text() + '{"prompt": "t3", "completion": "t4"}\n')
        code, err = train("--name", "run", "--data", str(data))
        assert code == 1
        assert re.fullmatch(r".*run holds a run from before .*mine\.jsonl was changed; choose .*", one_sentence(err))


def scores(folder):
    return [{**row, "run": ""} for row in files.read_jsonl(folder / "scores.jsonl")]


def losses(folder):
    return [(row["step"], row["loss"], row["grad_norm"]) for row in files.read_jsonl(folder / "log.jsonl")]


@pytest.fixture
def whole(train, tmp_path):
    """The folder of a run that nothing happened to."""
    assert train("--name", "whole", "--keep", "general.txt")[0] == 0
    return tmp_path / "out" / "whole"


def goes_on(train, run, whole):
    """Checks that an interrupted run is refused without --resume, and with it ends where the whole one ended."""
    code, err = train("--name", "run", "--keep", "general.txt")
    assert code == 1
    assert re.fullmatch(r".*run holds an interrupted run; continue with --resume, or .*", one_sentence(err))
    assert train("--name", "run", "--keep", "general.txt", "--resume") == (0, "")
    assert scores(run) == scores(whole)
    assert losses(run) == losses(whole)
    assert not (run / "checkpoints").exists()
    assert not litter(run)


def full_disk(monkeypatch, name):
    """Lets every file whose path has `name` in it fail as on a full disk, as the libraries that write it say it."""
    full, opened = OSError(errno.ENOSPC, "No space left on device"), {}
    real = {"open": os.open, "write": os.write, "safe": transformers.modeling_utils.safe_save_file, "torch": torch.save}

    def open_(path, *rest, **named):
        descriptor = real["open"](path, *rest, **named)
        opened[descriptor] = str(path)
        return descriptor

    def write(descriptor, data):
        if name in opened.get(descriptor, ""):
            raise full
        return real["write"](descriptor, data)

    def save_file(tensors, path, *rest, **named):
        if name in str(path):
            with open(path, "wb") as file:
                file.write(b"half")
            raise safetensors.SafetensorError(
                "Error while serializing: I/O error: No space left on device (os error 28)"
            )
        return real["safe"](tensors, path, *rest, **named)

    def save_torch(value, path, *rest, **named):
        if name in str(path):
            raise RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0")
        return real["torch"](value, path, *rest, **named)

    patched = pytest.MonkeyPatch()
    patched.setattr(os, "open", open_)
    patched.setattr(os, "write", write)
    patched.setattr(transformers.modeling_utils, "safe_save_file", save_file)
    patched.setattr(torch, "save", save_torch)
    return patched


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("scores.jsonl", "scores.jsonl"),
        ("checkpoint-2/model.safetensors", "checkpoints"),
        ("checkpoint-4/optimizer.pt", "checkpoints"),
        ("log.jsonl", "log.jsonl"),
        ("model.partial", "model"),
        ("result.json", "result.json"),
        ("env.json", "env.json"),
    ],
)
def test_a_full_disk_is_said_and_the_run_goes_on_afterwards(train, whole, tmp_path, monkeypatch, name, place):
    run = tmp_path / "out" / "run"
    patched = full_disk(monkeypatch, name)
    try:
        code, err = train("--name", "run", "--keep", "general.txt")
    finally:
        patched.undo()
    assert code == 1
    said = one_sentence(err)
    assert re.fullmatch(rf"Cannot write .*{place}: .*; free some space or choose another folder with --out\.", said)
    assert "No space left on device" in said or "could not be written in full" in said
    assert not litter(run)
    assert (run / "model").exists() == (place == "result.json")
    assert all((path / "holdfast.json").exists() for path in run.glob("checkpoints/checkpoint-*"))
    goes_on(train, run, whole)


def test_a_disk_that_is_full_from_the_start_leaves_nothing(train, tmp_path, monkeypatch):
    patched = full_disk(monkeypatch, "spec.json")
    try:
        code, err = train("--name", "run")
    finally:
        patched.undo()
    assert code == 1
    assert "Cannot write" in one_sentence(err)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_interruption_says_how_to_go_on_and_the_rest_ends_as_the_whole(train, room, tmp_path):
    flags = ["--recipe", "Train(lr=0.003, epochs=60) + Finch()", "--name", "run", "--training", "save_steps=10"]
    given = ["--model", "model", "--data", "facts.jsonl", "--out", str(tmp_path / "out"), *flags]
    code = "import sys; from holdfast.cli.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", *given],
        cwd=room,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    run = tmp_path / "out" / "run"
    until = time.monotonic() + 120
    while time.monotonic() < until and not list(run.glob("checkpoints/checkpoint-*/holdfast.json")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert (
        err.strip()
        == "holdfast: interrupted; give the same command with --resume to continue from the last checkpoint."
    )
    assert (run / "spec.json").exists()
    assert not (run / "result.json").exists()
    assert not litter(run)
    done = len(losses(run))
    assert 10 <= done < 180
    assert train(*flags)[0] == 1
    assert train(*flags, "--resume") == (0, "")
    assert train(*[*flags[:3], "whole", *flags[4:]]) == (0, "")
    assert losses(run) == losses(tmp_path / "out" / "whole")
    assert scores(run) == scores(tmp_path / "out" / "whole")
