"""A study can be run from beginning to end, small, and what the documents say of one is what its rows say."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.ground.names import items

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "docs/studies"


@pytest.fixture
def study(monkeypatch):
    """The module that runs studies, asking next to nothing, on one thread."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = importlib.import_module("study")
    for name, value in {"PROVED": 3, "TESTED": 8}.items():
        monkeypatch.setattr(found, name, value)
    found.asked.cache_clear()
    yield found
    found.asked.cache_clear()


def said(monkeypatch, name, *words):
    """Runs a study's script in this process."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    script = importlib.import_module(name)
    monkeypatch.setattr(script, "STUDY", dataclasses.replace(script.STUDY, watched=min(2, script.STUDY.watched)))
    if hasattr(script, "prove"):
        monkeypatch.setattr(script, "items", lambda source: items(source)[::300])
    commands = {word: getattr(script, word) for word in ("prove", "report") if hasattr(script, word)}
    assert script.study.main(script.STUDY, script.__doc__, **commands) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe", "more"),
    [("effect", "WiSEFT 0.9", ()), ("held", "lora", ("prove",)), ("screen", "WSD", ()), ("ground", "held", ())],
)
def test_a_study_runs_and_writes_its_tables(name, recipe, more, study, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    small = ["--tasks", "labels", "--rates", 5e-4, "--recipes", "plain", recipe, "--epochs", 0.05, "--workers", 1]
    said(monkeypatch, name, "run", "--write", "rows", *small)
    rows = [json.loads(line) for line in (tmp_path / f"rows/{name}.jsonl").read_text().splitlines()]
    made = [row for row in rows if row["recipe"] != "base"]
    assert [row["recipe"] for row in made] == ["plain", recipe]
    assert [row["dose"] for row in made] == [5e-4, 5e-4]
    assert made[1]["rate"] == 5e-4 * (5 if recipe == "lora" else 1)
    before = (tmp_path / f"rows/{name}.jsonl").read_bytes()
    said(monkeypatch, name, "run", "--write", "rows", *small)
    assert (tmp_path / f"rows/{name}.jsonl").read_bytes() == before, "a run that has a row was made again"
    for word in (*more, "report"):
        said(monkeypatch, name, word, "--write", "rows", *small)
    table = (tmp_path / f"rows/{name}-tables.md").read_text()
    assert recipe.split()[0] in table
    assert "labels" in table


@pytest.mark.parametrize("place", ["held", "held-1/held", "screen", "ground", "ground-1/ground"])
def test_tables_are_those_of_the_committed_rows(place, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    folder, name = (STUDIES / place).parent, Path(place).name
    script, tables = importlib.import_module(name), importlib.import_module("tables")
    more = ({*script.SUMS, *script.MORE},) if name == "screen" else ()
    text = getattr(tables, name)(script.STUDY.rows(folder), script.STUDY, *more)
    assert text == (folder / f"{name}-tables.md").read_text(), f"run benchmarks/{name}.py report"


@pytest.mark.slow
def test_tables_in_the_documents_are_those_of_the_committed_rows(tmp_path):
    rows = tmp_path / "docs/studies/effect.jsonl"
    rows.parent.mkdir(parents=True)
    shutil.copy(STUDIES / "effect.jsonl", rows)
    shutil.copy(ROOT / "docs/which-method.md", tmp_path / "docs")
    script = [sys.executable, str(ROOT / "benchmarks/effect.py"), "report"]
    subprocess.run(
        script, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    for name in ("docs/which-method.md", "docs/studies/effect-tables.md"):
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name}: run benchmarks/effect.py report"
