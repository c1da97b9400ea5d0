"""What steered a training is left out of what two models are compared on, by the record beside the model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from holdfast.bench.diff.diff_record import LeftOutRow, SteeredRow
from holdfast.core.errors import HoldfastError
from holdfast.probes.suite import Suite
from holdfast.probes.watched import Watched, beside, documents

Kind = Literal["items", "texts"]


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """How much of each suite steered a training and is not judged.

    Attributes:
        suites: By suite, how much of it is left out, how much it had, and of what ("items" or "texts").
        records: Where it is written down.
    """

    suites: dict[str, tuple[int, int, Kind]]
    records: tuple[str, ...]

    def sentence(self) -> str:
        """Returns it in words: "312 of 1,040 items steered the training and are not judged (...)."."""
        kinds = {kind for _, _, kind in self.suites.values()}
        counts = [
            f"{sum(left for left, _, of in self.suites.values() if of == kind):,} of"
            f" {sum(total for _, total, of in self.suites.values() if of == kind):,} {kind}"
            for kind in sorted(kinds)
        ]
        gone = [name for name, (left, total, _) in self.suites.items() if left == total]
        nothing = f" Nothing is left of {', '.join(gone)}." if gone else ""
        return f"{' and '.join(counts)} steered the training and are not judged ({_said(self.records)}).{nothing}"

    def row(self) -> SteeredRow:
        """Returns it as a part of a record."""
        suites = {
            name: LeftOutRow(left_out=left, of=total, kind=kind) for name, (left, total, kind) in self.suites.items()
        }
        return SteeredRow(suites=suites, records=self.records, sentence=self.sentence())


def without_watched(
    suites: Sequence[Suite], models: Sequence[str], tokenizer: Any
) -> tuple[list[Suite], LeftOut | None]:
    """Returns suites without what steered the training of any of some models, and how much that was; None if nothing.

    Args:
        suites: What the models are to be asked.
        models: Their folders or names; each may have a record beside it, and an adapter's base as well.
        tokenizer: The tokenizer that the suites' examples were made with.

    Raises:
        HoldfastError: If a record cannot be read, or nothing is left of what is to be kept, or of anything.
    """
    records = list(dict.fromkeys(found for name in models for found in _records(name)))
    watched = Watched()
    for path in records:
        watched |= Watched.read(path)
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
    found = LeftOut(counts, tuple(map(str, records)))
    _check_left(suites, left, found)
    return left, found


def _check_left(suites: Sequence[Suite], left: Sequence[Suite], found: LeftOut) -> None:
    """Raises `HoldfastError` if nothing is left of what is to be kept, or, where nothing is to be kept, of anything."""
    roles = {suite.role for suite in suites}
    if ("retained" if "retained" in roles else "learned") not in {suite.role for suite in left}:
        flag = "--keep" if "retained" in roles else "--test"
        raise HoldfastError(
            f"All that {flag} names steered the training ({_said(found.records)}), and nothing is left to judge by:"
            f" give {flag} other items, or train with a guard on more of them, of which it leaves the larger part."
        )


def _rest(suite: Suite, watched: Watched, tokenizer: Any) -> tuple[Suite, int, int]:
    """Returns a suite without what was watched, how much that was, and how much it had."""
    items = tuple(item for item in suite.items if not watched.has_item(item))
    known = documents(suite.texts)
    left = [windows for windows in known if not watched.has_document(windows, tokenizer)]
    rest = dataclasses.replace(suite, items=items, texts=tuple(window for windows in left for window in windows))
    total = len(suite.items) + len(known)
    return rest, total - len(items) - len(left), total


def _records(name: str) -> list[Path]:
    """Returns the records that belong to a model: beside it, on the hub, and of an adapter also beside its base."""
    found = [beside(name) if Path(name).expanduser().is_dir() else _on_hub(name)]
    adapter = Path(name).expanduser() / "adapter_config.json"
    if adapter.is_file():
        try:
            base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
        except (OSError, ValueError, AttributeError):
            base = None  # what loads the adapter says so
        found.append(beside(base) if base else None)
    return [path for path in found if path is not None]


def _on_hub(name: str) -> Path | None:
    """Returns the record of a model on the hub, where it has one and can be had."""
    from transformers.utils.hub import cached_file

    from holdfast.probes.watched import FILE

    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return None
    try:
        found = cached_file(
            name,
            FILE,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    except (OSError, ValueError):
        return None
    return None if found is None else Path(found)


def _said(records: Sequence[str]) -> str:
    return f"recorded in {' and '.join(records)}"
