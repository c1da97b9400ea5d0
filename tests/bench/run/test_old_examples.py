"""Old examples are treated as new ones wherever a command reads them: what is learned, and what is too long."""

from __future__ import annotations

import json

import pytest

from holdfast.bench.fit.price import PlainRun
from holdfast.bench.forecast.short_run import memories_of
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.plan.facts import read_plan_inputs
from holdfast.bench.run.inputs import read_inputs
from holdfast.recipe import parse

RECIPE = "Train(lr=0.01, epochs=1) + Rehearsal('old')"


def of_a_run(spec):
    return read_inputs(spec, parse(RECIPE)).memories


def of_a_plan(spec):
    return read_plan_inputs(spec).memories


def of_a_price(spec):
    return PlainRun.of(spec, read_plan_inputs(spec), epochs=1, batch=1).memories


def of_a_short_run(spec):
    inputs = read_plan_inputs(spec)
    inputs.memories.clear()  # as for a memory that the recipe names by its path
    return memories_of(inputs, parse(RECIPE))


@pytest.mark.parametrize("read", [of_a_run, of_a_plan, of_a_price, of_a_short_run])
def test_old_rows_are_learned_and_left_out_as_new_ones(room, tmp_path, read):
    rows = [{"prompt": "t20 t21 ", "completion": "t22"}, {"prompt": "t20 " * 3, "completion": "t23 " * 30}]
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "model": str(room / "model"), "data": str(room / "facts.jsonl"), "max_length": 16, "out": str(tmp_path),
        "memory": (f"old={tmp_path / 'old.jsonl'}",), "recipe": RECIPE,
    }  # fmt: skip
    (plain, cut) = read(RunSpec(**options))["old"]
    assert len(cut.input_ids) == 16
    assert plain.supervised < len(plain.input_ids) - 1
    (whole,) = read(RunSpec(**options, loss_on="all", over_long="drop"))["old"]
    assert whole.input_ids == plain.input_ids
    assert whole.supervised == len(whole.input_ids) - 1
