"""Runs a script on two processes (gloo), and lets such a script leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch.distributed

ROOT = Path(__file__).parents[1]


def run_on_two(script: Path, folder: Path) -> None:
    """Runs a script with a folder as its argument under torchrun, one thread each; fails with what it wrote."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(script), str(folder)], capture_output=True, text=True, env=environment, cwd=ROOT, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]


def leave() -> None:
    """Ends this process when both are done; all that it made is written.

    Ending the interpreter would also end the threads of gloo, which abort now and then ("terminate called without an
    active exception").
    """
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    sys.stderr.flush()
    os._exit(0)
