"""The command line: what it declares, what it passes on, and what it says when something is wrong."""

import dataclasses
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import holdfast
from holdfast.bench.given.specs import CompareSpec, ReportSpec, RunSpec
from holdfast.bench.machine.signals import Terminated
from holdfast.cli.commands import build_parser
from holdfast.cli.config import read_config, spec_from
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError

NEEDED = ["--model", "m", "--data", "d.jsonl", "--recipe", "LoRA(rank=16)"]


def spec(*words):
    return spec_from(build_parser().parse_args(["train", *words]), RunSpec)


@pytest.fixture
def run(monkeypatch):
    """Puts a function in the place of the run, and gives the list of what it was called with."""
    called = []

    def replace(act):
        def train(asked):
            called.append(asked)
            return act()

        monkeypatch.setattr("holdfast.bench.run.early_checks.check_early", lambda spec: None)
        auto = types.SimpleNamespace(train_planned=train, recipe_of=lambda spec: spec.recipe)
        monkeypatch.setitem(sys.modules, "holdfast.bench.plan.auto", auto)
        monkeypatch.setitem(sys.modules, "holdfast.report.table", types.SimpleNamespace(show=called.append))
        return called

    return replace


def test_the_help_needs_nothing_heavy():
    code = (
        "import sys, holdfast.cli.main as m; m.build_parser().format_help();"
        "heavy = {'torch', 'transformers', 'peft', 'trl', 'numpy', 'datasets', 'yaml', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_mistake_in_the_flags_needs_nothing_heavy():
    code = (
        "import sys, holdfast.cli.main as m; assert m.main(['train', '--model', 'm']) == 1;"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_flags_are_the_fields_with_the_same_defaults():
    assert spec(*NEEDED) == RunSpec(model="m", data="d.jsonl", recipe="LoRA(rank=16)")
    parser = build_parser()._subparsers._group_actions[0].choices["train"]
    flags = {action.dest for action in parser._actions} - {"help", "config", "dry_run"}
    assert flags == {field.name for field in dataclasses.fields(RunSpec)}


def test_a_comparison_takes_lists_of_recipes_doses_and_seeds(tmp_path):
    needed = ["--model", "m", "--data", "d.jsonl", "--keep", "k.txt", "--recipes", "classic", "LoRA(rank=16)"]
    found = spec_from(build_parser().parse_args(["compare", *needed]), CompareSpec)
    assert found == CompareSpec(model="m", data="d.jsonl", keep=("k.txt",), recipes=("classic", "LoRA(rank=16)"))
    (tmp_path / "c.yaml").write_text("doses: [1, 2]\nseeds: [4, 5]\nworkers: 2\nbudget: {points: 2}\n")
    words = ["compare", *needed, "--config", str(tmp_path / "c.yaml"), "--seeds", "7", "--doses", "0.5", "1"]
    found = spec_from(build_parser().parse_args(words), CompareSpec)
    assert (found.doses, found.seeds, found.workers, found.budget) == ((0.5, 1.0), (7,), 2, {"points": 2})


def test_a_comparison_is_made_and_then_shown_and_ends_with_what_came_of_it(monkeypatch):
    called = []
    monkeypatch.setattr("holdfast.bench.run.early_checks.check_early", lambda spec: None)
    done = types.SimpleNamespace(exit_code=1)
    compare = types.SimpleNamespace(compare=lambda asked: called.append(asked) or done)
    monkeypatch.setitem(sys.modules, "holdfast.bench.compare.compare", compare)
    monkeypatch.setitem(sys.modules, "holdfast.report.compare", types.SimpleNamespace(show_compared=called.append))
    assert main(["compare", "--model", "m", "--data", "d.jsonl", "--keep", "k.txt", "--recipes", "MoFO()"]) == 1
    assert called == [CompareSpec(model="m", data="d.jsonl", keep=("k.txt",), recipes=("MoFO()",)), done]


def test_a_report_is_of_folders(monkeypatch, tmp_path):
    called, places = [], (str(tmp_path / "a"), str(tmp_path / "b"))
    for place in places:
        Path(place).mkdir()
    monkeypatch.setitem(sys.modules, "holdfast.report.compare", types.SimpleNamespace(show=called.append))
    assert main(["report", *places, "--format", "csv", "--budget", "points=2"]) == 0
    assert called == [ReportSpec(runs=places, format="csv", budget={"points": 2})]


def test_a_report_of_a_folder_that_is_missing_ends_before_anything_large_is_loaded(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "holdfast.report.compare", None)  # an import of it would fail
    assert main(["report", str(tmp_path / "none")]) == 1
    assert "no such folder exists; give the folder of a run" in capsys.readouterr().err


def test_every_kind_of_flag_arrives():
    found = spec(
        *NEEDED,
        *("--test", "t.jsonl", "--keep", "a.txt", "b.txt", "--keep", "c.txt", "--memory", "old=o.jsonl"),
        *("--seed", "3", "--held-out", "0", "--raw", "--no-packing", "--precision", "bf16", "--loss-on", "all"),
        *("--training", "report_to=none", "fsdp=['full_shard']", "weight_decay=1e-2", "tf32=true", "note=a=b"),
    )
    assert found == RunSpec(
        model="m",
        data="d.jsonl",
        recipe="LoRA(rank=16)",
        test="t.jsonl",
        keep=("a.txt", "b.txt", "c.txt"),
        memory=("old=o.jsonl",),
        seed=3,
        held_out=0.0,
        raw=True,
        precision="bf16",
        loss_on="all",
        training={"report_to": "none", "fsdp": ["full_shard"], "weight_decay": 0.01, "tf32": True, "note": "a=b"},
    )


def test_a_flag_wins_over_the_same_key_of_the_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "model: m\ndata: d.jsonl\nrecipe: Plain()\nmax-length: 64\nseed: 1\nkeep: [a.txt]\n"
        "training:\n  learning_rate: 1e-4\n  report_to: none\n"
    )
    found = spec("--config", str(path), "--max-length", "32", "--training", "report_to=wandb")
    assert (found.max_length, found.seed, found.keep) == (32, 1, ("a.txt",))
    assert found.training == {"learning_rate": 1e-4, "report_to": "wandb"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("max_lenght: 5", r"Unknown key 'max_lenght' in .*run\.yaml\. Did you mean 'max_length'\?"),
        ("seed: 1\nseed: 2", "the key 'seed' is given twice"),
        ("seed: 1\nmax-length: 5\nmax_length: 6", "given twice"),
        ("- a", "give 'key: value' lines"),
        ("", "give 'key: value' lines"),
        ("a: [", "is not YAML"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("seed: one", "--seed 'one': give a whole number"),
    ],
)
def test_a_wrong_file_is_answered_with_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(HoldfastError, match=sentence):
        spec(*NEEDED, "--config", str(path))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(HoldfastError, match=r"Cannot read none\.yaml: No such file"):
        spec("--config", "none.yaml")


@pytest.mark.parametrize(
    "words",
    [["train", *NEEDED, "--seed"], ["compare", *NEEDED[:4], "--recipes", "MoFO()", "--keep", "k", "--seeds", "1"]],
)
def test_a_seed_that_no_generator_takes_is_refused_at_once(words, capsys):
    assert main([*words, str(2**32)]) == 1
    assert re.search(rf"--seeds? [\d ]+: give .* below {2**32}", capsys.readouterr().err)


def test_a_file_without_a_name_is_not_left_out():
    with pytest.raises(HoldfastError, match="--config '': give the name of a file"):
        spec(*NEEDED, "--config", "")


def test_a_repeated_key_of_json_is_an_error_as_in_yaml(tmp_path):
    path = tmp_path / "run.json"
    path.write_text('{"seed": 1, "training": {"a": 1}, "seed": 2}')
    with pytest.raises(HoldfastError, match="is not JSON: the key 'seed' is given twice"):
        spec(*NEEDED, "--config", str(path))


def test_the_home_folder_stands_for_itself_in_the_name_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "run.yaml").write_text("seed: 7\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert spec(*NEEDED, "--config", "~/run.yaml").seed == 7


@pytest.mark.parametrize(
    "words",
    [
        ["trian"],
        ["train", "--bogus"],
        ["train", "--seed", "x"],
        ["train", "--training", "x"],
        ["train", "--mod", "m"],
    ],
)
def test_a_usage_error_ends_with_1_because_2_says_forgot(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    assert "usage: holdfast" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["demo", "--help"], ["methods", "-h"]])
def test_asking_for_help_ends_with_0(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert capsys.readouterr().out


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert "holdfast" in capsys.readouterr().out


def test_alone_it_prints_the_help(capsys):
    assert main([]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("usage: holdfast")
    assert "fine-tune a model, and measure" in said.out
    assert said.err == ""


@pytest.mark.parametrize("words", [["--version"], []])
def test_it_is_a_module_too(words):
    done = subprocess.run([sys.executable, "-m", "holdfast", *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: holdfast" if not words else f"holdfast {holdfast.__version__}")


def test_other_processes_of_a_run_leave_printing_to_the_first(run, capsys, monkeypatch):
    def fail():
        raise HoldfastError("facts.jsonl:7 has no 'prompt'.")

    run(fail)
    monkeypatch.setattr(sys.modules["holdfast.cli.main"], "_discard_output", lambda: None)
    monkeypatch.setenv("RANK", "1")
    assert main(["train", *NEEDED]) == 1
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.modules["holdfast.cli.main"], "_are_connected", lambda: True)
    assert main(["train", *NEEDED]) == 1
    assert "facts.jsonl:7" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 2, 3])
def test_the_exit_code_is_that_of_the_record(run, code):
    record = types.SimpleNamespace(exit_code=code)
    called = run(lambda: record)
    assert main(["train", *NEEDED]) == code
    assert called == [RunSpec(model="m", data="d.jsonl", recipe="LoRA(rank=16)"), record]


def test_a_mistake_of_the_user_is_one_line_and_1(run, capsys):
    def fail():
        raise HoldfastError("facts.jsonl:7 has no 'prompt'.")

    run(fail)
    assert main(["train", *NEEDED]) == 1
    said = capsys.readouterr()
    assert said.err == "holdfast: facts.jsonl:7 has no 'prompt'.\n"
    assert len(said.out.splitlines()) == 1


def test_train_says_what_it_was_given_before_it_loads_anything_large(tmp_path):
    words = ["train", "--model", "ground:base", "--data", "ground:people", "--recipe", "LoRA(rank=3)"]
    words += ["--out", str(tmp_path), "--name", "first"]
    program = (
        "import builtins, sys\n"
        "said = print\n"
        "def spy(*words, **options):\n"
        "    said(*words, sorted({'torch', 'transformers', 'peft', 'scipy'} & {*sys.modules}), **options)\n"
        "    sys.exit(5)\n"
        "builtins.print = spy\n"
        "from holdfast.cli.main import main\n"
        f"main({words!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    folder = tmp_path / "first"
    given = f"train: ground:base on ground:people with LoRA(rank=3), folder {folder}; loading the libraries"
    assert (done.returncode, done.stderr) == (5, "")
    assert done.stdout == f"{given} (some seconds) []\n"


def test_an_interrupted_run_says_how_to_go_on(run, capsys):
    def interrupt():
        raise KeyboardInterrupt

    run(interrupt)
    assert main(["train", *NEEDED]) == 1
    assert "--resume" in capsys.readouterr().err


def test_a_run_that_was_told_to_end_says_what_is_saved(run, capsys):
    def end():
        raise Terminated("stopped by SIGTERM; the checkpoint of step 3 of 9 is saved")

    run(end)
    assert main(["train", *NEEDED]) == 1
    assert capsys.readouterr().err.strip() == (
        "holdfast: stopped by SIGTERM; the checkpoint of step 3 of 9 is saved; give the same command with --resume "
        "to continue from the last checkpoint."
    )


def test_a_mistake_of_ours_is_not_hidden(run):
    run(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["train", *NEEDED])


def test_methods_shows_one_or_all(monkeypatch):
    shown = []
    monkeypatch.setitem(sys.modules, "holdfast.report.catalogue", types.SimpleNamespace(show=shown.append))
    assert main(["methods"]) == main(["methods", "LoRA"]) == 0
    assert shown == [None, "LoRA"]


def test_the_demo_passes_its_flags_on(monkeypatch):
    asked = []

    def demo(**fields):
        asked.append(fields)
        return types.SimpleNamespace(exit_code=0)

    shown = []
    monkeypatch.setitem(sys.modules, "holdfast.bench.compare.demo", types.SimpleNamespace(demo=demo))
    monkeypatch.setitem(sys.modules, "holdfast.report.demo", types.SimpleNamespace(show=shown.append))
    assert main(["demo", "--seed", "2"]) == 0
    assert asked == [{"out": "demo-runs", "seed": 2, "task": "generate"}]
    assert len(shown) == 1


@pytest.mark.parametrize("text", ["model: 2024-99-99\n", "a: " + "[" * 3000 + "\n"])
def test_yaml_that_cannot_be_read_is_one_sentence(tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(HoldfastError, match=r"run\.yaml is not YAML: "):
        read_config(str(tmp_path / "run.yaml"))


def test_a_path_that_cannot_be_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code = main(["compare", "--model", "ground:base", "--data", "ground:people", "--keep", "ground:suites/cut",
                 "--recipes", "Finch()", "--out", str(tmp_path / "file")])  # fmt: skip
    said = capsys.readouterr().err
    assert code == 1
    assert said.splitlines()[-1].startswith("holdfast: ")
    assert "Traceback" not in said
