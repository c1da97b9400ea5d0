"""`holdfast train` of a reranker on two processes (gloo) ends where it ends on one, without a word on DDP."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from holdfast.bench.run.ranking_trainer import ranking_arguments
from holdfast.bench.run.run import train
from holdfast.recipe import parse
from tests.rerank import encoders
from tests.rerank.run_two_processes import CASES, spec, written
from tests.two_processes import run_under_torchrun


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("runs")
    shutil.copytree(encoders.folder(), made / "base")
    for seed, (name, count) in enumerate({"new": 16, "keep": 6, "old": 8}.items()):
        written(made / f"{name}.jsonl", count, seed)
    run_under_torchrun(Path(__file__).with_name("run_two_processes.py"), made)
    return made


@pytest.mark.parametrize("case", CASES)
def test_a_run_on_two_processes_ends_where_one_does(folder, case, tmp_path):
    alone = train(spec(case, folder, tmp_path), Console(quiet=True))
    (found,) = (folder / "two" / alone.folder.name / "model").glob("*.safetensors")
    weights, ours = load_file(found), load_file(alone.folder / "model" / found.name)
    base = load_file(folder / "base" / "model.safetensors")
    assert any(name not in base or not torch.equal(value, base[name]) for name, value in ours.items())
    for name, value in weights.items():
        torch.testing.assert_close(value, ours[name], rtol=0, atol=1e-5, msg=name)


def test_ddp_looks_for_unused_parameters_only_if_the_user_says_so(folder, tmp_path):
    run, recipe = spec("adapter", folder, tmp_path), parse(CASES["adapter"])
    assert ranking_arguments(run, recipe, tmp_path).ddp_find_unused_parameters is False
    run.training["ddp_find_unused_parameters"] = True
    assert ranking_arguments(run, recipe, tmp_path).ddp_find_unused_parameters is True
