"""The benchmarks of speed: their table, what they share, and that the one for a GPU runs on a processor."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_a_figure_meets_its_goal_as_it_is_printed(script):
    frame = script("frame")
    assert frame.Figure("step", "plain", 1.0349, 1.03).met == "yes"
    assert frame.Figure("step", "plain", 1.036, 1.03).met == "no"
    assert frame.Figure("step", "plain", 9.0, None).met == ""
    lines = frame.table([frame.Figure("step", "plain", 1.5, 1.0, 1.25), frame.Figure("a longer name", "p", 0.5, None)])
    assert lines[2].split("|")[1:-1] == [" step          ", " plain ", " 1.50  ", " 1.25  ", " 1.00 ", " no  "]
    assert len({len(line) for line in lines}) == 1


def test_slopes_are_the_exponents_of_growths(script):
    frame = script("frame")
    sizes = [2, 4, 8]
    assert frame.slope(sizes, [3 * size**2 for size in sizes]) == pytest.approx(2.0)
    assert frame.slope(sizes, [5.0] * 3) == pytest.approx(0.0)


def test_the_peak_is_what_was_held_at_once(script):
    frame = script("frame")

    def way():
        first = torch.zeros(250_000)
        del first
        return torch.zeros(500_000).sum()

    assert 2_000_000 <= frame.peak(way) < 2_100_000


def test_ways_take_turns(script):
    frame, order = script("frame"), []
    found = frame.seconds({name: (lambda name=name: order.append(name)) for name in "ab"}, repeats=2)
    assert order == ["a", "b"] * 3
    assert set(found) == {"a", "b"}


def test_the_plain_reference_of_fapm_prunes_as_the_method_does(script, tmp_path):
    edits = script("edits")
    from safetensors.torch import load_file, save_file

    from holdfast.methods.edits.fapm import fapm

    generator = torch.Generator().manual_seed(0)
    base, tuned = ({"w": torch.randn(40, 25, generator=generator)} for _ in range(2))
    for name, weights in (("base", base), ("tuned", tuned)):
        (tmp_path / name).mkdir()
        save_file(weights, tmp_path / name / "model.safetensors")
    for sort in (True, False):
        edits.published(tmp_path / "base", tmp_path / "tuned", tmp_path / "out", sort=sort)
        torch.testing.assert_close(load_file(tmp_path / "out")["w"], fapm(base["w"], tuned["w"], 0.25))


def test_every_part_of_the_table_has_figures_and_the_page_has_them(script):
    bench = script("bench")
    for part in bench.PARTS:
        assert callable(script(part).figures)
    page = bench.PAGE.read_text(encoding="utf-8")
    table = page.split("<!-- bench -->")[1].split("<!-- end bench -->")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert rows[0].split("|")[1].strip() == "figure"
    met = sum(line.rstrip(" |").endswith(" yes") for line in rows)
    judged = sum(line.rstrip(" |").endswith((" yes", " no")) for line in rows)
    assert f"{met} of {judged} goals are met." in table


def test_the_benchmark_for_a_gpu_runs_on_a_processor(script):
    gpu = script("gpu")
    lines = gpu.report(["tiny"], torch.device("cpu"), 1, 600.0)
    text = "\n".join(lines)
    for name in ("MaskTheTarget, later epochs", "ours, from kept means", "choices, ours", "the same, generate()"):
        assert f"| {name}" in text
    assert lines[0].startswith("Device: a processor")
    assert lines[-1] == "All parts are measured."
    off = re.findall(r"float32 \| (\S+) \| (\S+) \|", text)
    assert len(off) == 2
    assert all(float(value) < 1e-3 for pair in off for value in pair)
    assert gpu.report(["tiny"], torch.device("cpu"), 1, -1.0)[-1].startswith(
        "Not measured for want of time: tiny: step"
    )
