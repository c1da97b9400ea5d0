"""A method of another package, found by its entry point, is a method like any other: nothing is installed here."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest
from rich.console import Console

from holdfast.bench.compare.compare import compare
from holdfast.bench.given.model_files import BASE
from holdfast.bench.given.specs import CompareSpec, RunSpec
from holdfast.bench.run.early_checks import check_early
from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.plugins import GROUP, declared, foreign
from holdfast.methods.selection.lora import LoRA
from holdfast.recipe import parse
from holdfast.report import catalogue

SOURCE = '''
"""The confidence penalty."""
import dataclasses
import holdfast

@dataclasses.dataclass(frozen=True, repr=False)
class ConfidencePenalty(holdfast.Method):
    """Adds minus the entropy of each prediction.

        L = L_CE - strength * H(p)

    Args:
        strength: Coefficient of the entropy.

    Reference:
        Pereyra et al., Regularizing Neural Networks by Penalizing Confident Output Distributions, 2017, arXiv 1701.06548.

    Cost:
        Nothing.
    """

    strength: float = holdfast.setting(0.1, unit="1", low=0.0, role="strength")
    once = "raise strength instead."
    excludes = {"base_*": "it would pull away from the base."}

    def token_loss(self, state, tok):
        """Returns minus the entropy."""
        return -self.strength * tok.entropy_N

class NoMethod:
    pass
'''  # noqa: E501 - a reference is one line
POINTS = {
    "ConfidencePenalty": "penalties:ConfidencePenalty",
    "Gone": "penalties:Gone",
    "NoMethod": "penalties:NoMethod",
    "Renamed": "penalties:ConfidencePenalty",
    "LoRA": "penalties:ConfidencePenalty",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A distribution with a method and some that are none, on the path of this process and of those it starts."""
    site = tmp_path / "site"
    about = site / "penalties-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "penalties.py").write_text(SOURCE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: penalties\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in POINTS.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    monkeypatch.syspath_prepend(str(site))
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    yield site
    sys.modules.pop("penalties", None)


def test_it_is_parsed_told_off_and_refused_like_a_method_of_this_package(package):
    recipe = parse("LoRA(rank=2) + ConfidencePenalty(strength=0.2)")
    assert parse(repr(recipe)) == recipe
    assert [type(part).__name__ for part in recipe.parts()] == ["LoRA", "ConfidencePenalty"]
    assert type(recipe.parts()[0]) is LoRA, "no package takes the place of a method of this one"
    mistakes = {
        "ConfidencePenalty(strenth=1)": "no setting 'strenth'. Did you mean 'strength'?",
        "ConfidencePenalty(strength=-1)": "give a number of at least 0.",
        "ConfidencePenalti()": "Did you mean 'ConfidencePenalty'?",
        "ConfidencePenalty() + ConfidencePenalty()": "raise strength instead.",
        "BaseKL() + ConfidencePenalty()": "it would pull away from the base.",
    }
    for text, sentence in mistakes.items():
        with pytest.raises(HoldfastError) as error:
            parse(text)
        assert sentence in str(error.value)
    with pytest.raises(HoldfastError, match="it would pull away from the base"):
        chain(foreign("ConfidencePenalty")(), BaseKL())


def test_a_command_knows_it_before_anything_is_loaded(package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    spec = RunSpec(model=BASE, data="d.jsonl", recipe="ConfidencePenalty(strength=0.3)", out=str(tmp_path / "runs"))
    check_early(spec)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Gone", r"Method Gone of penalties \(penalties:Gone\) cannot be imported: AttributeError"),
        ("NoMethod", "NoMethod of penalties .* is not a method: give a frozen dataclass"),
        ("Renamed", "is the class ConfidencePenalty; give the entry point the name of its class"),
    ],
)
def test_what_is_no_method_is_refused_by_the_name_of_its_package_and_stands_in_nobodys_way(package, name, message):
    with pytest.raises(HoldfastError, match=message):
        parse(f"{name}()")
    assert parse("LoRA()") == chain(LoRA())


def test_the_catalogue_shows_it_with_its_card_and_warns_of_what_is_broken(package, caplog):
    shown = io.StringIO()
    with caplog.at_level(logging.WARNING, logger="holdfast"):
        catalogue.show(None, Console(file=shown, width=200))
        catalogue.show("ConfidencePenalty", Console(file=shown, width=200))
    text = shown.getvalue()
    assert "Adds minus the entropy of each prediction." in text
    assert "L = L_CE - strength * H(p)" in text
    assert "Cannot be combined with BaseKL: it would pull away from the base." in text
    assert "1701.06548" in text
    assert {"Gone", "NoMethod", "Renamed", "LoRA"} <= {record.message.split()[1] for record in caplog.records}


def test_the_command_line_prints_its_card(package):
    command = [sys.executable, "-m", "holdfast", "methods", "ConfidencePenalty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Adds minus the entropy of each prediction." in done.stdout


def test_a_name_that_is_taken_is_refused(package, tmp_path):
    other = tmp_path / "site" / "others-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text(f"[{GROUP}]\nConfidencePenalty = others:ConfidencePenalty\n")
    with pytest.raises(HoldfastError, match=r"LoRA of penalties .* has the name of a method of Holdfast"):
        foreign("LoRA")
    with pytest.raises(HoldfastError, match=r"has the name of one of .*; uninstall one of the two packages"):
        parse("ConfidencePenalty()")


def test_without_the_package_there_is_no_such_method():
    assert "ConfidencePenalty" not in declared()
    with pytest.raises(HoldfastError, match="there is no method 'ConfidencePenalty'"):
        parse("ConfidencePenalty()")


def test_it_is_compared_in_processes_of_their_own(package, room, tmp_path):
    spec = CompareSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), test=str(room / "test.jsonl"),
        keep=(str(room / "texts.txt"),), recipes=("ConfidencePenalty(strength=0.5)",), doses=(1.0,),
        settings="Train(lr=0.01, epochs=1)", batch_size=4, max_length=64, out=str(tmp_path / "compare"),
    )  # fmt: skip
    said = io.StringIO()
    done = compare(spec, Console(file=said, width=200))
    assert done.exit_code == 0, said.getvalue()
    recipes = {json.loads((folder / "spec.json").read_text())["recipe"] for folder in done.folders}
    assert recipes == {"Train(lr=0.01, epochs=1)", "Train(lr=0.01, epochs=1) + ConfidencePenalty(strength=0.5)"}
    losses = {
        json.dumps(json.loads((folder / "result.json").read_text())["suites"], sort_keys=True)
        for folder in done.folders
    }
    assert len(losses) == 2, "it changed nothing"
