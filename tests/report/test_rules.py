"""The page of plan has the rules and lints as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.bench.plan.check.lints import LINTS
from holdfast.bench.plan.rules.table import RULES
from holdfast.report.rules import filled, lint_lines, rule_lines

PAGE = Path(__file__).parents[2] / "docs/plan.md"


def test_the_page_is_up_to_date():
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text) == text, "run `make docs`"


def test_every_rule_and_lint_is_on_it():
    assert len(list(rule_lines())) == len(RULES) + 2
    assert len(list(lint_lines())) == len(LINTS) + 2
    assert all(line.count("|") >= 5 for line in rule_lines())


def test_a_page_without_a_place_is_an_error():
    with pytest.raises(ValueError, match="no place for the rules"):
        filled("# Plan\n")
