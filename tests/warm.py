"""Processes that are forked from one that has imported what they need: the import takes seconds each time.

Only the start differs from that of a new interpreter. Some tests start those (torchrun in
tests/rerank/test_run_two_processes.py, `finished` in test_compare.py, the workflow in test_examples.py).
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

WORKER = "holdfast.bench.compare.worker"
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([WORKER, "holdfast.rerank.attach", "tests.tiny", "tests.warm"])


class WarmWorker:
    """Has what a pool uses of `subprocess.Popen`: the pipes, the number, and how it ended.

    Args:
        env: The environment of the process.
        changes: Source that is run before the worker begins, with its module as `w`.
    """

    def __init__(self, env: Mapping[str, str], changes: str = "") -> None:
        read, to = CONTEXT.Pipe(duplex=False)
        answers, write = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_work, args=(dict(env), changes, read, write))
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


def run_warm(
    script: Path, *words: str, env: Mapping[str, str] | None = None, processes: int = 1, timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Runs a script as `python script words` would, or several of it, with what is in `env` besides the environment.

    Returns:
        The first exit code that is not 0, and what the processes wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder) / name for name in ("out", "err"))
        started: list[BaseProcess] = []
        for number in range(processes):
            given = {**os.environ, **(env or {}), "RANK": str(number), "LOCAL_RANK": str(number)}
            if processes == 1:
                del given["RANK"], given["LOCAL_RANK"]
            started.append(CONTEXT.Process(target=_run, args=(given, script, words, out, err)))
            started[-1].start()
        for process in started:
            process.join(timeout)
            if process.exitcode is None:
                process.kill()
                process.join()
        code = next((process.exitcode for process in started if process.exitcode), 0)
        return subprocess.CompletedProcess([str(script), *words], code, out.read_text(), err.read_text())


def _begin(env: Mapping[str, str]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    torch.set_num_threads(int(env["OMP_NUM_THREADS"]))
    gc.freeze()  # each run collects garbage, all that is imported included


def _run(env: Mapping[str, str], script: Path, words: Sequence[str], out: Path, err: Path) -> None:
    _begin(env)
    for path, stream in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", encoding="utf-8", closefd=False) for stream in (1, 2))
    sys.argv = [str(script), *words]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


def _work(env: Mapping[str, str], changes: str, read: Connection, write: Connection) -> None:
    import holdfast.bench.compare.worker as w

    _begin(env)
    sys.argv = [WORKER]
    os.dup2(read.fileno(), 0)
    os.dup2(write.fileno(), 1)
    read.close()
    write.close()
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    exec(changes, {"w": w})
    w.main()
