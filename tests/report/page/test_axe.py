"""axe-core on every kind of page, in light and dark, wide and narrow.

It runs where axe-core is found: `npm install --no-save axe-core@4.14.1` in the repository, or AXE_CORE=PATH/axe.min.js.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.bench.diff.diff import diff
from holdfast.bench.given.specs import DiffSpec, ReportSpec
from holdfast.report.page.making import write_page
from tests.bench.comparison import comparison
from tests.report.page import chromium
from tests.report.page.hostile import hostile_run
from tests.report.page.made import finished, fit, healing, reranker

AXE = Path(os.environ.get("AXE_CORE", Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"))
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
LOOKS = (("light", 1280), ("dark", 400))

pytestmark = [
    pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(not AXE.exists(), reason="no axe-core is installed"),
]


def difference(folder):
    """A diff of the saved answers of a healing."""
    answers = healing(folder) / "answers"
    sides = {"base": str(answers / "base-test.jsonl"), "tuned": str(answers / "healed-test.jsonl")}
    diff(DiffSpec(**sides, out=str(folder / "diff")), Console(quiet=True))
    return folder / "diff"


PAGES = {
    "run": finished, "reranker": reranker, "hostile": hostile_run, "comparison": comparison, "diff": difference,
    "healing": healing, "fit": fit,
}  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = chromium.Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize("kind", PAGES)
def test_axe_finds_no_violation(browser, tmp_path, kind):
    path = write_page(ReportSpec(runs=(str(PAGES[kind](tmp_path / "folder")),)), tmp_path / "page.html")
    for scheme, width in LOOKS:
        browser.look(scheme=scheme, width=width)
        browser.open(path)
        browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        browser.value(f"{AXE.read_text(encoding='utf-8')}; 0")
        found = browser.promised(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}})", "violations")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], (scheme, width)
