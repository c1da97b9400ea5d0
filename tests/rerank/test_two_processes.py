"""Rerankers trained by two processes (gloo) end where one process ends, with a recipe and with a guard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.rerank import encoders
from tests.rerank.two_processes import CASES, build, guarded
from tests.two_processes import run_on_two


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    kept(out)
    run_on_two(Path(__file__).with_name("two_processes.py"), out)
    return {name: torch.load(out / f"{name}.pt", weights_only=True) for name in (*CASES, "guarded 0", "guarded 1")}


def kept(folder):
    rows = [{"id": f"k{i}", **row} for i, row in enumerate(encoders.lists(24, seed=9))]
    (folder / "keep.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_end_where_one_does(trained, case, tmp_path):
    trainer = build(case, tmp_path, accumulate=4)
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    found = trainer.model.state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in found.items())
    for name, value in found.items():
        torch.testing.assert_close(trained[case][name], value, rtol=0, atol=1e-9, msg=name)


def test_a_guard_on_two_processes_acts_as_on_one(trained, tmp_path):
    kept(tmp_path)
    trainer = guarded(tmp_path, accumulate=4)
    trainer.train()
    alone = {**trainer.holdfast_guard.summary(), "seconds": 0}
    assert len(alone["looks"]) > 2
    for process in (0, 1):
        assert trained[f"guarded {process}"]["summary"] == alone
        for name, value in trainer.model.state_dict().items():
            torch.testing.assert_close(trained[f"guarded {process}"]["weights"][name], value, rtol=0, atol=1e-9)
