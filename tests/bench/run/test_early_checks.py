"""What is answered before torch is imported, and that it is what would have been said later."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from holdfast.bench.given.model_files import BASE, folder_or_name
from holdfast.bench.given.specs import CompareSpec, DiffSpec, RunSpec
from holdfast.bench.run.early_checks import check_early, check_source
from holdfast.core.errors import HoldfastError
from holdfast.core.settings import settings_of
from holdfast.core.sums import refusal
from holdfast.ground import names
from holdfast.methods.source_settings import settings_table
from holdfast.methods.table import METHODS, SUMS
from holdfast.recipe import parse


@pytest.mark.parametrize("cls", [*SUMS, *METHODS], ids=lambda cls: cls.__name__)
def test_the_settings_read_from_the_source_are_those_of_the_methods(cls):
    written = settings_table()[cls.__name__]
    assert [(f.name, f.default) for f in dataclasses.fields(written)] == [
        (f.name, f.default) for f in dataclasses.fields(cls)
    ]
    assert settings_of(written) == settings_of(cls)
    assert all(refusal(written, settings_table()[other.__name__]) == refusal(cls, other) for other in METHODS)


def test_the_table_read_from_the_source_is_the_table():
    assert list(settings_table()) == [cls.__name__ for cls in (*SUMS, *METHODS)]


def test_the_base_has_one_name():
    assert BASE == names.BASE
    assert folder_or_name(BASE) == str(names.base_folder())


MISTAKES = ["LoRA(rnk=2)", "Lora()", "LoRA(rank=0)", "LoRA(rank=2", "LoRA", "MaskTheTarget(strength='a')", "1 + LoRA()",
            "Train(lr=-1)", "LoRA(rank=2, rank=3)", "Rehearsal(memory=x)", "Finch() + Cosine()",
            "LoRA(rank=2) + DoRA()", "Train() + Train(lr=0.1)"]  # fmt: skip


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (tmp_path / "m").mkdir()
    return tmp_path


def spec(**changes):
    return RunSpec(**{"model": BASE, "data": "d.jsonl", "recipe": "LoRA()", **changes})


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_recipe_is_said_in_the_same_words(room, text):
    with pytest.raises(HoldfastError) as early:
        check_early(spec(recipe=text))
    with pytest.raises(HoldfastError) as late:
        parse(text)
    assert str(early.value) == str(late.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": "e.jsonl"}, "no such file: 'e.jsonl'; check the path. Did you mean 'd.jsonl'?"),
        ({"keep": ("none.txt",)}, "no such file: 'none.txt'"),
        ({"test": "./a/b.txt"}, "no such file: './a/b.txt'"),
        ({"memory": ("old=none.txt",)}, "no such file: 'none.txt'"),
        ({"recipe": "Rehearsal('none.txt')"}, "no such file: 'none.txt'"),
        (
            {"recipe": "Rehearsal('odl')", "memory": ("old=d.jsonl",)},
            "no --memory is called 'odl'. Did you mean 'old'?",
        ),
        ({"model": "m"}, "Model 'm' has no config.json"),
        ({"model": "mm"}, "Model 'mm' does not exist: give an existing folder, or the name of a model on the hub."),
        ({"model": "d.jsonl"}, "Model 'd.jsonl' is a file; give the folder"),
    ],
)
def test_what_is_not_there_is_said_at_once(room, changes, said):
    with pytest.raises(HoldfastError) as caught:
        check_early(spec(**changes))
    assert said in str(caught.value)


def test_a_folder_that_is_taken_is_said_at_once(room):
    (room / "runs" / "mine").mkdir(parents=True)
    (room / "runs" / "mine" / "thesis.txt").write_text("...")
    with pytest.raises(HoldfastError, match="is not the folder of a run"):
        check_early(spec(name="mine"))


def test_an_adapter_without_its_base_is_said_at_once(room):
    (room / "m" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/on/another/machine"}))
    (room / "m" / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(HoldfastError, match="made on '/on/another/machine', which does not exist"):
        check_early(spec(model="m"))
    check_early(DiffSpec(base=BASE, tuned="m", keep=("d.jsonl",)))


def test_what_is_right_passes(room):
    check_early(spec(keep=("ground:suites/cut", "org/set", "org/set/config:test"), memory=("old=d.jsonl",)))
    check_early(spec(model="org/model", recipe="Rehearsal('old') + MaskTheTarget()", memory=("old=d.jsonl",)))
    check_early(CompareSpec(model=BASE, data="d.jsonl", recipes=("classic", "LoRA()"), keep=("d.jsonl",)))
    check_source(".")


def test_a_comparison_and_a_diff_are_checked_too(room):
    with pytest.raises(HoldfastError, match="no method 'Lora'"):
        check_early(CompareSpec(model=BASE, data="d.jsonl", recipes=("Lora()",), keep=("d.jsonl",)))
    with pytest.raises(HoldfastError, match="no setting 'epoch'"):
        check_early(
            CompareSpec(model=BASE, data="d.jsonl", recipes=("LoRA()",), settings="Train(epoch=1)", keep=("d.jsonl",))
        )
    with pytest.raises(HoldfastError, match="Model 'x' does not exist"):
        check_early(DiffSpec(base=BASE, tuned="x", keep=("d.jsonl",)))
    check_early(DiffSpec(base="a.jsonl", tuned="b.jsonl"))  # answers; what reads them says more


@pytest.mark.parametrize("flags", [["--recipe", "LoRA(rnk=2)"], ["--data", "e.jsonl"], ["--model", "nowhere"]])
def test_a_typo_is_answered_before_anything_heavy_is_imported(room, flags):
    words = ["train", "--model", BASE, "--data", "d.jsonl", "--recipe", "LoRA()", *flags]
    code = (
        f"import sys; from holdfast.cli.main import main; assert main({words!r}) == 1;"
        "heavy = {'torch', 'transformers', 'peft', 'numpy', 'datasets', 'scipy', 'pyarrow'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("holdfast: ")
