"""Runs a script on two processes (gloo), and lets such a script leave."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch.distributed

from tests.warm import run_warm

ROOT = Path(__file__).parents[1]


def run_under_torchrun(script: Path, folder: Path) -> None:
    """Runs a script with a folder as its argument as `torchrun --nproc_per_node=2` does; fails with what it wrote."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(script), str(folder)], capture_output=True, text=True, env=environment, cwd=ROOT, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]


def run_on_two(script: Path, folder: Path) -> None:
    """Runs a script with a folder as its argument on two processes, one thread each; fails with what they wrote.

    They get the environment that torchrun gives, and start sooner (see `tests.warm`).
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    done = run_warm(script, str(folder), env={**shared, "OMP_NUM_THREADS": "1"}, processes=2, timeout=600)
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
