"""The catalogue says what the code says, and docs/methods is what the catalogue writes."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.cli import main
from holdfast.core.errors import HoldfastError
from holdfast.core.method import HOOKS
from holdfast.core.settings import settings_of
from holdfast.methods.holdfast import Holdfast
from holdfast.methods.table import METHODS, SUMS
from holdfast.report import cards, catalogue
from holdfast.report.catalogue_list import START

DOCS = Path(__file__).parents[2] / "docs" / "methods"
AGAIN = "run `python -m holdfast.report.catalogue docs/methods`"


def printed(name=None, width=200):
    out = io.StringIO()
    catalogue.show(name, Console(file=out, width=width))
    return out.getvalue()


def test_docs_are_up_to_date_with_the_code(tmp_path):
    written = catalogue.write(tmp_path)
    assert {path.name for path in written} == {path.name for path in DOCS.iterdir()}, AGAIN
    for path in written:
        assert path.read_bytes() == (DOCS / path.name).read_bytes(), f"{path.name} is out of date: {AGAIN}"


def test_the_same_code_gives_the_same_bytes_in_another_process(tmp_path):
    program = [sys.executable, "-m", "holdfast.report.catalogue", str(tmp_path / "a")]
    subprocess.run(program, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    for path in catalogue.write(tmp_path / "b"):
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()


def test_every_hook_has_its_moment_in_the_order_of_the_hooks():
    assert tuple(catalogue.MOMENTS) == HOOKS


def test_the_wide_table_has_a_row_for_every_method():
    text = printed(width=200)
    (heading,) = (line for line in text.splitlines() if line.split()[:1] == ["method"])
    needs = slice(heading.index("needs"), heading.index("arXiv"))
    assert "what it does" in heading
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line[1:2].strip()]
    for one in cards.cards():
        (row,) = (i for i in starts if lines[i].split()[:1] == [one.call])
        end = next((i for i in starts if i > row), len(lines))
        found = set(" ".join(line[needs] for line in lines[row:end]).replace(",", " ").split()) - {"-"}
        memory = {"memory"} if one.needs_memory else {"(memory)"} if one.may_use_memory else set()
        assert found == memory | ({"base"} if one.needs_base else set())


def test_one_starts_with_the_recommended_sum_and_its_parts():
    sums = (Holdfast(*given) for given in itertools.product(("", "old"), (False, True), (False, True)))
    assert {*START} == {"Holdfast"} | {type(part).__name__ for whole in sums for part in whole.parts()}
    assert START[0] == "Holdfast"


def test_a_narrow_terminal_has_every_method_once_in_a_line_and_says_where_to_start():
    lines = printed(width=80).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert not [line for line in lines if "…" in line]  # every method of ours is told whole
    assert lines[1] == "Start here"
    named = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(named) == sorted(one.call for one in cards.cards())
    assert named[:2] == ["Holdfast", "LoRA"]
    for one in cards.cards():
        (line,) = (line for line in lines if line.split()[:1] == [one.call] and line.startswith("  "))
        marks = ("b" if one.needs_base else "") + ("m" if one.needs_memory else "(m)" if one.may_use_memory else "")
        assert marks in line.split()[1]
        assert one.line[:40] in line


@pytest.mark.parametrize("cls", [*SUMS, *METHODS], ids=lambda cls: cls.__name__)
def test_a_card_has_every_setting_hook_exclusion_and_the_paper(cls, tmp_path):
    one = cards.card(cls)
    catalogue.write(tmp_path)
    page = " ".join((tmp_path / f"{one.name}.md").read_text(encoding="utf-8").split())  # its lines are wrapped
    for text in (printed(cls.__name__, width=1000), page):
        for field in dataclasses.fields(cls):
            assert field.name in text
            about = settings_of(cls)[field.name]
            assert all(repr(choice) in text for choice in about.choices)
        assert all(hook in text for hook in one.hooks)
        assert all(reason in text for reason in [*filter(None, [cls.once]), *one.excludes.values()])
        assert one.reference in text
        assert one.departs in text
    assert one.line.endswith(".")
    assert one.reference
    assert one.departs


def test_the_card_of_mask_the_target_reads_right():
    one = cards.card(next(cls for cls in METHODS if cls.__name__ == "MaskTheTarget"))
    assert one.name == "mask-the-target"
    assert one.papers == ("2605.29498",)
    assert one.needs_base
    assert not one.needs_memory
    assert list(one.hooks) == ["token_loss"]
    assert one.settings[0][:2] == ("strength", "1.0")
    assert one.settings[0][3] == "Coefficient of the term (the paper's lambda)."
    assert "    L = L_CE + strength" in one.body


def test_an_exclusion_is_told_from_both_sides():
    cosine = next(cls for cls in METHODS if cls.__name__ == "Cosine")
    finch = next(cls for cls in METHODS if cls.__name__ == "Finch")
    assert "Finch" in cards.card(cosine).excludes
    assert "Cosine" in cards.card(finch).excludes


def test_the_name_of_the_card_is_understood_too():
    assert printed("mask-the-target") == printed("MaskTheTarget")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MaskTarget", r"There is no method 'MaskTarget'. Did you mean 'MaskTheTarget'\?"),
        ("lroa", r"Did you mean 'lora'\?|Did you mean 'LoRA'\?"),
        ("xyzzy", "There is no method 'xyzzy'. Known: Holdfast, Train, Cosine"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, message):
    with pytest.raises(HoldfastError, match=message):
        catalogue.show(name)


def test_a_narrow_terminal_still_shows_the_whole_description():
    one = cards.card(METHODS[0])
    assert "".join(one.reference.split()) in "".join(printed(one.call, width=60).split())


def test_paragraphs_flow_to_the_width_of_the_terminal_and_formulas_stay():
    lines = [line.rstrip() for line in printed("MaskTheTarget", width=200).splitlines()]
    assert "    L = L_CE + strength * (1/|M|) sum_{t in M} KL(p_b^{not y_t} || p_a^{not y_t})" in lines
    (paragraph,) = (line for line in lines if line.startswith("p_b is the prediction"))
    assert len(paragraph) > 120


def test_the_command_shows_one_card(capsys):
    assert main.main(["methods", "Finch"]) == 0
    assert "2605.20005" in capsys.readouterr().out
