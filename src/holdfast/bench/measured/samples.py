"""Samples as lm-eval logs them (`--log_samples`): the files to read, and the filter and metric of each line.

For each model, lm-eval writes `samples_<task>_<date>.jsonl` and `results_<date>.json` into a folder. Up to version
0.4.6, a task with several filters logs each document once per filter without the filter's name: the n-th line of a
document belongs to the n-th filter. A `doc_id` is a position in a data set, which may be shuffled or changed between
two runs; only the hash identifies a document.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError

LOWER_IS_BETTER = re.compile(r"perplexity|bits_per_byte|loss|nll|ter$|wer$|cer$|brier|stereotype|likelihood_diff")
"""Metrics of lm-eval for which lower is better, or no value is best; they do not count in points and are skipped."""
_DATE = re.compile(r"_(\d{4}-\d{2}-\d{2}T[\d.\-:]+)$")
_NOT_METRICS = ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics")
_USUAL = ("exact_match", "acc", "acc_norm", "em", "f1")
SETTINGS = {
    "few_shot": "few-shot examples",
    "chat_template": "chat template",
    "system": "system message",
    "version": "version of the task",
}
"""Settings of a task that results_*.json records, and their names in messages."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One line of lm-eval.

    Attributes:
        where: File and line.
        task: Name of the task.
        filter: Name of the filter, "none", or "" if the file names no filter.
        turn: Index of this line among the lines of its document (and of its filter, if the file names filters).
        number: Its `doc_id`.
        document: Digest of the document: its `doc_hash`, or one of `doc`; "" if the line has neither.
        prompt: Digest of the prompt; "" if unknown.
        target: Digest of the right answer; "" if unknown.
        metrics: Numbers (and truth values, as 0 and 1) by name, in their order.
        named: Whether the file itself lists the metrics.
        settings: Settings of the task that results_*.json records (the keys of `SETTINGS`).
        better: For each metric that results_*.json lists, whether higher is better.
        asked: The prompt.
        said: The answer.
        right: The right answer.
        choices: Number of choices; 0 if the model wrote the answer; None if unknown.
        probabilities: Probabilities of the choices, the right one first; empty if the line does not show them all, or
            which one is right.
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
    probabilities: tuple[float, ...] = ()


def sample_files(folder: Path) -> list[Path]:
    """Returns all files of samples below a folder."""
    return sorted([*folder.glob("**/samples_*.jsonl"), *folder.glob("**/samples_*.jsonl.gz")])


def newest_files(files: Sequence[Path], notes: list[str]) -> list[Path]:
    """Returns the newest file of each task in each folder; adds a note for each task with older files.

    Raises:
        HoldfastError: A task has samples of several models.
    """
    by_task: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        by_task.setdefault((file.parent, task_of(file)), []).append(file)
    newest = [max(several, key=date_of) for several in by_task.values()]
    for (_, task), several in by_task.items():
        if len(several) > 1:
            kept = max(several, key=date_of)
            notes.append(f"{task}: has {len(several)} runs; the newest counts ({kept.name}).")
    folders: dict[str, list[Path]] = {}
    for folder, task in by_task:
        folders.setdefault(task, []).append(folder)
    for task, task_folders in folders.items():
        if len(task_folders) > 1:
            raise HoldfastError(
                f"{task_folders[0].parent} holds samples of {task} in {len(task_folders)} folders ("
                f"{', '.join(folder.name for folder in task_folders)});"
                " give the folder of one model."
            )
    if len(models := sorted({folder.name for folder, _ in by_task})) > 1:
        notes.append(f"The samples lie in {len(models)} folders and count as those of one model: {', '.join(models)}.")
    return sorted(newest)


def task_of(file: Path) -> str:
    """Returns the task of a file of samples."""
    return _DATE.sub("", _stem(file)).removeprefix("samples_")


def date_of(file: Path) -> str:
    """Returns the date in the name of a file; "" if it has none."""
    match = _DATE.search(_stem(file))
    return match[1] if match else ""


def samples_of(records: Iterable[tuple[str, Mapping[str, Any]]], file: Path) -> list[Sample]:
    """Returns the samples of one file.

    Args:
        records: Place (file and line) and content of each line.
        file: The file.

    Raises:
        HoldfastError: A named filter has a document twice, or documents have different numbers of unnamed lines.
    """
    samples: list[Sample] = []
    seen: dict[tuple[str, str], list[str]] = {}
    settings, better = _results_beside(file)
    for where, record in records:
        filter_name, number = str(record.get("filter", "")), str(record["doc_id"])
        places = seen.setdefault((filter_name, number), [])
        if places and filter_name:
            raise HoldfastError(
                f"{where}: {_suite(task_of(file), filter_name)}/{number} is also at {places[0]}; keep one of them."
            )
        listed = record.get("metrics")
        samples.append(
            Sample(
                where=where,
                task=task_of(file),
                filter=filter_name,
                turn=len(places),
                number=number,
                document=_document(record),
                prompt=str(record.get("prompt_hash") or ""),
                target=str(record.get("target_hash") or ""),
                metrics=_metrics(record),
                named=isinstance(listed, list) and bool(listed),
                settings=settings,
                better=better,
                asked=_prompt(record.get("arguments")),
                said=_answer(record),
                right=str(record.get("target", "")),
                choices=_choices(record),
                probabilities=_probabilities(record),
            )
        )
        places.append(where)
    _check_line_counts({number: places for (filter_name, number), places in seen.items() if not filter_name})
    return samples


def _check_line_counts(unnamed: Mapping[str, Sequence[str]]) -> None:
    """Refuses lines without a filter's name if documents have different numbers of them."""
    counts = {len(places) for places in unnamed.values()}
    if len(counts) > 1:
        usual = max(counts, key=[len(places) for places in unnamed.values()].count)
        number, places = next((number, places) for number, places in unnamed.items() if len(places) != usual)
        again = f" (there already: {places[0]})" if len(places) > 1 else ""
        raise HoldfastError(
            f"{places[-1]}: doc_id {number} has {len(places)} lines, and most have {usual}{again}; without a 'filter'"
            " the n-th line of a document belongs to the n-th filter, so give each document equally many lines, or give"
            " the file of one run."
        )


def name_filters(sides: Sequence[Sequence[Sample]]) -> list[list[Sample]]:
    """Returns the samples of both sides, each with the name of its filter.

    Lines without a name get the names of the other side, in order, if it has equally many filters for the task; else
    "none" for a single filter, and "filter 1", "filter 2" ... for several.
    """
    orders = [_orders(side) for side in sides]
    named: list[list[Sample]] = []
    for i, side in enumerate(sides):
        other = orders[1 - i] if len(sides) == 2 else {}
        turns = {task: 1 + max(s.turn for s in side if s.task == task) for task in {s.task for s in side}}
        names: dict[str, list[str]] = {}
        for task, count in turns.items():
            other_names = other.get(task, [])
            defaults = ["none"] if count == 1 else [f"filter {n + 1}" for n in range(count)]
            names[task] = other_names if len(other_names) == count else defaults
        named.append([s if s.filter else dataclasses.replace(s, filter=names[s.task][s.turn]) for s in side])
    return named


def _orders(side: Sequence[Sample]) -> dict[str, list[str]]:
    """Returns the named filters of each task in the order of their first lines."""
    orders: dict[str, list[str]] = {}
    for sample in side:
        if sample.filter and sample.filter not in (order := orders.setdefault(sample.task, [])):
            order.append(sample.filter)
    return orders


def suite_of(sample: Sample) -> str:
    """Returns the name of a sample's suite: its task, and its filter if it has one."""
    return _suite(sample.task, sample.filter)


def _suite(task: str, named: str) -> str:
    return task if named in ("none", "") else f"{task} ({named})"


def metric_of(sides: Sequence[Sequence[Sample]]) -> tuple[str, str]:
    """Returns the metric that scores the samples of a suite on all sides, and a reason.

    It is the first metric, in the order of the first side, for which higher is better and which every line has, from 0
    to 1; "" if no metric qualifies. The second value says why none does, or why an earlier metric is skipped.
    """
    samples = [sample for side in sides for sample in side]
    skipped, why = "", ""
    for name in _in_order(sides[0][0]):
        if LOWER_IS_BETTER.search(name) or samples[0].better.get(name.partition(",")[0]) is False:
            why = why or f"{samples[0].where}: no metric from 0 to 1 ({name}: lower is better)"
            continue
        outlier = next((sample for sample in samples if not 0 <= sample.metrics.get(name, -1.0) <= 1), None)
        if outlier is None:
            return name, skipped
        value = outlier.metrics.get(name)
        detail = f"{name}: {value:g}" if value is not None else f"{name} is missing"
        why = why if skipped else f"{outlier.where}: no metric from 0 to 1 ({detail})"
        skipped = skipped or f"{detail} in {outlier.where}"
    return "", why or f"{samples[0].where}: no metric from 0 to 1"


def _in_order(sample: Sample) -> list[str]:
    """Returns the names of a sample's metrics: in the order of its file, or the usual ones first."""
    names = list(sample.metrics)
    if sample.named:
        return names
    return [*(name for name in _USUAL if name in names), *(name for name in names if name not in _USUAL)]


def _metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns the metrics of a line by name; nested names become `outer.inner`."""
    listed = record.get("metrics")
    if isinstance(listed, Mapping):
        return _metrics({**listed, "metrics": list(listed)})
    if isinstance(listed, list) and listed:
        names = [str(name) for name in listed]
    else:
        names = [n for n in record if n not in _NOT_METRICS and not n.endswith("_hash")]
    metrics: dict[str, float] = {}
    for name in names:
        value = record.get(name)
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        for subkey, number in inner:
            if isinstance(number, (bool, int, float)):
                metrics[f"{name}.{subkey}" if subkey else name] = float(number)
    return metrics


def _document(record: Mapping[str, Any]) -> str:
    if digest := record.get("doc_hash"):
        return str(digest)
    doc = record.get("doc")
    if not doc:
        return ""
    return hashlib.sha256(json.dumps(doc, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _answer(record: Mapping[str, Any]) -> str:
    responses = record.get("filtered_resps", record.get("resps", ""))
    return str(responses[0] if isinstance(responses, list) and len(responses) == 1 else responses)


def _prompt(arguments: Any) -> str:
    """Returns the prompt of a sample, from either format of lm-eval."""
    if isinstance(arguments, Mapping):
        arguments = [list(value.values()) for value in arguments.values() if isinstance(value, Mapping)]
    first = arguments[0] if isinstance(arguments, list) and arguments else ""
    return str(first[0]) if isinstance(first, list) and first else ""


def _results_beside(file: Path) -> tuple[dict[str, Any], dict[str, bool]]:
    """Returns the settings of a file's task, and for which metrics higher is better, from results_*.json beside it.

    Only results of the same date count; without them both are empty.
    """
    beside = file.with_name(f"results_{date_of(file)}.json")
    try:
        results = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}, {}
    if not isinstance(results, dict):
        return {}, {}
    task = task_of(file)
    settings: dict[str, Any] = {}
    shots = _nested(results, "n-shot").get(task, _nested(results, "configs", task).get("num_fewshot"))
    if shots is not None:
        settings["few_shot"] = shots
    if (version := _nested(results, "versions").get(task)) is not None:
        settings["version"] = version
    for name, keys in (
        ("chat_template", ("chat_template_sha", "chat_template")),
        ("system", ("system_instruction_sha", "system_instruction")),
    ):
        if any(key in results for key in keys):
            settings[name] = next((results[key] for key in keys if results.get(key)), None)
    better = {name: good for name, good in _nested(results, "higher_is_better", task).items() if isinstance(good, bool)}
    return settings, better


def _nested(results: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    value: Any = results
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".jsonl")


def _choices(record: Mapping[str, Any]) -> int | None:
    """Returns the number of choices of a sample; 0 if the model wrote the answer; None if the line does not show it.

    For choices, lm-eval logs one response each (a likelihood, and whether greedy decoding gives it); for a written
    answer it logs a text.
    """
    responses = record.get("resps")
    first = _innermost(responses[0]) if isinstance(responses, list) and responses else None
    if isinstance(first, str):
        return 0
    several = isinstance(responses, list) and len(responses) > 1 and isinstance(first, list) and len(first) == 2
    return len(responses) if several and isinstance(responses, list) else None


def _probabilities(record: Mapping[str, Any]) -> tuple[float, ...]:
    """Returns the softmax of the logged likelihoods, the right choice first, if `acc` is that of the likeliest choice.

    lm-eval logs the index of the right choice as `target` for most tasks; a line whose `acc` does not follow from it
    is scored in another way, and has none.
    """
    count, target = _choices(record), str(record.get("target", ""))
    if not (count and target.isdecimal() and int(target) < count):
        return ()
    try:
        likelihoods = [float(_innermost(response)[0]) for response in record["resps"]]
    except (TypeError, ValueError, IndexError):
        return ()
    right, most = int(target), max(likelihoods)
    picked = likelihoods.index(most)
    if not math.isfinite(most) or record.get("acc") not in (float(picked == right),):
        return ()
    odds = [math.exp(likelihood - most) for likelihood in likelihoods]
    ordered = [odds[right], *odds[:right], *odds[right + 1 :]]
    return tuple(odd / math.fsum(odds) for odd in ordered)


def _innermost(response: Any) -> Any:
    while isinstance(response, list) and len(response) == 1:
        response = response[0]
    return response
