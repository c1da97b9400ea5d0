"""The record of what steered a training run, saved beside each of its models so that nobody judges a model by it.

The file `holdfast_watched.json` has a line for each item, text or row that steered a choice: those that a guard asked
during training, and those by which the trainer's own evaluation chose a checkpoint. The record identifies them by
digests of their content, so it recognises them in another file, under another name, or in another suite.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.digest import digest_of
from holdfast.probes.items import Item, Split, split_of

FILE = "holdfast_watched.json"
ABOUT = "What steered this training, by digests of its content; `holdfast diff` does not judge by it."
VERSION = 1

Use = Literal["keep", "learn", "apart", "eval"]


@dataclasses.dataclass(frozen=True)
class WatchEntry:
    """One item, text or row that steered a training run.

    Attributes:
        use: A guard asked "keep" and "learn"; "apart" is on the watched side but was not asked; "eval" chose a
            checkpoint.
        suite: Name of its suite; for texts the name of their source, if known.
        id: Its id within the suite, or its origin.
        group: The group that it shares with others; empty without one.
        digests: Digests of its content, one for each way of reading it (see `of_item` and `of_document`).
    """

    use: Use
    suite: str
    id: str
    group: str = ""
    digests: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class WatchRecord:
    """The record of what steered a training run.

    Attributes:
        things: The items, texts and rows that steered it.
    """

    things: tuple[WatchEntry, ...] = ()

    def __len__(self) -> int:
        """Number of entries."""
        return len(self.things)

    def __or__(self, other: WatchRecord) -> WatchRecord:
        """Returns the union of two records."""
        return WatchRecord(tuple(dict.fromkeys((*self.things, *other.things))))

    @functools.cached_property
    def _digests(self) -> frozenset[str]:
        return frozenset(digest for thing in self.things for digest in thing.digests)

    @functools.cached_property
    def _names(self) -> frozenset[tuple[str, str]]:
        return frozenset((thing.suite, thing.id) for thing in self.things)

    @functools.cached_property
    def _groups(self) -> frozenset[str]:
        return frozenset(thing.group for thing in self.things if thing.group)

    def has_item(self, item: Item) -> bool:
        """Returns whether an item steered the run, recognised by its content, its name or its group."""
        content = not self._digests.isdisjoint(of_item(item))
        return content or (item.suite, item.id) in self._names or shared_group(item) in self._groups

    def has_document(self, examples: Sequence[Example], tokenizer: Any) -> bool:
        """Returns whether a document, given as its windows, steered the run, by its content or its tokens."""
        return not self._digests.isdisjoint(of_document(examples, tokenizer))

    def write(self, folder: Path) -> None:
        """Writes `holdfast_watched.json` into a folder, and creates the folder if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = ",\n  ".join(json.dumps(dataclasses.asdict(thing), ensure_ascii=False) for thing in self.things)
        about = json.dumps(ABOUT)
        text = f'{{\n "about": {about},\n "version": {VERSION},\n "watched": [\n  {lines}\n ]\n}}\n'
        partial = folder / f"{FILE}.partial"
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, folder / FILE)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Returns the record of a file that `write` wrote.

        Raises:
            HoldfastError: The file is not such a record.
        """
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["version"] != VERSION:
                raise ValueError(f"version {record['version']!r}")
            return cls(tuple(map(_entry_of, record["watched"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HoldfastError(
                f"{path} cannot be read ({type(error).__name__}: {error}), so what steered the training is not known;"
                " save the model again, or copy that file from the folder that it was trained in."
            ) from error


def _entry_of(record: Mapping[str, Any]) -> WatchEntry:
    entry = WatchEntry(**{**record, "digests": tuple(record["digests"])})
    texts = (entry.suite, entry.id, entry.group, *entry.digests)
    if entry.use not in get_args(Use) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{record!r} is none of what was watched")
    return entry


def record_path(folder: str | os.PathLike[str]) -> Path | None:
    """Returns the path of the record of a model's folder: in the folder, or else in its parent; None without one.

    A trainer also writes a record into its output folder, for models that other code saves below it.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        return None
    return next((path for at in (place, place.resolve().parent) if (path := at / FILE).is_file()), None)


def shared_group(item: Item) -> str:
    """Returns the group that an item shares with others; empty without one."""
    return "" if item.group == item.id else item.group


def of_item(item: Item) -> tuple[str, ...]:
    """Returns the digest of the content of an item that a model sees: its conversation, its choices, its text.

    The check of the answer is not part of it: the model gives the same answer to the same question.
    """
    return (digest_of([*(turn.content for turn in item.turns), *sorted(item.choices), item.text or ""]),)


def of_document(examples: Sequence[Example], tokenizer: Any = None) -> tuple[str, ...]:
    """Returns the digests of a document: of its content, of its tokens, and of the decoded text of its tokens.

    Args:
        examples: The windows of the document, in order.
        tokenizer: The tokenizer of the model. The third digest is left out without it, or if it has no token for a
            word.
    """
    first, *others = examples
    ids = [int(token) for token in first.input_ids]
    for window in others:  # windows repeat context, but supervise every token once
        ids += [int(label) for label in window.labels[1:] if label != -100]
    digests = [first.content] if first.content else []
    digests.append(hashlib.blake2b(f"tokens {ids}".encode(), digest_size=8).hexdigest())
    text = (
        "" if tokenizer is None or _unknown(tokenizer) in ids else str(tokenizer.decode(ids, skip_special_tokens=True))
    )
    return (*digests, *([digest_of([text])] if text.strip() else []))


def _unknown(tokenizer: Any) -> int | None:
    """Returns the token for unknown words, if the tokenizer has one that is not also another special token."""
    others = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    return None if tokenizer.unk_token_id in others else tokenizer.unk_token_id


def documents(examples: Iterable[Example]) -> list[list[Example]]:
    """Returns examples grouped by origin; each example without an origin forms its own group."""
    by_document: list[list[Example]] = []
    places: dict[str, int] = {}
    for example in examples:
        place = places.setdefault(example.origin, len(by_document)) if example.origin else len(by_document)
        if place == len(by_document):
            by_document.append([])
        by_document[place].append(example)
    return by_document


def group_of(example: Example) -> str:
    """Returns the group of a document, given one of its windows: its digest, or its origin without one."""
    return example.content or example.origin


def side_of(example: Example) -> Split:
    """Returns the side of a document, given one of its windows."""
    return split_of(group_of(example))
