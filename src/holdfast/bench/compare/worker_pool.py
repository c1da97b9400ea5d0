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
        # macOS and Windows have no affinity.
        all_here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = max(1, all_here // self.size)
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
            member.end(kill=kind is not None, last=True)

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
    """A worker process; a job starts it, and starts it again if it has ended, until its last end."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.process: subprocess.Popen[str] | None = None
        # The thread that asks sees a killed process as one that died, and would start another for the next job.
        self._may_start = True
        self._starting = threading.Lock()

    def ask(self, job: Mapping[str, Any]) -> dict[str, str]:
        """Returns the answer to a job; an error if the process cannot start or ends."""
        try:
            process = self.start()
        except OSError as error:
            return {"error": f"No worker process can start ({error.strerror or error}).", "kind": "crash"}
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

    def end(self, *, kill: bool, last: bool = False) -> None:
        """Ends the process; with `kill`, also its current job; after the `last` end, no job starts it again."""
        with self._starting:
            process, self.process = self.process, None
            self._may_start = self._may_start and not last
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
        """Returns the process, and starts it if it does not run.

        Raises:
            OSError: The system cannot start it, or it has ended for the last time.
        """
        with self._starting:
            if self.process is not None:
                return self.process
            if not self._may_start:
                raise OSError("the comparison has ended")
            words = [sys.executable, "-m", "holdfast.bench.compare.worker"]
            # A new session: an interrupt in the terminal reaches only this process, which then ends the workers.
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env, start_new_session=True
            )
            return self.process
