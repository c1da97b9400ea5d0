"""A pool of worker processes that run jobs for this process, which prints the progress."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch

from holdfast.bench.compare.worker import ANSWER_PREFIX

Key = TypeVar("Key")


@contextlib.contextmanager
def exiting_on_signal() -> Iterator[None]:
    """Exits on SIGTERM and SIGHUP inside the context, so that the workers end too, as on an interrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: Any) -> None:
        name = signal.Signals(number).name
        os.write(2, f"holdfast: stopped by {name}; give the same command again to continue.\n".encode())
        raise SystemExit(128 + number)

    signals = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    held = {number: signal.signal(number, end) for number in signals}
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)


class WorkerPool:
    """Worker processes, each with its share of the processors, and with one GPU if there are several.

    Args:
        size: Number of workers.
        threads: Number of threads of each; its share of the processors by default.
    """

    def __init__(self, size: int, threads: int | None = None) -> None:
        self.size, self.threads = size, threads
        self.members: list[_Worker] = []

    def __enter__(self) -> WorkerPool:
        share = max(1, len(os.sched_getaffinity(0)) // self.size) if hasattr(os, "sched_getaffinity") else 1
        named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        gpus = named or [str(number) for number in range(torch.cuda.device_count())]
        for number in range(self.size):
            env = {"OMP_NUM_THREADS": str(self.threads or share), **os.environ}
            if len(gpus) > 1:
                env["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            self.members.append(_Worker(env))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for member in self.members:
            member.end(kill=kind is not None)

    def first(self, job: Mapping[str, Any]) -> dict[str, str]:
        """Returns the answer of the first worker to a job; the others start meanwhile, as imports take seconds."""
        for member in self.members:
            member.start()
        return self.members[0].ask(job)

    def all(self, jobs: Sequence[tuple[Key, Mapping[str, Any]]]) -> Iterator[tuple[Key, dict[str, str], float]]:
        """Yields the key of each job, the answer and the seconds that it took, in the order of completion."""
        waiting: queue.SimpleQueue[tuple[Key, Mapping[str, Any]]] = queue.SimpleQueue()
        results: queue.SimpleQueue[tuple[Key, dict[str, str], float]] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)

        def work(member: _Worker) -> None:
            with contextlib.suppress(queue.Empty):
                while True:
                    name, job = waiting.get_nowait()
                    started = time.monotonic()
                    reply = member.ask(job)
                    results.put((name, reply, time.monotonic() - started))

        for member in self.members:
            threading.Thread(target=work, args=(member,), daemon=True).start()
        for _ in jobs:
            yield results.get()


class _Worker:
    """A worker process; a job starts it, and starts it again if it has ended."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.process: subprocess.Popen[str] | None = None

    def ask(self, job: Mapping[str, Any]) -> dict[str, str]:
        """Returns the answer to a job."""
        process = self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = next((line for line in process.stdout if line.startswith(ANSWER_PREFIX)), "")
        except OSError:
            line = ""
        if not line:
            self.end(kill=True)
            return {"error": f"The worker process ended (exit code {process.poll()}).", "kind": "crash"}
        answer: dict[str, str] = json.loads(line.removeprefix(ANSWER_PREFIX))
        return answer

    def end(self, *, kill: bool) -> None:
        """Ends the process; with `kill`, also its current job."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if kill:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def start(self) -> subprocess.Popen[str]:
        """Returns the process, and starts it if it does not run."""
        if self.process is not None:
            return self.process
        words = [sys.executable, "-m", "holdfast.bench.compare.worker"]
        # A new session, so that an interrupt in the terminal reaches only this process, which then ends the workers.
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env, start_new_session=True
        )
        return self.process
