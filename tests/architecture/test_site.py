"""The site builds strictly: every page of its menu exists, and so does what links and references lead to."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed")
def test_the_site_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "start" / "index.html").read_text(encoding="utf-8")
    assert "../examples/real.py" not in page
    assert "examples/real.py trains any model" in page  # a link in the repository


def test_every_page_of_docs_itself_stands_in_the_menu():
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]

    def pages(entry):
        if isinstance(entry, str):
            return {entry}
        return set().union(*(pages(part) for part in (entry.values() if isinstance(entry, dict) else entry)))

    assert {path.name for path in (ROOT / "docs").glob("*.md")} - pages(menu) == set()
