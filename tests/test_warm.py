"""What a script that is forked leaves: what it wrote, and how it ended, also if it did not end."""

from __future__ import annotations

import signal

import pytest

from tests.warm import run_warm

SCRIPT = """
import os, sys, time
print("said", sys.argv[1:], os.environ.get("RANK"))
print("warned", file=sys.stderr)
if sys.argv[1] == "hang" and os.environ.get("RANK") != "0":
    time.sleep(600)
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path / "script.py"


@pytest.mark.parametrize("code", [0, 3])
def test_it_ends_with_the_code_of_the_script_and_what_it_wrote(script, code):
    done = run_warm(script, "go", str(code), env={"OMP_NUM_THREADS": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (code, f"said ['go', '{code}'] None\n", "warned\n")


@pytest.mark.parametrize("processes", [1, 2])
def test_one_that_hangs_is_ended_and_is_no_success(script, processes):
    done = run_warm(script, "hang", "0", env={"OMP_NUM_THREADS": "1"}, processes=processes, timeout=2)
    assert done.returncode == -signal.SIGKILL
