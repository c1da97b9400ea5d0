"""The trade-off for readers and for programs, and the frontier drawn."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.bench.compare.compare import CompareResult
from holdfast.bench.given.specs import CompareSpec, ReportSpec
from holdfast.bench.measured.scores import read_scores, write_scores
from holdfast.core.errors import HoldfastError
from holdfast.methods.table import METHODS
from holdfast.report.compare import report, show, show_compared
from holdfast.report.frontier import draw
from holdfast.report.published import PUBLISHED, published
from holdfast.report.tradeoff import as_csv, markdown, terminal
from holdfast.report.yardstick import yardstick
from tests.bench.comparison import comparison, write

YARDSTICK = """method,test_accuracy_gsm8k,forgetting_wiki_ce_delta,trainable_params,accel_mem_max_GiB,train_time_s,date
full-finetuning--lr_1e-5,0.47,0.030,3000,36.0,2000,2026-07-15
lora--mlp,0.49,0.032,10,22.0,1000,2026-07-15
osf,0.42,0.017,200,36.0,2500,2026-07-15
prompt,0.05,1.8,1,20.0,1000,2026-07-15
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return str(comparison(tmp_path_factory.mktemp("runs")))


def printed(what, width=80):
    console = Console(file=io.StringIO(), width=width)
    what(console)
    return console.file.getvalue()


def test_a_narrow_terminal_shows_what_matters_within_its_width(runs):
    (found,) = report(ReportSpec(runs=(runs,)))
    text = printed(lambda console: terminal(found, console))
    table = [line for line in text.splitlines() if "plain" in line or "LoRA" in line]
    assert "base learns new.jsonl, keeping old.txt" in text
    assert "Goal: 85.5 points" in text
    assert all(len(line) <= 80 for line in table)
    assert any("90.0" in line and "55.0 [" in line and "sums 60.0" in line for line in table)
    assert any("LoRA(rank=2)" in line and "*" in line for line in table)
    assert "* did not reach the goal" in text


def test_a_narrow_terminal_says_the_verdicts_and_who_did_not_learn(runs, tmp_path):
    (found,) = report(ReportSpec(runs=(runs,), budget={"points": 10}))
    text = printed(lambda console: terminal(found, console))
    assert "verdict on this run, plain: forgot\n" in text
    assert "worst suite: the largest loss of 2 suites; it looks worse than it is" in " ".join(text.split())
    assert "One seed: these statements hold for these runs only" in " ".join(text.split())
    write(tmp_path / "a", "Train(lr=0.0001)", learned=0.0, kept=1.1, items=200)
    (idle,) = report(ReportSpec(runs=(str(tmp_path),)))
    text = printed(lambda console: terminal(idle, console))
    assert "not learned: plain\n" in text
    assert "on all items that steered no run; each recipe has one learning rate" in " ".join(text.split())
    (idle,) = report(ReportSpec(runs=(str(tmp_path),), budget={"points": 10}))
    assert "verdict on this run, plain: kept, not learned\n" in printed(lambda console: terminal(idle, console))
    (line,) = csv.DictReader(io.StringIO(as_csv(idle)))
    assert (line["verdict"], line["learning"], line["worst_of"]) == ("kept", "not learned", "2")


def test_a_wide_one_shows_everything(runs):
    (found,) = report(ReportSpec(runs=(runs,), budget={"points": 2}))
    text = printed(lambda console: terminal(found, console), width=180)
    for heading in ("rate", "flips", "lost at the goal", "memory", "trained", "volume", "verdict"):
        assert heading in text
    assert "not reached" in text
    assert "forgot" in text
    assert "transfer" not in text  # nobody measured it


def test_markdown_has_every_dose_and_what_was_published(runs):
    (found,) = report(ReportSpec(runs=(runs,)))
    text = markdown(found)
    assert "| MaskTheTarget() | 0.0004 | 90.0 | reached |" in text
    assert "| plain | 0.0001: 30.0 / 10.0 | 0.0002: 60.0 / 25.0 | 0.0004: 90.0 / 55.0 |" in text
    assert "| plain | 84.3, 32.7, 1x |" in text
    assert "2605.29498" in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


def test_csv_has_a_line_for_each_dose_with_numbers_in_full(runs):
    (found,) = report(ReportSpec(runs=(runs,)))
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert len(lines) == 9
    chosen = [line for line in lines if line["chosen"] == "True"]
    assert len(chosen) == 3
    plain = next(line for line in chosen if line["recipe"] == "plain")
    assert float(plain["lost"]) == pytest.approx(55.0)
    assert float(plain["time"]) == 1.0
    assert (plain["worst_suite"], float(plain["answers_lost"])) == ("sums", 44.0)
    assert float(plain["lost_at_goal"]) == pytest.approx(50.5)


def test_what_was_not_measured_is_a_blank(tmp_path):
    write(tmp_path / "a", "Train(lr=0.0001)", learned=0.9, kept=0.9, cost={}, result={"cost": None})
    (found,) = report(ReportSpec(runs=(str(tmp_path),)))
    assert "time" not in markdown(found).partition("learned, lost:")[0]
    (line,) = csv.DictReader(io.StringIO(as_csv(found)))
    assert line["time"] == line["memory"] == ""
    assert printed(lambda console: terminal(found, console))


@pytest.mark.parametrize(
    ("form", "sign"),
    [("table", "Goal:"), ("markdown", "| recipe |"), ("csv", "recipe,text"), ("json", '"hypervolume"')],
)
def test_it_is_printed_as_asked(runs, form, sign):
    text = printed(lambda console: show(ReportSpec(runs=(runs,), format=form), console), width=200)
    assert sign in text
    if form == "json":
        assert json.loads(text)[0]["goal"] == pytest.approx(85.5)


def test_the_share_to_be_reached_and_the_budget_change_the_table(runs):
    (usual,) = report(ReportSpec(runs=(runs,)))
    (less,) = report(ReportSpec(runs=(runs,), reach=0.5))
    assert less.goal == pytest.approx(45.0)
    assert less.recipes[0].rate == 2e-4 != usual.recipes[0].rate
    (judged,) = report(ReportSpec(runs=(runs,), budget={"points": 40}))
    assert {row.verdict.word for row in judged.recipes} >= {"forgot", "kept"}


def test_files_are_written_and_the_same_again(runs, tmp_path):
    report(ReportSpec(runs=(runs,), out=str(tmp_path)))
    names = {"tradeoff.md", "tradeoff.csv", "tradeoff.json", "frontier.png", "frontier.svg"}
    assert {path.name for path in tmp_path.iterdir()} == names
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    report(ReportSpec(runs=(runs,), out=str(tmp_path)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_the_plot_has_a_line_for_each_recipe_and_loses_to_the_left(runs, tmp_path):
    (found,) = report(ReportSpec(runs=(runs,)))
    png, svg = draw(found, tmp_path)
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    drawn = svg.read_text()
    for label in ("plain", "MaskTheTarget()", "LoRA(rank=2)", "base", "goal"):
        assert f"<!-- {label} -->" in drawn
    ticks = re.findall(r'id="xtick_\d+">.*?<use [^>]*x="([\d.]+)".*?<!-- ([\d.]+) -->', drawn, re.DOTALL)
    by_place = [float(lost) for _, lost in sorted((float(x), lost) for x, lost in ticks)]
    assert len(by_place) > 2
    assert by_place == sorted(by_place, reverse=True)


def test_no_two_recipes_that_are_named_have_one_colour_and_names_are_whole(runs, tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn = {}
    monkeypatch.setattr(Axes, "errorbar", lambda self, x, y, *, label, color, **style: drawn.update({label: color}))
    (found,) = report(ReportSpec(runs=(runs,)))
    names = ["plain", "A() + " * 20 + "B()", *(f"M{i}()" for i in range(12))]
    draw(
        dataclasses.replace(found, recipes=tuple(dataclasses.replace(found.recipes[0], recipe=n) for n in names)),
        tmp_path,
    )
    assert len(drawn) == len(set(drawn.values())) == 11
    assert drawn["plain"] == "black"
    assert names[1] in {label.replace("\n", " ") for label in drawn}


def test_a_dollar_in_a_name_is_no_formula(runs, tmp_path):
    (found,) = report(ReportSpec(runs=(runs,)))
    about = dataclasses.replace(found.about, data="a$x^{_$.jsonl")
    recipe = dataclasses.replace(found.recipes[0], recipe="Rehearsal('$b_{$')")
    _, svg = draw(dataclasses.replace(found, about=about, recipes=(recipe,)), tmp_path)
    assert "a$x^{_$.jsonl" in svg.read_text()
    assert "Rehearsal('$b_{$')" in svg.read_text()


def test_runs_of_two_kinds_are_two_tables(tmp_path):
    write(tmp_path / "runs" / "a", "Train(lr=0.0001)", learned=0.8, kept=0.9)
    write(tmp_path / "runs" / "b", "Train(lr=0.0001)", learned=0.8, kept=0.9, spec={"data": "other.jsonl"})
    text = printed(lambda console: show(ReportSpec(runs=(str(tmp_path / "runs"),), out=str(tmp_path / "out")), console))
    assert "learns new.jsonl" in text
    assert "learns other.jsonl" in text
    assert (tmp_path / "out" / "tradeoff-2.md").exists()


def test_runs_of_which_nothing_can_be_said_do_not_hide_the_others(runs, tmp_path):
    comparison(tmp_path)
    write(tmp_path / "odd", "Train(lr=0.0001)", learned=0.8, kept=0.9, spec={"data": "other.jsonl"})
    scores = tmp_path / "odd" / "scores.jsonl"
    left = {moment: [one for one in own if one.role == "learned"] for moment, own in read_scores(scores).items()}
    write_scores(scores, "run", left)
    text = printed(lambda console: show(ReportSpec(runs=(str(tmp_path),)), console), width=200)
    assert "Goal: 85.5 points" in text
    assert "measure no suite to keep; give --keep" in text


def test_what_is_not_finished_is_said(runs, tmp_path):
    comparison(tmp_path)
    (tmp_path / "run-1-1-0" / "result.json").unlink()
    text = printed(lambda console: show(ReportSpec(runs=(str(tmp_path),)), console), width=200)
    assert "run-1-1-0 is unfinished and left out." in text


def test_pefts_comparison_is_read_as_a_table_of_the_same_kind(tmp_path):
    file = tmp_path / "peft.csv"
    file.write_text(YARDSTICK)
    found = yardstick(str(file))
    rows = {row.recipe: row for row in found.recipes}
    assert found.goal == pytest.approx(0.95 * 47)
    assert [row.recipe for row in found.recipes] == ["full-finetuning--lr_1e-5", "lora--mlp", "osf", "prompt"]
    assert rows["lora--mlp"].time_ratio == 0.5
    assert rows["full-finetuning--lr_1e-5"].time_ratio == 1.0
    assert rows["lora--mlp"].trained_share == pytest.approx(10 / 3000)
    assert {name for name, row in rows.items() if row.on_front} == {"full-finetuning--lr_1e-5", "lora--mlp", "osf"}
    text = printed(lambda console: show(ReportSpec(runs=(str(file),), out=str(tmp_path / "out")), console))
    assert "lora--mlp" in text
    assert "lost at the goal |" not in (tmp_path / "out" / "tradeoff.md").read_text()
    assert report(ReportSpec(runs=(str(file),), reach=0.5))[0].goal == pytest.approx(23.5)
    assert (tmp_path / "out" / "frontier.svg").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (YARDSTICK.replace("train_time_s", "time"), "has no column train_time_s"),
        (YARDSTICK.replace("0.49,", "much,"), r"peft.csv:3: column test_accuracy_gsm8k is 'much'"),
        (YARDSTICK.partition("\n")[0] + "\n", "holds no configuration"),
        ("\udcff", "cannot be read as UTF-8"),
    ],
)
def test_a_table_that_is_not_pefts_is_refused_with_the_place(tmp_path, text, message):
    file = tmp_path / "peft.csv"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(HoldfastError, match=message):
        yardstick(str(file))


def test_what_was_published_is_about_methods_that_there_are():
    names = {cls.__name__ for cls in METHODS} | {"plain"}
    assert {one.method for one in PUBLISHED} <= names
    assert [
        figure.result
        for figure in published(["plain", "LoRA", "QLoRA", "FAPM", "TokenForgetting"])
        if "x" in figure.result[-2:]
    ] == [
        "84.3, 32.7, 1x",
        "82.1, 5.2, 0.7x",
        "81.8, 6.1, 0.6x",
        "83.9, 0.25, 1.23x",
        "86.7, 1.1, 0.9x",
    ]


def test_a_finished_comparison_is_shown_by_its_budget_and_its_share_and_leaves_a_report(runs, tmp_path):
    folders = tuple(sorted(Path(runs).glob("run-*")))
    usual = {"model": "base", "data": "new.jsonl", "keep": ("old.txt",), "recipes": ("MoFO()",), "out": str(tmp_path)}
    done = CompareResult(CompareSpec(**usual, reach=0.5, budget={"points": 2}), folders, {})
    text = printed(lambda console: show_compared(done, console), width=200)
    assert "Goal: 45.0 points" in text
    assert "verdict" in text
    assert (tmp_path / "report" / "tradeoff.md").exists()
    nothing = CompareResult(CompareSpec(**usual), (), {"run": "why"})
    assert printed(lambda console: show_compared(nothing, console)) == ""
    assert (done.exit_code, nothing.exit_code) == (0, 1)
