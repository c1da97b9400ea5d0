"""Writes the table of rules into a page: `python -m holdfast.report.rules docs/plan.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.machine.files import write_atomically
from holdfast.bench.plan.check.lints import LINTS
from holdfast.bench.plan.evidence import TOPICS, Figure, Rule
from holdfast.bench.plan.ranking.ranking_rules import RANKING_RULES
from holdfast.bench.plan.rules.table import RULES

BEGIN, END = "<!-- {}: -->", "<!-- end -->"


def rule_lines(rules: Sequence[Rule[Any]] = RULES) -> Iterator[str]:
    """Yields the table of rules of a plan."""
    yield "| topic | when | advice | evidence | what else is known |"
    yield "|---|---|---|---|---|"
    for rule in sorted(rules, key=lambda rule: TOPICS.index(rule.topic)):
        known = f"{rule.standing}: {rule.because}" if rule.because else rule.standing
        advice = rule.advice.replace("{value}", "VALUE")
        evidence = f"{rule.evidence}: {rule.source}"
        yield f"| {rule.topic} | {rule.when} | {advice} | {evidence} | {known}{_figures(rule.figures)} |"


def lint_lines() -> Iterator[str]:
    """Yields the table of all settings that a check knows."""
    yield "| setting | change | evidence | by how much |"
    yield "|---|---|---|---|"
    for lint in LINTS:
        yield (
            f"| {lint.name} | {lint.change} | {lint.evidence}: {lint.source} |"
            f" {lint.because}{_figures(lint.figures) if lint.because else _figures(lint.figures).lstrip('; ')} |"
        )


def _figures(figures: tuple[Figure, ...]) -> str:
    return "".join(f"; {figure.words()}" for figure in figures)


def filled(text: str) -> str:
    """Returns a page with the tables between its marks; raises `ValueError` if a mark is missing."""
    for name, lines in (("rules", rule_lines()), ("ranking rules", rule_lines(RANKING_RULES)), ("lints", lint_lines())):
        before, begin, rest = text.partition(BEGIN.format(name) + "\n")
        _, end, after = rest.partition(END)
        if not (begin and end):
            raise ValueError(f"the page has no place for the {name}")
        text = before + begin + "\n".join(lines) + "\n" + end + after
    return text


if __name__ == "__main__":
    page = Path(sys.argv[1])
    write_atomically(page, filled(page.read_text(encoding="utf-8")))
