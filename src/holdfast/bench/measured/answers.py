"""Saved answers: the scores of a model on every item, in Holdfast's files or in samples of lm-eval."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.machine.files import read_jsonl, write_jsonl
from holdfast.bench.measured.samples import (
    SETTINGS,
    Sample,
    metric_of,
    name_filters,
    newest_files,
    sample_files,
    samples_of,
    suite_of,
)
from holdfast.bench.measured.scores import Moment, record_of, score_of
from holdfast.core.errors import HoldfastError
from holdfast.probes.calibration import brier_term
from holdfast.probes.score import Answers, Said, Score, in_unit

logger = logging.getLogger("holdfast")


@dataclasses.dataclass
class _Side:
    """The content of the files of one model: answers of Holdfast, and samples of lm-eval."""

    name: str
    scores: list[Score]
    said: list[Said]
    samples: list[Sample]


def is_saved(name: str) -> bool:
    """Returns whether a name is that of saved answers: a .jsonl file, or a folder with samples of lm-eval."""
    path = Path(name).expanduser()
    return path.name.endswith((".jsonl", ".jsonl.gz")) or (path.is_dir() and bool(sample_files(path)))


def write_answers(path: Path, answers: Answers, run: str, moment: Moment) -> None:
    """Writes the scores of one model with its answers, one item per line."""
    texts = {(said.suite, said.item): line_of(said) for said in answers.said}
    write_jsonl(
        path, (record_of(score, run, moment) | texts.get((score.suite, score.item), {}) for score in answers.scores)
    )


def read_said(path: Path, moment: Moment) -> tuple[Said, ...]:
    """Returns the answers of one moment from the answers.jsonl of a run's folder; none if there is no such file."""
    rows = read_jsonl(path) if path.exists() else ()
    return tuple(said_of(row, path.name) for row in rows if row["moment"] == moment)


def line_of(answer: Said) -> dict[str, Any]:
    """Returns an answer as fields of a line, without those that are not known (but `confidence`, always there)."""
    fields = dataclasses.asdict(answer)
    return {name: value for name, value in fields.items() if value is not None or name == "confidence"}


def read_answers(name: str) -> Answers:
    """Returns the saved answers of a model.

    Args:
        name: A file that `write_answers` or lm-eval (`--log_samples`) wrote, or a folder of lm-eval.

    Raises:
        HoldfastError: A file is missing, a line is malformed, or an item stands twice; names the line.
    """
    notes: list[str] = []
    side = _read(name, notes)
    (samples,) = name_filters([side.samples])
    scores, texts = list(side.scores), list(side.said)
    for suite, of_suite in _by_suite(samples).items():
        metric = _scored_by(suite, [of_suite], notes)
        for sample in of_suite if metric else ():
            score, text = _scored(sample, suite, _name(sample), metric)
            scores.append(score)
            texts.append(text)
    for note in notes:
        logger.warning("%s", note)
    _check_not_empty(scores, side, notes)
    return Answers(tuple(scores), tuple(texts))


def read_pair(base: str, tuned: str, notes: list[str]) -> tuple[Answers, Answers]:
    """Returns the saved answers of two models to the items that both were asked.

    Samples of lm-eval are paired by document, at any position in the data set, and scored by the first metric that lies
    from 0 to 1 on every line of both. Holdfast's answers are paired by the name of the item, where the two say the same
    question and the same right answer.

    Args:
        base: File or folder with the answers of the base.
        tuned: File or folder with the answers of the tuned model.
        notes: List that receives notes for the user: what is left out, and what differs between the two.

    Raises:
        HoldfastError: As `read_answers` does, or the two have no item in common.
    """
    sides = [_read(name, notes) for name in (base, tuned)]
    _leave_out_other_questions(sides, notes)
    named = [_by_suite(samples) for samples in name_filters([side.samples for side in sides])]
    unpaired, disjoint = 0, list[str]()
    for suite in dict.fromkeys([*named[0], *named[1]]):
        first, last = (of.get(suite, []) for of in named)
        pairs = _paired(first, last) if first and last else []
        if first and last and not pairs:
            disjoint.append(
                f"{suite}: none of the {len(first)} and {len(last)} documents is in both (doc_hash), so the"
                " data set was shuffled or changed between the two runs"
            )
            continue
        unpaired += len(first) + len(last) - 2 * len(pairs)
        _add(sides, suite, pairs, (first, last), notes)
    if not disjoint and not unpaired:
        for side in sides:
            _check_not_empty(side.scores, side, notes)
    return _common_answers(sides, unpaired, disjoint, notes)


def _leave_out_other_questions(sides: Sequence[_Side], notes: list[str]) -> None:
    """Leaves out items of one name of which the two models were asked different questions, with a note.

    Raises:
        HoldfastError: Nothing is left.
    """
    first, last = ({(said.suite, said.item): said for said in side.said} for side in sides)
    other = {name for name in first.keys() & last.keys() if _is_other(first[name], last[name])}
    if not other:
        return
    for side in sides:
        side.scores = [score for score in side.scores if (score.suite, score.item) not in other]
        side.said = [said for said in side.said if (said.suite, said.item) not in other]
    what = f"another question or right answer in the two files (first: {'/'.join(min(other))})"
    if not all(side.scores or side.samples for side in sides):
        raise HoldfastError(f"All {len(other):,} items have {what}; ask both models the same items.")
    notes.append(f"{len(other):,} items have {what} and are left out; ask both models the same items.")


def _is_other(said: Said, other: Said) -> bool:
    """Returns whether two answers are to different questions, as far as both say what was asked and is right."""
    pairs = (said.asked, other.asked), (said.right, other.right)
    return any(one and two and one != two for one, two in pairs)


def _add(
    sides: Sequence[_Side],
    suite: str,
    pairs: Sequence[tuple[Sample, Sample]],
    samples: tuple[Sequence[Sample], Sequence[Sample]],
    notes: list[str],
) -> None:
    """Adds the paired samples of a suite to both sides, scored by one metric and with one name per pair."""
    if not pairs or not (metric := _scored_by(suite, samples, notes)):
        return
    _note_differences(suite, pairs, notes)
    for pair in pairs:
        for side, sample in zip(sides, pair, strict=True):
            score, text = _scored(sample, suite, _name(pair[0]), metric)
            side.scores.append(score)
            side.said.append(text)


def _common_answers(
    sides: Sequence[_Side], unpaired: int, disjoint: Sequence[str], notes: list[str]
) -> tuple[Answers, Answers]:
    """Returns the answers to the items that both were asked, and notes the number of other items."""
    names = [{(score.suite, score.item) for score in side.scores} for side in sides]
    both = names[0] & names[1]
    unpaired += len(names[0] ^ names[1])
    if not both:
        why = (
            f"{disjoint[0]}; evaluate both on the same documents" if disjoint else "compare answers to the same suites"
        )
        hint = next((f" ({note.removesuffix(': hint out.')})" for note in notes if "no metric" in note), "")
        raise HoldfastError(f"The two files have no item in common{hint}; {why}.")
    notes += [f"{reason}; it is left out." for reason in disjoint]
    if unpaired:
        are = "items were" if unpaired > 1 else "item was"
        notes.append(f"{unpaired} {are} asked of only one model and {'are' if unpaired > 1 else 'is'} left out.")
    first, last = (_select(side, both) for side in sides)
    return first, last


def _select(side: _Side, names: Collection[tuple[str, str]]) -> Answers:
    """Returns the answers to the items with some names."""
    scores = tuple(score for score in side.scores if (score.suite, score.item) in names)
    return Answers(scores, tuple(said for said in side.said if (said.suite, said.item) in names))


def _read(name: str, notes: list[str]) -> _Side:
    path = Path(name).expanduser()
    files = newest_files(sample_files(path), notes) if path.is_dir() else [path]
    side = _Side(name, [], [], [])
    first: dict[tuple[str, str], str] = {}
    for file in files:
        samples: list[tuple[str, dict[str, Any]]] = []
        for number, record in enumerate(read_jsonl(file, whole=True), 1):
            where = f"{file}:{number}"
            if "doc_id" in record:
                samples.append((where, record))
                continue
            score, text = _parse_line(record, where)
            before = first.setdefault((score.suite, score.item), where)
            if before != where:
                raise HoldfastError(f"{where}: {score.suite}/{score.item} is also at {before}; keep one of them.")
            side.scores.append(score)
            side.said += [text] if text is not None else []
        side.samples += samples_of(samples, file)
    if not (side.scores or side.samples):
        raise HoldfastError(f"{name}: holds no answers; give a file that `holdfast diff --out` or lm-eval wrote.")
    return side


def _check_not_empty(scores: Sequence[Score], side: _Side, notes: Sequence[str]) -> None:
    if not scores:
        why = next((note for note in notes if "no metric" in note), f"{side.name}: holds no answers")
        raise HoldfastError(f"{why.removesuffix(': left out.')}; give samples of a task with right and wrong answers.")


def _by_suite(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    by_suite: dict[str, list[Sample]] = {}
    for sample in samples:
        by_suite.setdefault(suite_of(sample), []).append(sample)
    return by_suite


def _scored_by(suite: str, sides: Sequence[Sequence[Sample]], notes: list[str]) -> str:
    """Returns the metric of a suite, or ""; notes the reason if there is none, or if it is not the first one logged."""
    metric, why = metric_of(sides)
    if not metric:
        notes.append(f"{why}: left out.")
    elif why:
        notes.append(f"{suite} is scored by {metric}, the first metric from 0 to 1 on every line ({why}).")
    return metric


def _paired(before: Sequence[Sample], after: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Pairs the samples of the same documents: by digest if all have one, else by number.

    Among identical documents, those with equal numbers are paired first, and the others in order.
    """
    by_document = all(sample.document for sample in (*before, *after))
    candidates: dict[str, list[Sample]] = {}
    for sample in after:
        candidates.setdefault(sample.document if by_document else sample.number, []).append(sample)
    partners: dict[int, Sample] = {}
    for same_number in (True, False):
        for i, sample in enumerate(before):
            if i in partners:
                continue
            remaining = candidates.get(sample.document if by_document else sample.number, [])
            fits = (k for k, candidate in enumerate(remaining) if candidate.number == sample.number or not same_number)
            if (k := next(fits, None)) is not None:
                partners[i] = remaining.pop(k)
    return [(before[i], partners[i]) for i in sorted(partners)]


def _note_differences(suite: str, pairs: Sequence[tuple[Sample, Sample]], notes: list[str]) -> None:
    """Notes differences between the questions to the two models."""
    prompts = [(first.prompt, last.prompt) for first, last in pairs]
    targets = [(first.target, last.target) for first, last in pairs]
    answers = [(first.right, last.right) for first, last in pairs if not (first.target and last.target)]
    if count := _differ(prompts):
        words = "have different prompts (prompt_hash), which may change a score by itself"
        notes.append(f"{suite}: {count:,} of {len(pairs):,} items {words}.")
    if count := _differ(targets):
        words = "have different right answers (target_hash), which may change a score by itself"
        notes.append(f"{suite}: {count:,} of {len(pairs):,} items {words}.")
    if count := sum(first != last for first, last in answers):
        notes.append(f"{suite}: {count:,} of {len(pairs):,} items have different right answers.")
    before, after = pairs[0][0].settings, pairs[0][1].settings
    notes += [f"{suite}: the two have a different {words}." for words in _other_settings(before, after)]


def _differ(pairs: Sequence[tuple[str, str]]) -> int:
    """Returns the number of pairs whose digests differ; a pair without both digests does not count."""
    return sum(bool(first and last) and first != last for first, last in pairs)


def _other_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Returns the settings that differ, in words."""
    differences = []
    for key, words in SETTINGS.items():
        if key in before and key in after and before[key] != after[key]:
            values = f" ({before[key]} and {after[key]})" if key in ("few_shot", "version") else ""
            differences.append(f"{words}{values}")
    return differences


def _name(sample: Sample) -> str:
    return sample.number + (f"-{sample.document[:8]}" if sample.document else "")


def _scored(sample: Sample, suite: str, item: str, metric: str) -> tuple[Score, Said]:
    score = Score(
        suite=suite,
        role="retained",
        split="proof",
        item=item,
        group=item,
        value=in_unit(sample.metrics[metric]),
        unit="points",
        higher_is_better=True,
        choices=sample.choices,
    )
    chosen = sample.probabilities if metric == "acc" else ()
    confidence, brier = (max(chosen), brier_term(chosen)) if chosen else (None, None)
    return score, Said(suite, item, sample.asked, sample.said, sample.right, confidence, brier)


def _parse_line(record: Mapping[str, Any], where: str) -> tuple[Score, Said | None]:
    of_said = ("asked", "said", "right", *_NUMBERS, *_WRITTEN)
    # The place on the command line, not the file, says which model is the base.
    score = score_of({"moment": "before", **{k: v for k, v in record.items() if k not in (*of_said, "moment")}}, where)
    return score, said_of(record, where) if "said" in record else None


def said_of(record: Mapping[str, Any], where: str) -> Said:
    """Returns the answer of a line.

    Raises:
        HoldfastError: A field has the wrong type; the message begins with `where`.
    """
    texts = {name: record.get(name, "") for name in ("asked", "said", "right")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise HoldfastError(f"{where}: fields 'asked', 'said' and 'right' must be strings.")
    confidence, brier = (_number(record, name, most, where) for name, most in _NUMBERS.items())
    beside = {"confidence": confidence, "brier": brier, **_written(record, where)}
    return Said(record["suite"], record["item"], **texts, **beside)


_NUMBERS = {"confidence": 1, "brier": 2}
"""Fields of the answer to a choice, and the most that each can be."""


def _number(record: Mapping[str, Any], name: str, most: int, where: str) -> float | None:
    """Returns a number from 0 to `most` of a saved answer; None without one."""
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not (isinstance(value, (int, float)) and 0 <= value <= most + 1e-9):
        raise HoldfastError(f"{where}: field {name!r} is {value!r}, but must be a number from 0 to {most}.")
    return float(value)


_WRITTEN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "tokens": (lambda value: type(value) is int and value >= 0, "a number of tokens"),
    "cut": (lambda value: isinstance(value, bool), "true or false"),
    "tools": (
        lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
        "a list of names",
    ),
    "refusal": (lambda value: isinstance(value, bool), "true or false"),
}
"""Fields of a generated answer, which older files lack: whether a value is one, and what it must be."""


def _written(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns what a line tells of a generated answer beside its text."""
    given = {name: record[name] for name in _WRITTEN if record.get(name) is not None}
    for name, value in given.items():
        is_one, words = _WRITTEN[name]
        if not is_one(value):
            raise HoldfastError(f"{where}: field {name!r} is {value!r}, but must be {words}.")
    return {name: tuple(value) if name == "tools" else value for name, value in given.items()}
