"""Leaves out items and texts that steered a training, by the record beside the model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from holdfast.bench.diff.diff_record import LeftOutRow, SteeredRow
from holdfast.core.errors import HoldfastError
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import WatchRecord, documents, record_path

Kind = Literal["items", "texts"]


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """The part of each suite that steered a training and is not judged.

    Attributes:
        suites: By suite: the number left out, the number in the suite, and the kind ("items" or "texts").
        records: Files that record them.
    """

    suites: dict[str, tuple[int, int, Kind]]
    records: tuple[str, ...]

    def sentence(self) -> str:
        """Returns a sentence: "312 of 1,040 items steered the training and are not judged (...)."."""
        kinds = {kind for _, _, kind in self.suites.values()}
        counts = [
            f"{sum(left for left, _, of in self.suites.values() if of == kind):,} of"
            f" {sum(total for _, total, of in self.suites.values() if of == kind):,} {kind}"
            for kind in sorted(kinds)
        ]
        gone = [name for name, (left, total, _) in self.suites.items() if left == total]
        nothing = f" Nothing is left of {', '.join(gone)}." if gone else ""
        return (
            f"{' and '.join(counts)} steered the training and are not judged ({_recorded_in(self.records)}).{nothing}"
        )

    def row(self) -> SteeredRow:
        """Returns the row for the record."""
        suites = {
            name: LeftOutRow(left_out=left, of=total, kind=kind) for name, (left, total, kind) in self.suites.items()
        }
        return SteeredRow(suites=suites, records=self.records, sentence=self.sentence())


def without_watched(
    suites: Sequence[Suite], models: Sequence[str], tokenizer: Any
) -> tuple[list[Suite], LeftOut | None]:
    """Returns suites without the items and texts that steered the training of a model, and what is left out, or None.

    Args:
        suites: The suites to ask.
        models: Folders or names of models; each may have a record beside it, and so may the base of an adapter.
        tokenizer: The tokenizer of the suites' examples.

    Raises:
        HoldfastError: A record is malformed, or no suite is left to judge by.
    """
    records = list(dict.fromkeys(path for name in models for path in records_of(name)))
    watched = WatchRecord()
    for path in records:
        watched |= WatchRecord.read(path)
    if not len(watched):
        return list(suites), None
    left, counts = [], dict[str, tuple[int, int, Kind]]()
    for suite in suites:
        rest, count, total = _rest(suite, watched, tokenizer)
        counts[suite.name] = count, total, "items" if suite.items else "texts"
        if count < total:
            left.append(rest)
    if not any(count for count, _, _ in counts.values()):
        return left, None
    left_out = LeftOut(counts, tuple(map(str, records)))
    _check_left(suites, left, left_out)
    return left, left_out


def _check_left(suites: Sequence[Suite], left: Sequence[Suite], left_out: LeftOut) -> None:
    """Raises `HoldfastError` if no retained suite is left; without retained suites, if no learned suite is left."""
    roles = {suite.role for suite in suites}
    if ("retained" if "retained" in roles else "learned") not in {suite.role for suite in left}:
        flag = "--keep" if "retained" in roles else "--test"
        raise HoldfastError(
            f"Everything under {flag} steered the training ({_recorded_in(left_out.records)}), so nothing is left to"
            f" judge: give {flag} other items, or train with a guard on more items, as it leaves most of them to judge."
        )


def _rest(suite: Suite, watched: WatchRecord, tokenizer: Any) -> tuple[Suite, int, int]:
    """Returns a suite without its watched part, the size of that part, and the size of the suite."""
    items = tuple(item for item in suite.items if not watched.has_item(item))
    all_documents = documents(suite.texts)
    unwatched = [windows for windows in all_documents if not watched.has_document(windows, tokenizer)]
    rest = dataclasses.replace(suite, items=items, texts=tuple(window for windows in unwatched for window in windows))
    total = len(suite.items) + len(all_documents)
    return rest, total - len(items) - len(unwatched), total


def records_of(name: str) -> list[Path]:
    """Returns the files that record what steered a model: beside it or on the hub, for an adapter also its base's."""
    paths = [record_path(name) if Path(name).expanduser().is_dir() else _on_hub(name)]
    adapter = Path(name).expanduser() / "adapter_config.json"
    if adapter.is_file():
        try:
            base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
        except (OSError, ValueError, AttributeError):
            base = None  # loading the adapter reports this error
        paths.append(record_path(base) if base else None)
    return [path for path in paths if path is not None]


def _on_hub(name: str) -> Path | None:
    """Returns the record of a model on the hub; None if it has none, or the hub is not available."""
    from transformers.utils.hub import cached_file

    from holdfast.probes.watch_record import FILE

    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return None
    try:
        path = cached_file(
            name,
            FILE,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    except (OSError, ValueError):
        return None
    return None if path is None else Path(path)


def _recorded_in(records: Sequence[str]) -> str:
    return f"recorded in {' and '.join(records)}"
