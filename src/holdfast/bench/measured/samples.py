"""Samples as lm-eval logs them (`--log_samples`): which file counts, which filter a line is of, and its metric.

A folder of lm-eval holds, for each model, `samples_<task>_<date>.jsonl` and `results_<date>.json`. Up to version 0.4.6
a task with several filters logs each document once per filter and names none: the n-th line of a document is of the
n-th filter. Numbers of documents (`doc_id`) are places in a data set, which may have been shuffled or changed between
two runs; what a document is, its hash says.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError

LOWER_IS_BETTER = re.compile(r"perplexity|bits_per_byte|loss|nll|ter$|wer$|cer$|brier|stereotype|likelihood_diff")
"""Metrics of lm-eval of which less is better (or none is best); they have no points and are not taken."""
_DATE = re.compile(r"_(\d{4}-\d{2}-\d{2}T[\d.\-:]+)$")
_NOT_METRICS = ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics")
_USUAL = ("exact_match", "acc", "acc_norm", "em", "f1")
SETTINGS = {
    "few_shot": "few-shot examples",
    "chat_template": "chat template",
    "system": "system message",
    "version": "version of the task",
}
"""What results_*.json says of how a task was asked, and its name in words."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One line of lm-eval.

    Attributes:
        where: File and line.
        task: Name of the task.
        filter: Name of the filter, "none", or "" where the file names none.
        turn: Which of the document's lines this is, from 0, among those of one filter where filters are named.
        number: Its `doc_id`.
        document: Digest of the document: its `doc_hash`, or one of `doc`; "" where neither says anything.
        prompt: Digest of what was asked; "" if unknown.
        target: Digest of what is right; "" if unknown.
        metrics: Numbers (and truth values, as 0 and 1) by name, in their order.
        named: Whether the file itself lists the metrics.
        settings: How the task was asked, as far as results_*.json says (the keys of `SETTINGS`).
        better: Of each metric, whether more is better, as far as results_*.json says.
        asked: The prompt.
        said: The answer.
        right: The right answer.
        choices: How many choices the answer was picked from, 0 if it was written; None if the line does not say.
    """

    where: str
    task: str
    filter: str
    turn: int
    number: str
    document: str
    prompt: str
    target: str
    metrics: Mapping[str, float]
    named: bool
    settings: Mapping[str, Any]
    better: Mapping[str, bool]
    asked: str
    said: str
    right: str
    choices: int | None


def sample_files(folder: Path) -> list[Path]:
    """Returns the files of samples below a folder, of all dates."""
    return sorted([*folder.glob("**/samples_*.jsonl"), *folder.glob("**/samples_*.jsonl.gz")])


def newest_files(files: Sequence[Path], notes: list[str]) -> list[Path]:
    """Returns of each task in each folder the file with the newest date; says what is left out.

    Raises:
        HoldfastError: One task has samples of several models.
    """
    by_task: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        by_task.setdefault((file.parent, task_of(file)), []).append(file)
    found = [max(several, key=date_of) for several in by_task.values()]
    for (_, task), several in by_task.items():
        if len(several) > 1:
            kept = max(several, key=date_of)
            notes.append(f"{task}: the newest of {len(several)} runs is taken ({kept.name}).")
    folders: dict[str, list[Path]] = {}
    for folder, task in by_task:
        folders.setdefault(task, []).append(folder)
    for task, own in folders.items():
        if len(own) > 1:
            raise HoldfastError(
                f"{own[0].parent} holds samples of {task} in {len(own)} folders ({', '.join(one.name for one in own)});"
                " give the folder of one model."
            )
    if len(models := sorted({folder.name for folder, _ in by_task})) > 1:
        notes.append(
            f"The samples lie in {len(models)} folders and are read as those of one model: {', '.join(models)}."
        )
    return sorted(found)


def task_of(file: Path) -> str:
    """Returns the task that a file of samples is of."""
    return _DATE.sub("", _stem(file)).removeprefix("samples_")


def date_of(file: Path) -> str:
    """Returns the date in the name of a file; "" if there is none."""
    found = _DATE.search(_stem(file))
    return found[1] if found else ""


def samples_of(records: Iterable[tuple[str, Mapping[str, Any]]], file: Path) -> list[Sample]:
    """Returns the samples among the lines of one file.

    Args:
        records: Place (file and line) and content of each line.
        file: The file.

    Raises:
        HoldfastError: The same line twice of a named filter, or not every document once for each filter.
    """
    found: list[Sample] = []
    seen: dict[tuple[str, str], list[str]] = {}
    about, better = _results_beside(file)
    for where, record in records:
        named, number = str(record.get("filter", "")), str(record["doc_id"])
        places = seen.setdefault((named, number), [])
        if places and named:
            raise HoldfastError(
                f"{where}: {_suite(task_of(file), named)}/{number} is at {places[0]} too; keep one of them."
            )
        listed = record.get("metrics")
        found.append(
            Sample(
                where=where,
                task=task_of(file),
                filter=named,
                turn=len(places),
                number=number,
                document=_document(record),
                prompt=str(record.get("prompt_hash") or ""),
                target=str(record.get("target_hash") or ""),
                metrics=_metrics(record),
                named=isinstance(listed, list) and bool(listed),
                settings=about,
                better=better,
                asked=_prompt(record.get("arguments")),
                said=_answer(record),
                right=str(record.get("target", "")),
                choices=_choices(record),
            )
        )
        places.append(where)
    _check_line_counts({number: places for (named, number), places in seen.items() if not named})
    return found


def _check_line_counts(unnamed: Mapping[str, Sequence[str]]) -> None:
    """Refuses lines without a filter's name if not every document has as many of them."""
    counts = {len(places) for places in unnamed.values()}
    if len(counts) > 1:
        usual = max(counts, key=[len(places) for places in unnamed.values()].count)
        number, places = next((number, places) for number, places in unnamed.items() if len(places) != usual)
        again = f" (there already: {places[0]})" if len(places) > 1 else ""
        raise HoldfastError(
            f"{places[-1]}: doc_id {number} has {len(places)} lines, and most have {usual}{again}; without a 'filter'"
            " the n-th line of a document is of the n-th filter, so give each as many, or one run's file alone."
        )


def name_filters(sides: Sequence[Sequence[Sample]]) -> list[list[Sample]]:
    """Returns the samples of both sides, each with the name of its filter.

    Lines without one get the names, in their order, that the other side has for as many filters of that task; else
    "none" where there is one filter, and "filter 1", "filter 2" ... where there are several.
    """
    orders = [_orders(side) for side in sides]
    named: list[list[Sample]] = []
    for i, side in enumerate(sides):
        other = orders[1 - i] if len(sides) == 2 else {}
        turns = {task: 1 + max(s.turn for s in side if s.task == task) for task in {s.task for s in side}}
        names: dict[str, list[str]] = {}
        for task, count in turns.items():
            theirs = other.get(task, [])
            own = ["none"] if count == 1 else [f"filter {n + 1}" for n in range(count)]
            names[task] = theirs if len(theirs) == count else own
        named.append([s if s.filter else dataclasses.replace(s, filter=names[s.task][s.turn]) for s in side])
    return named


def _orders(side: Sequence[Sample]) -> dict[str, list[str]]:
    """Returns the named filters of each task in the order in which they first come."""
    found: dict[str, list[str]] = {}
    for sample in side:
        if sample.filter and sample.filter not in (own := found.setdefault(sample.task, [])):
            own.append(sample.filter)
    return found


def suite_of(sample: Sample) -> str:
    """Returns the name of the suite that a sample is of: its task, and its filter if it has one."""
    return _suite(sample.task, sample.filter)


def _suite(task: str, named: str) -> str:
    return task if named in ("none", "") else f"{task} ({named})"


def metric_of(sides: Sequence[Sequence[Sample]]) -> tuple[str, str]:
    """Returns the metric by which the samples of one suite are scored on all sides; "" where there is none.

    It is the first, in the order of the first side, of which more is better and which every line has from 0 to 1. The
    second word says why there is none, or, if an earlier one is passed over, why.
    """
    samples = [sample for side in sides for sample in side]
    skipped, why = "", ""
    for name in _in_order(sides[0][0]):
        if LOWER_IS_BETTER.search(name) or samples[0].better.get(name.partition(",")[0]) is False:
            why = why or f"{samples[0].where}: no metric from 0 to 1 ({name}: less is better)"
            continue
        off = next((sample for sample in samples if not 0 <= sample.metrics.get(name, -1.0) <= 1), None)
        if off is None:
            return name, skipped
        value = off.metrics.get(name)
        said = f"{name}: {value:g}" if value is not None else f"{name} is missing"
        why = why if skipped else f"{off.where}: no metric from 0 to 1 ({said})"
        skipped = skipped or f"{said} in {off.where}"
    return "", why or f"{samples[0].where}: no metric from 0 to 1"


def _in_order(sample: Sample) -> list[str]:
    """Returns the metrics of a sample: as its file lists them, or the usual ones first."""
    names = list(sample.metrics)
    if sample.named:
        return names
    return [*(name for name in _USUAL if name in names), *(name for name in names if name not in _USUAL)]


def _metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers of a line by name; those of nested ones as `outer.inner`."""
    listed = record.get("metrics")
    if isinstance(listed, Mapping):
        return _metrics({**listed, "metrics": list(listed)})
    if isinstance(listed, list) and listed:
        names = [str(name) for name in listed]
    else:
        names = [n for n in record if n not in _NOT_METRICS and not n.endswith("_hash")]
    found: dict[str, float] = {}
    for name in names:
        value = record.get(name)
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        for below, number in inner:
            if isinstance(number, (bool, int, float)):
                found[f"{name}.{below}" if below else name] = float(number)
    return found


def _document(record: Mapping[str, Any]) -> str:
    if told := record.get("doc_hash"):
        return str(told)
    doc = record.get("doc")
    if not doc:
        return ""
    return hashlib.sha256(json.dumps(doc, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _answer(record: Mapping[str, Any]) -> str:
    given = record.get("filtered_resps", record.get("resps", ""))
    return str(given[0] if isinstance(given, list) and len(given) == 1 else given)


def _prompt(arguments: Any) -> str:
    """Returns the prompt of a sample, in either way that lm-eval has written it."""
    if isinstance(arguments, Mapping):
        arguments = [list(value.values()) for value in arguments.values() if isinstance(value, Mapping)]
    first = arguments[0] if isinstance(arguments, list) and arguments else ""
    return str(first[0]) if isinstance(first, list) and first else ""


def _results_beside(file: Path) -> tuple[dict[str, Any], dict[str, bool]]:
    """Returns how a file's task was asked, and of which metrics more is better, from the results beside it.

    Those of the same date count; where the file's name has no date or none fits, nothing is said.
    """
    beside = file.with_name(f"results_{date_of(file)}.json")
    try:
        told = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}, {}
    if not isinstance(told, dict):
        return {}, {}
    task = task_of(file)
    settings: dict[str, Any] = {}
    shots = _nested(told, "n-shot").get(task, _nested(told, "configs", task).get("num_fewshot"))
    if shots is not None:
        settings["few_shot"] = shots
    if (version := _nested(told, "versions").get(task)) is not None:
        settings["version"] = version
    for name, keys in (
        ("chat_template", ("chat_template_sha", "chat_template")),
        ("system", ("system_instruction_sha", "system_instruction")),
    ):
        if any(key in told for key in keys):
            settings[name] = next((told[key] for key in keys if told.get(key)), None)
    better = {name: good for name, good in _nested(told, "higher_is_better", task).items() if isinstance(good, bool)}
    return settings, better


def _nested(told: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found: Any = told
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".jsonl")


def _choices(record: Mapping[str, Any]) -> int | None:
    """Returns how many choices a sample's answer was picked from, 0 if it was written; None if its form does not say.

    lm-eval logs one response for each choice, a likelihood and whether it is what the model would have said, and for
    what is written a text.
    """
    given = record.get("resps")
    one = given[0] if isinstance(given, list) and given else None
    while isinstance(one, list) and len(one) == 1:
        one = one[0]
    if isinstance(one, str):
        return 0
    several = isinstance(given, list) and len(given) > 1 and isinstance(one, list) and len(one) == 2
    return len(given) if several and isinstance(given, list) else None
