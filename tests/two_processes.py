"""Runs a script on two processes (gloo), and lets such a script leave."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import torch.distributed

from tests.warm import run_warm


def run_on_two(script: Path, folder: Path) -> None:
    """Runs a script with a folder as its argument on two processes, one thread each; fails with what they wrote.

    They get the environment that torchrun gives.
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
