"""Saved answers: what a model scored on every item, in our own files or as lm-eval logs its samples."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.files import read_jsonl, write_jsonl
from holdfast.bench.measure import Said
from holdfast.bench.records import Moment, ScoreRow
from holdfast.core.errors import HoldfastError

logger = logging.getLogger("holdfast")


@dataclasses.dataclass(frozen=True)
class Saved:
    """The scores of one model and what it said."""

    rows: tuple[ScoreRow, ...]
    said: tuple[Said, ...] = ()


def is_saved(name: str) -> bool:
    """Returns whether a name is that of saved answers: a .jsonl file, or a folder in which lm-eval left samples."""
    path = Path(name).expanduser()
    return path.suffix == ".jsonl" or (path.is_dir() and bool(_samples(path)))


def write_answers(path: Path, rows: Iterable[ScoreRow], said: Sequence[Said]) -> None:
    """Writes the scores of one model, each with what was said, one item per line."""
    texts = {(one.suite, one.item): dataclasses.asdict(one) for one in said}
    write_jsonl(path, (dataclasses.asdict(row) | texts.get((row.suite, row.item), {}) for row in rows))


def read_answers(name: str, moment: Moment) -> Saved:
    """Returns the saved answers of a model.

    Args:
        name: A file that `write_answers` or lm-eval (`--log_samples`) wrote, or a folder of the latter's.
        moment: Whether they are taken as those before or after.

    Raises:
        HoldfastError: If a file is not there, a line is neither of the two, or an item is given twice; names the line.
    """
    path = Path(name).expanduser()
    files = _samples(path) if path.is_dir() else [path]
    rows: list[ScoreRow] = []
    left: dict[str, str] = {}
    said: list[Said] = []
    first: dict[tuple[str, str], str] = {}
    for file in files:
        of_file = False
        for number, record in enumerate(read_jsonl(file, whole=True), 1):
            where = f"{file}:{number}"
            of_lm_eval = "doc_id" in record
            if of_lm_eval and isinstance(metric := _metric(record), str):
                if of_file:  # the task has points, and this answer none
                    raise HoldfastError(f"{where}: {metric}; mend or delete that line.")
                left.setdefault(str(file), f"{where}: {metric}")
                continue
            if str(file) in left:
                raise HoldfastError(f"{left[str(file)]}; mend or delete that line.")
            of_file = True
            row, one = _sample(record, moment, file) if of_lm_eval else _own(record, moment, where)
            before = first.setdefault((row.suite, row.item), where)
            if before != where:
                raise HoldfastError(f"{where}: {row.suite}/{row.item} is at {before} too; keep one of them.")
            rows.append(row)
            said += [one] if one is not None else []
    if left and not rows:
        raise HoldfastError(f"{next(iter(left.values()))}; give samples of a task that is right or wrong.")
    for why in left.values():
        logger.warning("%s: left out.", why)
    if not rows:
        raise HoldfastError(f"{name}: holds no answers; give a file that `holdfast diff --out` or lm-eval wrote.")
    return Saved(tuple(rows), tuple(said))


def _own(record: Mapping[str, Any], moment: Moment, where: str) -> tuple[ScoreRow, Said | None]:
    texts = {name: record[name] for name in ("asked", "said", "right") if name in record}
    confidence = record.get("confidence")
    of_said = ("asked", "said", "right", "confidence", "moment")
    row = ScoreRow.from_dict(
        {**{name: value for name, value in record.items() if name not in of_said}, "moment": moment}, where
    )
    if not all(isinstance(text, str) for text in texts.values()):
        raise HoldfastError(f"{where}: fields 'asked', 'said' and 'right' must be strings.")
    if confidence is not None and not (isinstance(confidence, (int, float)) and 0 <= confidence <= 1):
        raise HoldfastError(f"{where}: field 'confidence' is {confidence!r}, but must be a probability from 0 to 1.")
    if "said" not in texts:
        return row, None
    return row, Said(row.suite, row.item, texts.get("asked", ""), texts["said"], texts.get("right", ""), confidence)


LOWER_IS_BETTER = re.compile(r"perplexity|bits_per_byte|loss|nll|ter$|wer$|brier")
"""Metrics of lm-eval of which less is better; they have no points and are left out."""
_DATE = re.compile(r"_\d{4}-\d{2}-\d{2}T[\d.\-:]+$")


def _metric(record: Mapping[str, Any]) -> float | str:
    """Returns the first metric of a sample of which more is better, from 0 to 1; why there is none, as words."""
    named = record.get("metrics")
    if not isinstance(named, list) or not named:
        named = [name for name in ("exact_match", "acc", "acc_norm", "em", "f1") if name in record]
    metric = next((name for name in named if not LOWER_IS_BETTER.search(str(name))), None)
    value = record.get(str(metric))
    if not isinstance(value, (bool, int, float)) or not 0 <= value <= 1:
        return f"no metric from 0 to 1 ({metric}: {value!r})"
    return float(value)


def _sample(record: Mapping[str, Any], moment: Moment, file: Path) -> tuple[ScoreRow, Said]:
    """Returns a sample of lm-eval: its first metric, under the name of the task and of the filter, if it has one."""
    task = _DATE.sub("", file.stem).removeprefix("samples_")
    kind = record.get("filter", "none")
    row = ScoreRow(
        run=str(file.parent.name or "."),
        moment=moment,
        suite=task if kind == "none" else f"{task} ({kind})",
        role="retained",
        split="proof",
        item=str(record["doc_id"]),
        group=str(record["doc_id"]),
        value=100.0 * float(_metric(record)),
        unit="points",
        higher_is_better=True,
        choices=_choices(record),
    )
    given = record.get("filtered_resps", record.get("resps", ""))
    said = given[0] if isinstance(given, list) and len(given) == 1 else given
    return row, Said(row.suite, row.item, _asked(record.get("arguments")), str(said), str(record.get("target", "")))


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


def _asked(arguments: Any) -> str:
    """Returns the prompt of a sample, in either way that lm-eval has written it."""
    if isinstance(arguments, Mapping):
        arguments = [list(value.values()) for value in arguments.values() if isinstance(value, Mapping)]
    first = arguments[0] if isinstance(arguments, list) and arguments else ""
    return str(first[0]) if isinstance(first, list) and first else ""


def _samples(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/samples_*.jsonl"))
