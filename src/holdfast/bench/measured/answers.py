"""Saved answers: what a model scored on every item, in our own files or as lm-eval logs its samples."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
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
from holdfast.probes.score import POINTS, Answers, Said, Score

logger = logging.getLogger("holdfast")


@dataclasses.dataclass
class _Side:
    """What the files of one model hold: our own answers, and samples of lm-eval."""

    name: str
    scores: list[Score]
    said: list[Said]
    samples: list[Sample]


def is_saved(name: str) -> bool:
    """Returns whether a name is that of saved answers: a .jsonl file, or a folder in which lm-eval left samples."""
    path = Path(name).expanduser()
    return path.name.endswith((".jsonl", ".jsonl.gz")) or (path.is_dir() and bool(sample_files(path)))


def write_answers(path: Path, answers: Answers, run: str, moment: Moment) -> None:
    """Writes the scores of one model, each with what was said, one item per line."""
    texts = {(one.suite, one.item): dataclasses.asdict(one) for one in answers.said}
    write_jsonl(path, (record_of(one, run, moment) | texts.get((one.suite, one.item), {}) for one in answers.scores))


def read_answers(name: str) -> Answers:
    """Returns the saved answers of a model.

    Args:
        name: A file that `write_answers` or lm-eval (`--log_samples`) wrote, or a folder of the latter's.

    Raises:
        HoldfastError: If a file is not there, a line is neither of the two, or an item is given twice; names the line.
    """
    notes: list[str] = []
    side = _read(name, notes)
    (samples,) = name_filters([side.samples])
    scores, said = list(side.scores), list(side.said)
    for suite, own in _by_suite(samples).items():
        metric = _scored_by(suite, [own], notes)
        for sample in own if metric else ():
            score, text = _scored(sample, suite, _name(sample), metric)
            scores.append(score)
            said.append(text)
    for note in notes:
        logger.warning("%s", note)
    _check_not_empty(scores, side, notes)
    return Answers(tuple(scores), tuple(said))


def read_pair(base: str, tuned: str, notes: list[str]) -> tuple[Answers, Answers]:
    """Returns the saved answers of two models to what both were asked.

    Samples of lm-eval are paired by document, wherever it stood in its data set, and scored by the first metric that
    lies from 0 to 1 on every line of both.

    Args:
        base: File or folder of the answers before.
        tuned: Likewise after.
        notes: Gets a sentence for each thing worth saying: what was left out, and what was asked otherwise.

    Raises:
        HoldfastError: As `read_answers` does, or they have nothing in common.
    """
    sides = [_read(name, notes) for name in (base, tuned)]
    named = [_by_suite(samples) for samples in name_filters([side.samples for side in sides])]
    alone, apart = 0, list[str]()
    for suite in dict.fromkeys([*named[0], *named[1]]):
        first, last = (of.get(suite, []) for of in named)
        pairs = _paired(first, last) if first and last else []
        if first and last and not pairs:
            apart.append(
                f"{suite}: none of the {len(first)} and {len(last)} documents is the same in both (doc_hash), so"
                " the data set was shuffled or changed between the two runs"
            )
            continue
        alone += len(first) + len(last) - 2 * len(pairs)
        _add(sides, suite, pairs, (first, last), notes)
    if not apart and not alone:
        for side in sides:
            _check_not_empty(side.scores, side, notes)
    return _common_answers(sides, alone, apart, notes)


def _add(
    sides: Sequence[_Side],
    suite: str,
    pairs: Sequence[tuple[Sample, Sample]],
    samples: tuple[Sequence[Sample], Sequence[Sample]],
    notes: list[str],
) -> None:
    """Adds the samples of a suite to both sides, scored by one metric and under one name each."""
    if not pairs or not (metric := _scored_by(suite, samples, notes)):
        return
    _note_differences(suite, pairs, notes)
    for pair in pairs:
        for side, sample in zip(sides, pair, strict=True):
            score, text = _scored(sample, suite, _name(pair[0]), metric)
            side.scores.append(score)
            side.said.append(text)


def _common_answers(
    sides: Sequence[_Side], alone: int, apart: Sequence[str], notes: list[str]
) -> tuple[Answers, Answers]:
    """Returns the answers to the items that both were asked, and says how many only one was."""
    names = [{(score.suite, score.item) for score in side.scores} for side in sides]
    both = names[0] & names[1]
    alone += len(names[0] ^ names[1])
    if not both:
        why = f"{apart[0]}; evaluate both on the same documents" if apart else "compare answers to the same suites"
        left = next((f" ({note.removesuffix(': left out.')})" for note in notes if "no metric" in note), "")
        raise HoldfastError(f"The two files have no item in common{left}; {why}.")
    notes += [f"{one}; it is left out." for one in apart]
    if alone:
        are = "items were" if alone > 1 else "item was"
        notes.append(f"{alone} {are} asked of one model only and {'are' if alone > 1 else 'is'} left out.")
    first, last = (_select(side, both) for side in sides)
    return first, last


def _select(side: _Side, names: Collection[tuple[str, str]]) -> Answers:
    """Returns the answers to the items of some names."""
    scores = tuple(score for score in side.scores if (score.suite, score.item) in names)
    return Answers(scores, tuple(one for one in side.said if (one.suite, one.item) in names))


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
                raise HoldfastError(f"{where}: {score.suite}/{score.item} is at {before} too; keep one of them.")
            side.scores.append(score)
            side.said += [text] if text is not None else []
        side.samples += samples_of(samples, file)
    if not (side.scores or side.samples):
        raise HoldfastError(f"{name}: holds no answers; give a file that `holdfast diff --out` or lm-eval wrote.")
    return side


def _check_not_empty(scores: Sequence[Score], side: _Side, notes: Sequence[str]) -> None:
    if not scores:
        why = next((note for note in notes if "no metric" in note), f"{side.name}: holds no answers")
        raise HoldfastError(f"{why.removesuffix(': left out.')}; give samples of a task that is right or wrong.")


def _by_suite(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(suite_of(sample), []).append(sample)
    return found


def _scored_by(suite: str, sides: Sequence[Sequence[Sample]], notes: list[str]) -> str:
    """Returns the metric of a suite, "" where there is none; says so, and if it is not the first that is logged."""
    metric, why = metric_of(sides)
    if not metric:
        notes.append(f"{why}: left out.")
    elif why:
        notes.append(f"{suite} is scored by {metric}, the first metric from 0 to 1 on every line ({why}).")
    return metric


def _paired(before: Sequence[Sample], after: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Returns the samples of the same documents: by their digest where all have one, else by their number.

    Of documents that are the same to the letter those of one number are paired first, the rest in their order.
    """
    by_document = all(sample.document for sample in (*before, *after))
    theirs: dict[str, list[Sample]] = {}
    for sample in after:
        theirs.setdefault(sample.document if by_document else sample.number, []).append(sample)
    found: dict[int, Sample] = {}
    for same_number in (True, False):
        for i, sample in enumerate(before):
            if i in found:
                continue
            left = theirs.get(sample.document if by_document else sample.number, [])
            fits = (k for k, one in enumerate(left) if one.number == sample.number or not same_number)
            if (k := next(fits, None)) is not None:
                found[i] = left.pop(k)
    return [(before[i], found[i]) for i in sorted(found)]


def _note_differences(suite: str, pairs: Sequence[tuple[Sample, Sample]], notes: list[str]) -> None:
    """Says what was asked otherwise of one model than of the other."""
    prompts = [(first.prompt, last.prompt) for first, last in pairs]
    targets = [(first.target, last.target) for first, last in pairs]
    answers = [(first.right, last.right) for first, last in pairs if not (first.target and last.target)]
    if count := _differ(prompts):
        words = "were put to them in other words (prompt_hash); that may change a score by itself"
        notes.append(f"{suite}: {count:,} of {len(pairs):,} items {words}.")
    if count := _differ(targets):
        words = "have another right answer (target_hash); that may change a score by itself"
        notes.append(f"{suite}: {count:,} of {len(pairs):,} items {words}.")
    if count := sum(first != last for first, last in answers):
        notes.append(f"{suite}: {count:,} of {len(pairs):,} items have another right answer.")
    before, after = pairs[0][0].settings, pairs[0][1].settings
    notes += [f"{suite}: the two were asked with another {words}." for words in _other_settings(before, after)]


def _differ(pairs: Sequence[tuple[str, str]]) -> int:
    """Returns how many digests differ, of those that both have."""
    return sum(bool(first and last) and first != last for first, last in pairs)


def _other_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Returns what was set otherwise, in words."""
    found = []
    for key, words in SETTINGS.items():
        if key in before and key in after and before[key] != after[key]:
            values = f" ({before[key]} and {after[key]})" if key in ("few_shot", "version") else ""
            found.append(f"{words}{values}")
    return found


def _name(sample: Sample) -> str:
    return sample.number + (f"-{sample.document[:8]}" if sample.document else "")


def _scored(sample: Sample, suite: str, item: str, metric: str) -> tuple[Score, Said]:
    score = Score(
        suite=suite,
        role="retained",
        split="proof",
        item=item,
        group=item,
        value=POINTS * sample.metrics[metric],
        unit="points",
        higher_is_better=True,
        choices=sample.choices,
    )
    return score, Said(suite, item, sample.asked, sample.said, sample.right)


def _parse_line(record: Mapping[str, Any], where: str) -> tuple[Score, Said | None]:
    texts = {name: record[name] for name in ("asked", "said", "right") if name in record}
    confidence = record.get("confidence")
    of_said = ("asked", "said", "right", "confidence")
    # Which moment a file is of, its place on the command line says.
    score = score_of({"moment": "before", **{k: v for k, v in record.items() if k not in (*of_said, "moment")}}, where)
    if not all(isinstance(text, str) for text in texts.values()):
        raise HoldfastError(f"{where}: fields 'asked', 'said' and 'right' must be strings.")
    if confidence is not None and not (isinstance(confidence, (int, float)) and 0 <= confidence <= 1):
        raise HoldfastError(f"{where}: field 'confidence' is {confidence!r}, but must be a probability from 0 to 1.")
    if "said" not in texts:
        return score, None
    return score, Said(
        score.suite, score.item, texts.get("asked", ""), texts["said"], texts.get("right", ""), confidence
    )
