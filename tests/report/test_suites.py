"""`holdfast suites`: a row for every suite within 80 columns, one in full with three items, and no torch."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.core.errors import HoldfastError
from holdfast.general.names import KIND_MEASURES, items
from holdfast.report import suites
from holdfast.suites.registry import BY_NAME, FOLDER, LM_EVAL, NAMED
from holdfast.suites.sets import SETS


def printed(name=None, width=80):
    out = io.StringIO()
    suites.show(name, Console(file=out, width=width))
    return out.getvalue()


def test_the_table_has_a_row_for_every_suite_in_80_columns(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    text = printed()
    assert max(map(len, text.splitlines())) <= 80
    rows = {line.split()[0]: line for line in text.splitlines() if line[1:2].strip()}
    assert next(name for name in rows if name in {"general", *BY_NAME}) == "general"
    assert {"2,146", "<= 56 tokens", "Apache-2.0", "package"} <= {
        *rows["general"].split(),
        *(part.strip() for part in rows["general"].split("  ")),
    }
    for suite in NAMED:
        assert f"{suite.items:,}" in rows[suite.name]
        assert suite.cost in rows[suite.name]
        assert suite.license in rows[suite.name]
        assert rows[suite.name].split()[-1] == "hub"


def test_the_table_says_what_the_folder_holds(shared_data, monkeypatch):
    monkeypatch.setenv(FOLDER, str(shared_data))
    rows = [line.split() for line in printed().splitlines() if line.split() and line.split()[0] in BY_NAME]
    assert {row[0]: row[-1] for row in rows} == {suite.name: "folder" for suite in NAMED}


@pytest.mark.parametrize("suite", NAMED, ids=lambda suite: suite.name)
def test_one_in_full_says_where_it_lies_who_made_it_and_three_items(shared_data, monkeypatch, suite):
    monkeypatch.setenv(FOLDER, str(shared_data))
    text = printed(suite.name)
    flat = " ".join(text.split())
    for said in (suite.measures, suite.cite, suite.license, suite.departs):
        assert " ".join(said.split()) in flat
    assert text.count("--- item ") == 3
    whole = text.partition("--- item 1")[0].splitlines()
    assert max(map(len, whole)) <= 80


def test_general_in_full_lists_its_kinds_and_a_kind_is_shown_alone():
    text = printed("general")
    assert "items:      900 of 2,146 items, spread evenly over 15 kinds" in text
    for kind, about in KIND_MEASURES.items():
        assert re.search(rf"^  {kind} +{len(items(kind))}  {re.escape(about)}$", text, re.MULTILINE)
    assert text.count("--- item ") == 3
    alone = printed("general:reading")
    assert KIND_MEASURES["reading"] in alone
    assert alone.count("--- item ") == alone.count("chat template: ") == alone.count("without one: ") == 3
    with pytest.raises(HoldfastError, match="Did you mean 'reading'"):
        printed("general:redaing")


def test_a_part_is_shown_and_one_that_cannot_be_had_says_why(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    text = " ".join(printed("mmlu/anatomy").split())
    assert "cais/mmlu/anatomy:test" in text
    assert "No item can be shown: 'mmlu/anatomy': the suite could not be loaded from the Hugging Face hub" in text
    assert f"or put it into a folder as mmlu/test* and give {FOLDER}=FOLDER." in text


def test_a_set_is_shown_with_its_suites_and_what_each_stands_for():
    text = printed("finch")
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    for member, purpose in SETS["finch"].members.items():
        assert member in flat
        assert purpose in flat
    assert SETS["finch"].departs in flat
    assert "flores200/yor_Latn (997 items, 4 sentences)" in flat
    assert printed("finch:20") == text
    assert "Sets of suites: finch." in printed()


def test_a_suite_that_is_not_there_gets_the_nearest():
    with pytest.raises(HoldfastError, match="There is no suite 'mlu'. Did you mean 'mmlu'?"):
        printed("mlu")
    with pytest.raises(HoldfastError, match="There is no suite 'zzz'. Known: general, arc_easy, "):
        printed("zzz")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("finch:abc", "'finch:abc': behind the colon stands a number of items of each suite"),
        ("finch/part", "finch is a set of suites, which has no parts"),
        ("harness:arc_easy", "`lm-eval ls tasks` lists them"),
    ],
)
def test_what_is_wrong_with_a_name_is_said(name, why):
    """The first was shown, the second asked "Did you mean 'finch'?", the third was called no suite."""
    with pytest.raises(HoldfastError, match=why):
        printed(name)


def test_torch_is_not_imported(shared_data):
    code = (
        "import sys; from holdfast.cli.main import main; assert main(['suites']) == 0; "
        "assert main(['suites', 'winogrande']) == 0; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, FOLDER: str(shared_data)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "whom a pronoun means" in done.stdout


def test_the_page_of_the_suites_has_the_rows_of_the_registry():
    page = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")
    assert "\n".join(suites.rows()) in page
    assert f"lm-eval {LM_EVAL}" in " ".join(page.split())
