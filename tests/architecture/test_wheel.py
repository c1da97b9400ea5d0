"""The wheel holds every file of the package and nothing else, and its metadata name the command and the extras."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILT = "src/holdfast/ground/base/log.jsonl"
"""A file of the base's building, which the package leaves out."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    room = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "src", room / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, room)
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-w", "out", "."]
    done = subprocess.run([sys.executable, "-m", "pip", *words], cwd=room, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = (room / "out").iterdir()
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_it_holds_every_file_of_the_package_and_nothing_else(wheel):
    there = {name for name in wheel.namelist() if not name.split("/")[0].endswith(".dist-info")}
    ours = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src/holdfast").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path != ROOT / BUILT
    }
    assert there == ours
    assert sum(info.file_size for info in wheel.infolist()) < 20_000_000


def test_its_metadata_name_the_extras_the_licence_and_the_command(wheel):
    (about,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = email.message_from_bytes(wheel.read(about))
    assert set(metadata.get_all("Provides-Extra")) == PROJECT["project"]["optional-dependencies"].keys()
    assert (metadata["License-Expression"], metadata["Description-Content-Type"]) == ("Apache-2.0", "text/markdown")
    (points,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "holdfast = holdfast.cli.main:main" in wheel.read(points).decode()
