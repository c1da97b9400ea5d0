"""Rules of the house that cannot rot: imports, sizes, the frozen command line and the frozen public names."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast.cli.commands import build_parser
from holdfast.methods import names
from holdfast.report.stubs import stubs

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "holdfast").rglob("*.py"))

COMMAND_LINE = """
diff --refused --preference
compare --refused --preference
train --refused --preference
demo --out --seed
methods NAME
suites NAME
diff BASE TUNED --test --transfer --keep --budget --max-length --raw --loss-on --over-long
diff --precision --out --examples --json --fail-on --eval-batch-tokens --data --recover --recover-steps --task --depth
compare --config --model --data --recipes --test --transfer --keep --budget --max-length --raw --loss-on --over-long
compare --held-out --memory --out --batch-size --packing --precision --training --settings --doses --adapter-rate
compare --seeds --reach --workers --memory-check --eval-batch-tokens
heal BASE TUNED --test --transfer --keep --budget --max-length --raw --loss-on --over-long --precision --out
heal --evaluations --edits --memory --data --recipe --json --eval-batch-tokens --refused --preference --task --depth
report RUNS --budget --reach --format --out --html --live --port
diff --junit --comment --ask
verify MODEL --quick --base --eval-batch-tokens --json
train --config --model --data --test --transfer --recipe --keep --budget --memory --out --name --seed
train --max-length --batch-size --raw --loss-on --over-long --packing --held-out --precision --resume --training
train --memory-check --dry-run --eval-batch-tokens
plan --config --model --data --test --transfer --keep --budget --memory --out --max-length --batch-size --raw --loss-on
plan --over-long --packing --held-out --precision --training --memory-check --eval-batch-tokens --refused --preference
plan --steps --forecast --recipes --check --write --sizes --json
fit --config --model --data --test --transfer --keep --budget --memory --out --max-length --batch-size --raw --loss-on
fit --over-long --packing --held-out --precision --training --memory-check --eval-batch-tokens --refused --preference
fit --cost --pilot --search --engine --heal --seed --json
demo --task
diff --task --depth
train --task --loss --negatives --easy --depth
compare --task --loss --negatives --easy --depth
plan --task --loss --negatives --easy --depth
fit --task --loss --negatives --easy --depth
"""

AGREED = """
attach Budget Guard fine_tune fit compare diff heal verify report plan parse functional Method setting Example Item
Suite RunSpec CompareSpec DiffSpec FitSpec HealSpec ReportSpec VerifySpec PlanSpec RunRecord DiffRecord PlanRecord
FitRecord HealRecord VerifyRecord TradeOff HoldfastError
"""
PUBLIC_NAMES = [*AGREED.split(), *names.SUMS, *names.METHODS]


def test_the_command_line_is_the_one_that_was_agreed():
    agreed = {(line.split()[0], word) for line in COMMAND_LINE.split("\n") if line for word in line.split()[1:]}
    found = {
        (name, (action.option_strings or [action.metavar])[-1 if action.option_strings[:1] == ["-h"] else 0])
        for name, parser in build_parser()._subparsers._group_actions[0].choices.items()
        for action in parser._actions
        if action.dest != "help"
    }
    assert found == agreed


def test_the_public_names_are_the_ones_that_were_agreed():
    assert holdfast.__all__ == PUBLIC_NAMES
    assert set(holdfast._HOME) == set(holdfast.__all__)


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_every_public_name_is_there_and_is_what_its_home_calls_it(name):
    value = getattr(holdfast, name)
    home = importlib.import_module(holdfast._HOME[name])
    assert value is (home if name == "functional" else getattr(home, name))
    assert value.__doc__
    assert name in dir(holdfast)


def test_every_method_on_disk_is_in_the_map_of_names():
    found = {}
    for path in sorted((ROOT / "src/holdfast/methods").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and {"Method", "Adapter"} & {ast.unparse(base) for base in node.bases}:
                found[node.name] = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    assert found.pop("Adapter") == "holdfast.methods.adapter"
    assert found == {name: names.home_of(name) for name in (*names.SUMS, *names.METHODS)}


@pytest.mark.parametrize("file", stubs())
def test_what_type_checkers_read_is_written_from_the_names(file):
    text = (ROOT / "src/holdfast" / file).read_text(encoding="utf-8")
    assert text == stubs()[file], "run `make docs`"


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'holdfast' has no attribute 'nothing'"):
        _ = holdfast.nothing


def test_the_folder_train_stays_importable():
    from holdfast.train.attach import attach

    assert holdfast.attach is attach
    assert holdfast.train.attach.attach is attach


def test_the_room_report_is_a_function_too_whichever_is_imported_first(tmp_path):
    import holdfast.report.table as table
    from holdfast.report import published

    assert holdfast.report.table is table
    assert holdfast.report.published is published
    with pytest.raises(holdfast.HoldfastError, match="no such folder exists"):
        holdfast.report(runs=(str(tmp_path / "none"),))


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, holdfast; assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_python_function_has_the_fields_of_the_flags():
    import inspect

    assert list(inspect.signature(holdfast.compare).parameters) == list(
        inspect.signature(holdfast.CompareSpec).parameters
    )
    for call, spec in (
        (holdfast.fine_tune, holdfast.RunSpec),
        (holdfast.diff, holdfast.DiffSpec),
        (holdfast.heal, holdfast.HealSpec),
        (holdfast.verify, holdfast.VerifySpec),
        (holdfast.fit, holdfast.FitSpec),
        (holdfast.report, holdfast.ReportSpec),
        (holdfast.plan, holdfast.PlanSpec),
    ):
        assert list(inspect.signature(call).parameters) == list(inspect.signature(spec).parameters)
    with pytest.raises(holdfast.HoldfastError, match="--max-length 1"):
        holdfast.fine_tune(model="m", data="d", recipe="Plain()", max_length=1)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_pickled_or_run_from_text(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call):
            names = [ast.unparse(node.func)]
        forbidden = {"pickle", "dill", "cloudpickle", "joblib", "torch.load", "torch.save", "eval", "exec"}
        assert not forbidden & set(names), f"{path}:{node.lineno}"


def test_every_folder_is_a_package():
    for path in SOURCES:
        assert (path.parent / "__init__.py").exists(), path.parent


def test_imports_go_upwards_only():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
