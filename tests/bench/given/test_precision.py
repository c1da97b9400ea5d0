"""`--precision auto`: the format that computes faster, chosen once and written down."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from holdfast.bench.given import precision
from holdfast.bench.given.precision import resolved, resolving_precision, seconds_of
from holdfast.bench.given.specs import DiffSpec, RunSpec
from holdfast.bench.plan.auto import train_planned
from holdfast.core.errors import HoldfastError
from holdfast.core.precision import check_precision
from tests import tiny

RUN = {"data": "new.jsonl", "precision": "auto"}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    room = tmp_path_factory.mktemp("precision")
    tiny.tiny("llama").float().save_pretrained(room / "base")
    tiny.tokenizer().save_pretrained(room / "base")
    rows = [{"prompt": f"t{n} t21", "completion": f"t{n + 1}"} for n in range(20, 40)]
    (room / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return room


@pytest.fixture
def times(monkeypatch):
    """Sets the seconds of the formats, and collects the shapes that were timed."""

    def script(bf16, fp32):
        shapes = []

        def timed(width, inner, name):
            shapes.append((width, inner))
            return {"bf16": bf16, "fp32": fp32}[name]

        monkeypatch.setattr(precision, "seconds_of", timed)
        return shapes

    return script


@pytest.mark.parametrize(("bf16", "chosen"), [(0.5, "bf16"), (0.95, "fp32"), (6.0, "fp32")])
def test_it_takes_bf16_where_that_is_clearly_faster_and_says_so(room, times, bf16, chosen, capsys):
    shapes = times(bf16, 1.0)
    config = tiny.tiny("llama").config
    assert resolved(RunSpec(**RUN, model=str(room / "base"))).precision == chosen
    assert set(shapes) == {(config.hidden_size, config.intermediate_size)}
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith(f"Precision auto: {chosen}. The products of a layer of this model take {bf16:.2g} times")


def test_a_named_format_is_left_alone_and_nothing_is_timed(room, times):
    shapes = times(0.1, 1.0)
    spec = RunSpec(model=str(room / "base"), data="new.jsonl", precision="fp32")
    assert resolved(spec) is spec
    assert shapes == []


def test_saved_answers_need_no_time(tmp_path, times):
    (tmp_path / "base.jsonl").write_text("", encoding="utf-8")
    shapes = times(0.1, 1.0)
    spec = DiffSpec(base=str(tmp_path / "base.jsonl"), tuned="x", precision="auto")
    assert (resolved(spec).precision, shapes) == ("fp32", [])


def test_several_processes_are_refused(room, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(HoldfastError, match="give bf16 or fp32 to several"):
        resolved(RunSpec(**RUN, model=str(room / "base")))


def test_a_library_call_names_the_formats_that_it_takes():
    with pytest.raises(HoldfastError, match="give fp32, bf16 or fp16 here"):
        check_precision("auto")


def test_a_command_begins_with_a_number_format(room, times):
    times(0.5, 1.0)
    seen = resolving_precision(lambda spec, more: (spec.precision, more))
    assert seen(RunSpec(**RUN, model=str(room / "base")), more=3) == ("bf16", 3)


def test_a_run_writes_down_the_format_that_it_took(room, times, tmp_path):
    times(6.0, 1.0)
    spec = RunSpec(
        model=str(room / "base"), data=str(room / "rows.jsonl"), precision="auto", recipe="Train(lr=1e-3, epochs=1)",
        held_out=0.2, max_length=32, batch_size=4, out=str(tmp_path),
    )  # fmt: skip
    done = train_planned(spec, Console(quiet=True))
    assert json.loads((done.folder / "spec.json").read_text(encoding="utf-8"))["precision"] == "fp32"


def test_products_take_time_and_larger_ones_more():
    small, large = seconds_of(16, 16, "fp32"), seconds_of(512, 1024, "fp32")
    assert 0 < small < large
    assert seconds_of(16, 16, "bf16") > 0
