"""Tasks of lm-evaluation-harness: loading one, and scoring an answer as the task itself scores it."""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib.util
import logging
import math
from collections.abc import Mapping
from typing import Any

from holdfast.core.errors import HoldfastError, nearest

FEWSHOT_SEED = 1234
"""The seed of the examples before a question where lm-eval is not told another."""
PREFERRED = ("flexible-extract",)
"""Filters of answers that are taken where a task has several, else its first."""


@functools.lru_cache(maxsize=32)
def tasks_of(name: str, folder: str | None = None) -> Mapping[str, Any]:
    """Returns the tasks that a name of lm-eval stands for, with what each asks: one, or those of a group or tag.

    Args:
        name: The name of a task, a group or a tag.
        folder: A folder with YAML files of further tasks.

    Raises:
        HoldfastError: If lm-eval is not installed, has no task of that name, or cannot load its data.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise HoldfastError(
            f"'harness:{name}': lm-evaluation-harness is not installed; pip install 'holdfast[harness]'."
        )
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = TaskManager(include_path=folder)
    if name not in manager.all_tasks:
        raise HoldfastError(f"'harness:{name}': lm-eval has no task of that name.{nearest(name, manager.all_tasks)}")
    try:
        tasks: Mapping[str, Any] = manager.load(name)["tasks"]
        for task in tasks.values():
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
            task.build_all_requests()
    except Exception as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise HoldfastError(f"'harness:{name}': the data of the task cannot be loaded ({reason}).") from error
    return tasks


def requests_of(task: Any) -> dict[int, list[Any]]:
    """Returns what a task asks of each document, by the document's number."""
    by_document: dict[int, list[Any]] = {}
    for request in task.instances:
        by_document.setdefault(request.doc_id, []).append(request)
    return {number: sorted(requests, key=lambda request: request.idx) for number, requests in by_document.items()}


def metric_of(task: Any) -> str:
    """Returns the metric by which an answer that is generated is right or wrong: the first of the task."""
    return str(next(iter(task.aggregation())))


def is_right(answer: str, wanted: Mapping[str, Any]) -> bool:
    """Returns whether a task of lm-eval scores an answer to one of its documents with 1.

    Args:
        answer: The answer.
        wanted: `name` (the name under which the task was loaded), `folder` (where its YAML lies, if anywhere), `task`
            and `doc`, the number of the document.

    Raises:
        HoldfastError: If the metric is graded, so that an answer is neither right nor wrong.
    """
    task = tasks_of(wanted["name"], wanted.get("folder"))[wanted["task"]]
    (request,) = _requests(task)[wanted["doc"]]
    value = _value(task, request, answer)
    if value not in (0.0, 1.0):
        raise _graded(task)
    return value == 1.0


def refuse_graded(task: Any, request: Any) -> None:
    """Refuses a task whose metric gives a part of the right answer something between 0 and 1, before anything is asked.

    Args:
        task: The task.
        request: What it asks of one document.

    Raises:
        HoldfastError: If the metric is graded.
    """
    answers, values = [""], set[float]()
    # A task may have no target, or be unable to score what is no whole answer; of its metric that says nothing.
    with contextlib.suppress(Exception):
        target = task.doc_to_target(request.doc)
        right = str(target[0] if isinstance(target, list) and target else target)
        words = right.split()
        answers += [right, " ".join(words[: (len(words) + 1) // 2]), f"{right} {right}"]
    for answer in answers:
        with contextlib.suppress(Exception):
            values.add(_value(task, request, answer))
    if values - {0.0, 1.0}:
        raise _graded(task)


def _graded(task: Any) -> HoldfastError:
    return HoldfastError(
        f"'harness:{task.config.task}': its metric {metric_of(task)} is graded, which is not read; tasks whose answers"
        " are right or wrong are."
    )


def _value(task: Any, request: Any, answer: str) -> float:
    """Returns what the metric of a task gives an answer, after the task's filters; NaN if it has none."""
    request = copy.copy(request)
    request.resps, request.filtered_resps = [answer], {}
    for one in task._filters:
        one.apply([request])
    kept = request.filtered_resps
    name = next((name for name in PREFERRED if name in kept), next(iter(kept)))
    value = task.process_results(request.doc, [kept[name]])[metric_of(task)]
    return math.nan if isinstance(value, (tuple, list)) else float(value)  # BLEU is one number of all answers


@functools.lru_cache(maxsize=32)
def _requests(task: Any) -> dict[int, list[Any]]:
    return requests_of(task)
