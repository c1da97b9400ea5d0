"""Workers as a pool starts them, but forked from a process that has imported them: the import takes seconds each time.

What differs from `python -m holdfast.bench.compare.worker` is only the start. `finished` in test_compare.py starts the
real ones.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection

import torch

WORKER = "holdfast.bench.compare.worker"
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([WORKER, "tests.bench.warm"])


class WarmWorker:
    """Has what a pool uses of `subprocess.Popen`: the pipes, the number, and how it ended.

    Args:
        env: The environment of the process.
        changes: Source that is run before the worker begins, with its module as `w`.
    """

    def __init__(self, env: Mapping[str, str], changes: str = "") -> None:
        read, to = CONTEXT.Pipe(duplex=False)
        answers, write = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_run, args=(dict(env), changes, read, write))
        self._process.start()
        self.pid = self._process.pid
        self.stdin = os.fdopen(os.dup(to.fileno()), "w", encoding="utf-8")
        self.stdout = os.fdopen(os.dup(answers.fileno()), encoding="utf-8")
        for end in (read, to, answers, write):
            end.close()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode


def _run(env: Mapping[str, str], changes: str, read: Connection, write: Connection) -> None:
    import holdfast.bench.compare.worker as w

    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    torch.set_num_threads(int(env["OMP_NUM_THREADS"]))
    sys.argv = [WORKER]
    os.dup2(read.fileno(), 0)
    os.dup2(write.fileno(), 1)
    read.close()
    write.close()
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    gc.freeze()  # each run collects garbage, all that is imported included
    exec(changes, {"w": w})
    w.main()
