"""A worker that runs one job after another, each in its own process: `python -m holdfast.bench.compare.worker`.

It reads a job from each line of its input and answers with a line. A run that crashes ends no other run, and its peak
memory is its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from holdfast.bench.given.asked import placed
from holdfast.bench.given.loading import load_tokenizer
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.signals import Terminated
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.measured.base_cache import cached_answers, questions_digest
from holdfast.bench.measured.guard_split import NoValidationItems
from holdfast.bench.measured.measurement import asker_of, measure
from holdfast.bench.run.inputs import load_checked_model, read_data
from holdfast.bench.run.run import train
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import budget_and_guard
from holdfast.recipe import parse
from holdfast.train.trainer_view import sharing_examples

ANSWER_PREFIX = "\x1e"
"""Prefix of an answer, because libraries may write to the output too."""


def run_job(job: Mapping[str, Any], console: Console) -> None:
    """Does a job: a run, or asking the base the questions of a run.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    spec, bases = RunSpec.from_dict(job["spec"]), Path(job["bases"])
    if job["kind"] == "run":
        trained, written = (
            None if (place := job.get(name)) is None else Path(place) for name in ("trained", "written")
        )
        with sharing_examples(written):
            train(spec, console, bases=bases, trained=trained, validation=bool(job.get("validation")))
        return
    if spec.reranks:
        return  # a run of a reranker ranks with its base itself
    tokenizer = load_tokenizer(spec.model)
    budget = budget_and_guard(job["budget"])[0] if job.get("budget") else None
    data, _, _ = read_data(spec, parse(spec.recipe), tokenizer, budget)
    target = bases / f"{questions_digest(data.suites, spec.raw, spec.precision)}.jsonl"
    if target.exists():
        return
    model = placed(load_checked_model(spec, [*data.train, *data.measured_examples], console, [], frozen=True))
    with Progress(console) as progress:
        asker = asker_of(spec, tokenizer)
        cached_answers(target, lambda: measure(model, data.suites, asker, "before", progress.measuring))


def _run_logged(job: Mapping[str, Any]) -> dict[str, str]:
    """Does a job with its output in its log, and returns its error; empty without one."""
    with Path(job["log"]).open("a", encoding="utf-8", buffering=1) as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
        try:
            with quiet_libraries():
                run_job(job, Console(file=log, width=120))
        except NoValidationItems as error:
            return {"error": str(error), "kind": "no validation items"}
        except HoldfastError as error:
            return {"error": str(error), "kind": "mend"}
        except Terminated as error:
            return {"error": f"The process was {error}.", "kind": "crash"}
        except Exception as error:
            traceback.print_exc(file=log)
            return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", "kind": "crash"}
    return {}


def _run_in_fork(job: Mapping[str, Any]) -> dict[str, str]:
    """Does a job in a forked process, and returns its error; empty without one."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _die_with_parent()
        os.close(read)
        reply = _run_logged(job)
        os.write(write, json.dumps(reply).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        line = pipe.read()
    _, status = os.waitpid(child, 0)
    if line:
        answer: dict[str, str] = json.loads(line)
        return answer
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    reason = (
        "was killed, most likely because memory ran out" if number == signal.SIGKILL else f"ended by signal {number}"
    )
    return {"error": f"The process {reason if number else 'ended'}.", "kind": "crash"}


def _run_in_new_process(job: Mapping[str, Any]) -> dict[str, str]:
    """Does a job in a new process, because a fork cannot use a GPU that its parent has initialised."""
    words = [sys.executable, "-m", "holdfast.bench.compare.worker", "one"]
    result = subprocess.run(words, input=json.dumps(job) + "\n", stdout=subprocess.PIPE, text=True)
    replies = [line for line in result.stdout.split("\n") if line.startswith(ANSWER_PREFIX)]
    if not replies:
        return {"error": f"The process ended with code {result.returncode}.", "kind": "crash"}
    answer: dict[str, str] = json.loads(replies[-1].removeprefix(ANSWER_PREFIX))
    return answer


def _die_with_parent() -> None:
    """Asks Linux to kill this process when its parent ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))


def main() -> None:
    """Answers jobs until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    may_fork = hasattr(os, "fork") and not torch.cuda.is_available()
    run = _run_logged if sys.argv[1:] == ["one"] else _run_in_fork if may_fork else _run_in_new_process
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # otherwise tokenizers warns at each fork
    for line in sys.stdin:
        answers.write(ANSWER_PREFIX + json.dumps(run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
