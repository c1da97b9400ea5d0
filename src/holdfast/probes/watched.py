"""What steered a training: written beside every model that it saves, so that nobody judges the model by it later.

The file `holdfast_watched.json` holds a line for each item, text or row that something was chosen by: what a guard
asked while training, and what the trainer's own evaluation chose a checkpoint by. It knows them by digests of their
content, so that they are found again in another file, under another name, or in another suite.
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
class Thing:
    """One item, text or row that steered a training.

    Attributes:
        use: "keep" and "learn" were asked by a guard, "apart" stood on its side without being asked, and "eval" chose
            a checkpoint.
        suite: The suite it belonged to; of texts the name of their source, where it is known.
        id: Its id within its suite, or where it was read.
        group: The group that it shares with others; empty if it is alone.
        digests: Digests of its content, each by another way of reading it (see `of_item` and `of_document`).
    """

    use: Use
    suite: str
    id: str
    group: str = ""
    digests: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Watched:
    """All that steered a training, and by which others are recognised as steering it too.

    Attributes:
        things: What steered it.
    """

    things: tuple[Thing, ...] = ()

    def __len__(self) -> int:
        """Number of things."""
        return len(self.things)

    def __or__(self, other: Watched) -> Watched:
        """Returns what steered either of two trainings."""
        return Watched(tuple(dict.fromkeys((*self.things, *other.things))))

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
        """Returns whether an item steered it, whatever it is called now: by its content, its name, or its group."""
        content = not self._digests.isdisjoint(of_item(item))
        return content or (item.suite, item.id) in self._names or shared_group(item) in self._groups

    def has_document(self, examples: Sequence[Example], tokenizer: Any) -> bool:
        """Returns whether a document, given as its windows, steered it: by its content or its tokens."""
        return not self._digests.isdisjoint(of_document(examples, tokenizer))

    def write(self, folder: Path) -> None:
        """Writes `holdfast_watched.json` into a folder, which is made if it is not there."""
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
        """Returns what a file says that `write` wrote.

        Raises:
            HoldfastError: If it is not such a file.
        """
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["version"] != VERSION:
                raise ValueError(f"version {record['version']!r}")
            return cls(tuple(map(_thing, record["watched"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HoldfastError(
                f"{path} cannot be read ({type(error).__name__}: {error}), so what steered the training is not known;"
                " save the model again, or copy that file from the folder that it was trained in."
            ) from error


def _thing(record: Mapping[str, Any]) -> Thing:
    made = Thing(**{**record, "digests": tuple(record["digests"])})
    texts = (made.suite, made.id, made.group, *made.digests)
    if made.use not in get_args(Use) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{record!r} is none of what was watched")
    return made


def beside(folder: str | os.PathLike[str]) -> Path | None:
    """Returns the record that belongs to a model's folder: the one in it, or else the one in the folder above.

    A trainer leaves one in its output folder too, for models that are saved below it by other means.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        return None
    return next((found for at in (place, place.resolve().parent) if (found := at / FILE).is_file()), None)


def shared_group(item: Item) -> str:
    """Returns the group that an item shares with others; empty if it stands alone."""
    return "" if item.group == item.id else item.group


def of_item(item: Item) -> tuple[str, ...]:
    """Returns the digest of all that a model is shown of an item: its conversation, its choices, its text.

    How an answer is checked does not count: to the same question a model says the same.
    """
    shown = [*(turn.content for turn in item.turns), *sorted(item.choices), item.text or ""]
    return (digest_of([*shown, item.ending] if item.ending else shown),)


def of_document(examples: Sequence[Example], tokenizer: Any = None) -> tuple[str, ...]:
    """Returns the digests of a document: of its content, of its tokens, and of what they read as.

    Args:
        examples: Its windows, in order.
        tokenizer: The model's; without it, or where it has no tokens for a word, the third is left out.
    """
    first, *others = examples
    ids = [int(token) for token in first.input_ids]
    for window in others:  # each token is predicted once, whatever windows begin with
        ids += [int(label) for label in window.labels[1:] if label != -100]
    found = [first.content] if first.content else []
    found.append(hashlib.blake2b(f"tokens {ids}".encode(), digest_size=8).hexdigest())
    said = (
        "" if tokenizer is None or _unknown(tokenizer) in ids else str(tokenizer.decode(ids, skip_special_tokens=True))
    )
    return (*found, *([digest_of([said])] if said.strip() else []))


def _unknown(tokenizer: Any) -> int | None:
    """Returns the token that stands for words that a tokenizer cannot write, where it has one of its own."""
    others = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    return None if tokenizer.unk_token_id in others else tokenizer.unk_token_id


def documents(examples: Iterable[Example]) -> list[list[Example]]:
    """Returns examples by document: those of one origin together, each without an origin alone."""
    found: list[list[Example]] = []
    places: dict[str, int] = {}
    for example in examples:
        place = places.setdefault(example.origin, len(found)) if example.origin else len(found)
        if place == len(found):
            found.append([])
        found[place].append(example)
    return found


def group_of(example: Example) -> str:
    """Returns the group of a document, given one of its windows: its content, or its origin where that is unknown."""
    return example.content or example.origin


def side_of(example: Example) -> Split:
    """Returns the side that a document is on."""
    return split_of(group_of(example))
