"""A run's folder is written by one process at a time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.lock import folder_lock
from holdfast.bench.run.run import train
from holdfast.core.errors import HoldfastError

HOLD = """
import sys, time
from pathlib import Path
from holdfast.bench.run.lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(HoldfastError, match="is in use by another process; wait for it"):
            train(RunSpec(model="none", data="none.jsonl", recipe="Train()", out=str(tmp_path), name="run"))
        with folder_lock(tmp_path / "another"):
            pass
    finally:
        first.kill()
        first.wait()
    with folder_lock(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_other_processes_of_a_distributed_run_are_let_in(tmp_path, monkeypatch):
    with folder_lock(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with folder_lock(tmp_path):
            pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(HoldfastError), folder_lock(tmp_path):
            pass
