"""`harness:TASK`: any task of lm-evaluation-harness as items, each asked what the task asks and scored as it scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Turn
from holdfast.probes.harness import metric_of, refuse_graded, requests_of, tasks_of
from holdfast.probes.items import Item
from holdfast.suites.registry import FOLDER

SCHEME = "harness:"
GRADED = 3
"""Documents whose right answers show whether a metric is graded."""
MOST = 256
"""Most tokens of a generated answer where the task does not say, as in lm-eval."""


def harness_items(name: str, notes: list[str]) -> Sequence[Item]:
    """Returns the items of a task of lm-eval, of a group or of a tag, asked as lm-eval asks them by default.

    Examples before the question are those of the task. Tasks are also looked for in the folder that `HOLDFAST_SUITES`
    names (YAML files). Each task is a suite of its own, called after it.

    Args:
        name: What stands behind `harness:`.
        notes: Gets a sentence for each task.

    Raises:
        HoldfastError: If lm-eval or the task cannot be had, or the task asks in a way that is not read.
    """
    folder = os.environ.get(FOLDER) or None
    items: list[Item] = []
    for task_name, task in tasks_of(name, folder).items():
        by_document = requests_of(task)
        for requests in [*by_document.values()][:GRADED]:
            if requests[0].request_type == "generate_until":
                refuse_graded(task, requests[0])
        made = [
            _item(
                task, requests, {"name": name, "task": task_name, "doc": doc, **({"folder": folder} if folder else {})}
            )
            for doc, requests in by_document.items()
        ]
        notes.append(
            f"{task_name}: {len(made):,} items of lm-eval's task, {task.config.num_fewshot or 0} examples each."
        )
        items += made
    return items


def _item(task: Any, requests: Sequence[Any], at: dict[str, Any]) -> Item:
    """Returns what a task asks of one document."""
    of: dict[str, Any] = {"id": f"{at['doc']}", "suite": at["task"], "group": f"{at['task']}/{at['doc']}", "raw": True}
    kind = requests[0].request_type
    if kind == "generate_until":
        context, how = requests[0].args
        most = int(how.get("max_gen_toks", MOST))
        until = how.get("until") or []
        stop = (until,) if isinstance(until, str) else tuple(until)
        turns = (Turn("user", context, False),)
        return Item(**of, turns=turns, check={"harness": at}, max_tokens=most, stop=stop)
    if kind == "loglikelihood" and task.OUTPUT_TYPE == "multiple_choice" and "acc" in task.aggregation():
        return Item(**of, **_choices(task, requests))
    raise HoldfastError(
        f"'harness:{at['task']}': it asks by {kind} and scores {metric_of(task)}, which is not read; tasks of choices "
        "(acc) and of generated answers are."
    )


def _choices(task: Any, requests: Sequence[Any]) -> dict[str, Any]:
    """Returns the choices of a document, the right one first: continuations of a question, or beginnings.

    Raises:
        HoldfastError: None of the choices is right, or several are; they differ before and behind; or no blank stands
            before them.
    """
    pairs = [(str(request.args[0]), str(request.args[1])) for request in requests]
    right = _only_right(task, requests)
    ordered = [pairs[right], *(pair for place, pair in enumerate(pairs) if place != right)]
    if any(context and not (context[-1].isspace() or said[:1].isspace()) for context, said in pairs):
        raise _unread(task, "its choices follow the question without a blank, where items have one")
    contexts, continuations = {context for context, _ in pairs}, {said for _, said in pairs}
    if len(contexts) == 1:
        (context,) = contexts
        turns = (Turn("user", context, False),) if context else ()
        return {"turns": turns, "choices": tuple(said for _, said in ordered)}
    if len(continuations) == 1:
        (ending,) = continuations
        return {"choices": tuple(context for context, _ in ordered), "ending": ending.strip()}
    raise HoldfastError(f"'harness:{task.config.task}': its choices differ before and behind, which is not read.")


def _only_right(task: Any, requests: Sequence[Any]) -> int:
    """Returns the place of the right choice; raises `HoldfastError` if none is right, or several are."""
    rights = [place for place in range(len(requests)) if _is_right(task, requests, place)]
    if len(rights) != 1:
        raise _unread(task, f"of the choices of a document {len(rights) or 'none'} are right, where items have one")
    return rights[0]


def _unread(task: Any, why: str) -> HoldfastError:
    return HoldfastError(
        f"'harness:{task.config.task}': {why}, so the task is not read; give `holdfast diff` samples of lm-eval"
        " instead."
    )


def _is_right(task: Any, requests: Sequence[Any], place: int) -> bool:
    """Returns whether a choice is right: whether the task is right where it is the likeliest."""
    results = [(0.0 if other == place else -1.0, False) for other in range(len(requests))]
    return float(task.process_results(requests[0].doc, results)["acc"]) == 1.0
