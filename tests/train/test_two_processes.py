"""Two processes (gloo) end where the reference loop ends on the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.train.retrace import batches_of, reference
from tests.train.two_processes import ALONE, CASES, build, guarded, steered
from tests.two_processes import run_on_two


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    run_on_two(Path(__file__).with_name("two_processes.py"), out)
    names = (*CASES, *ALONE, "guarded 0", "guarded 1", "steered 0", "steered 1")
    return {name: torch.load(out / f"{name}.pt", weights_only=True) for name in names}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_end_where_the_loop_ends(trained, case, tmp_path):
    trainer = build(case, tmp_path, accumulate=4)
    steps = batches_of(trainer)
    if case == "packed":
        steps = [[tiny.unpacked(batch) for batch in step] for step in steps]
    backbone, recipe = CASES[case]
    if isinstance(recipe, str):
        recipe = recipe.replace("Rehearsal('old', ratio=0.3) + ", "")
    model, _, record = reference(tiny.tiny(backbone), recipe, steps)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(trained[case]["weights"][name], tensor, rtol=0, atol=1e-11)
    if trained[case]["logs"]:
        assert trained[case]["logs"] == pytest.approx([row["task_loss"] for row in record], rel=1e-6)


@pytest.mark.parametrize("case", ALONE)
def test_two_processes_end_where_one_does(trained, case, tmp_path):
    trainer = build(case, tmp_path, accumulate=4)
    start = {name: p.clone() for name, p in trainer.model.state_dict().items()}
    trainer.train()
    found = trainer.model.state_dict()
    assert any(not torch.equal(tensor, start[name]) for name, tensor in found.items())
    for name, tensor in found.items():
        torch.testing.assert_close(trained[case]["weights"][name], tensor, rtol=0, atol=1e-9)


def test_a_guard_on_two_processes_acts_as_on_one_and_both_have_its_model(trained, tmp_path):
    trainer = guarded(tmp_path, accumulate=4)
    trainer.train()
    alone = {**trainer.holdfast_guard.summary(), "seconds": 0}
    assert 0 < len(alone["spent_at"]) < len(alone["looks"])
    for process in (0, 1):
        found = trained[f"guarded {process}"]
        assert found["summary"].keys() == alone.keys()
        for name in ("spent_at", "model_of", "every"):
            assert found["summary"][name] == alone[name]
        lost = [[look["nats_lost"] for look in summary["looks"]] for summary in (found["summary"], alone)]
        assert lost[0] == pytest.approx(lost[1], abs=1e-9)
        for name, tensor in trainer.model.state_dict().items():
            torch.testing.assert_close(found["weights"][name], tensor, rtol=0, atol=1e-9)


def test_a_controller_on_two_processes_steers_as_on_one(trained, tmp_path):
    trainer = steered(tmp_path, accumulate=4)
    trainer.train()
    alone = trainer.holdfast_guard.summary()["course"]
    assert len({row["rate"] for row in alone}) > 2
    for process in (0, 1):
        found = trained[f"steered {process}"]
        for row, expected in zip(found["summary"]["course"], alone, strict=True):
            assert row == pytest.approx(expected, rel=1e-6, abs=1e-9)
        for name, tensor in trainer.model.state_dict().items():
            torch.testing.assert_close(found["weights"][name], tensor, rtol=0, atol=1e-9)
