"""What the documents say of the effect study is what its rows say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN = ("docs/which-method.md", "docs/studies/effect-tables.md")


@pytest.mark.slow
def test_tables_in_the_documents_are_those_of_the_committed_rows(tmp_path):
    rows = tmp_path / "docs/studies/effect.jsonl"
    rows.parent.mkdir(parents=True)
    shutil.copy(ROOT / "docs/studies/effect.jsonl", rows)
    shutil.copy(ROOT / WRITTEN[0], tmp_path / WRITTEN[0])
    script = [sys.executable, str(ROOT / "benchmarks/effect.py"), "report", "--out", str(tmp_path / "runs")]
    subprocess.run(
        script, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert rows.read_text() == (ROOT / "docs/studies/effect.jsonl").read_text()
    for name in WRITTEN:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name}: run benchmarks/effect.py report"
