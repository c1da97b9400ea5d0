"""The records of a suite: from a folder that `HOLDFAST_SUITES` names, else from the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.data.files import SUFFIXES, Record, suffix_of
from holdfast.data.sources import open_source
from holdfast.suites.flores import sentences
from holdfast.suites.registry import FOLDER, Named
from holdfast.suites.wikitext import articles
from holdfast.suites.words import Word

SPLITS = ("test", "validation", "train")


def records_of(word: Word) -> tuple[list[Record], str]:
    """Returns the records of a suite, each with where it stands, and where they all come from, in words.

    The folder comes first, because it is named on purpose; the hub is asked if the folder does not hold the suite.

    Raises:
        HoldfastError: If neither has the suite; the sentence says how it can be had.
    """
    if (path := file_of(word.suite)) is not None:
        return _of_part(word, _read(word, str(path)), path), f"{path.parent.name}/{path.name} in {FOLDER}"
    sources = sources_of(word)
    try:
        records = [record for part, source in sources for record in _tagged(word, part, _read(word, source))]
    except HoldfastError as error:
        raise HoldfastError(_why(word, str(error))) from error
    return records, sources[0][1] if len(
        sources
    ) == 1 else f"{len(sources)} parts of {word.suite.hub.partition('/{')[0]}"


def _of_part(word: Word, records: list[Record], path: Path) -> list[Record]:
    """Returns records of a whole set, after a check that they say of which part they are where one is wanted."""
    field = word.suite.part
    if word.part and not all(isinstance(record, Mapping) and field in record for _, record in records):
        raise HoldfastError(
            f"'{word.name}': {path} does not say of which part each record is (field '{field}'), so {word.part} cannot"
            f" be taken out; add the field, or ask all of it as {word.suite.name}."
        )
    return records


def file_of(suite: Named) -> Path | None:
    """Returns the file or folder that holds a suite in the folder that `HOLDFAST_SUITES` names; None if none does.

    Raises:
        HoldfastError: If the variable names no folder.
    """
    named = os.environ.get(FOLDER)
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise HoldfastError(f"{FOLDER}={named}: there is no such folder; name one with public sets, or unset it.")
    for pattern in patterns(suite):
        fits = [path for path in sorted(folder.glob(pattern)) if path.is_dir() or suffix_of(path) in SUFFIXES]
        if fits:
            return fits[0]
    return None


def patterns(suite: Named) -> tuple[str, ...]:
    """Returns where a folder may hold a suite, the first that fits."""
    usual = (f"{suite.name}.*", f"{suite.name}/test*", f"{suite.name}/validation*")
    return tuple(dict.fromkeys((*suite.files, *usual)))


def sources_of(word: Word) -> list[tuple[str, str]]:
    """Returns where a suite lies on the hub: of each part that must be loaded its name and its source."""
    suite = word.suite
    if "{part}" not in suite.hub:
        return [("", suite.hub)]
    if not word.part and suite.whole:
        return [("", suite.hub.format(part=suite.whole))]
    return [(part, suite.hub.format(part=part)) for part in ([word.part] if word.part else suite.parts)]


def _why(word: Word, error: str) -> str:
    """Returns why a suite cannot be had, and how it can, in one sentence."""
    reason = re.search(r"could not be loaded from the Hugging Face hub \((.*?)\);", error)
    return (
        f"'{word.name}': the suite could not be loaded from the Hugging Face hub ("
        f"{reason[1] if reason else error.rstrip('.')}); reach the hub, or put it into a folder as "
        f"{patterns(word.suite)[0]} and give {FOLDER}=FOLDER."
    )


def _read(word: Word, source: str) -> list[Record]:
    records = [record for _, group in open_source(source, splits=SPLITS) for record in group]
    if word.suite.name == "wikitext2":
        records = list(articles(records))
    if word.suite.name in ("flores200", "flores200_text"):
        records = list(sentences(records, word.part))
    field = word.suite.part
    if word.part and records and isinstance(records[0][1], Mapping) and field in records[0][1]:
        records = [(origin, record) for origin, record in records if record.get(field) == word.part]
    if not records:
        raise HoldfastError(f"{source}: holds nothing of {word.name}.")
    return records


def _tagged(word: Word, part: str, records: list[Record]) -> Iterator[Record]:
    """Yields records that say of which part they are."""
    for origin, record in records:
        tag: Mapping[str, Any] = {word.suite.part: part} if part else {}
        yield origin, {**tag, **record} if isinstance(record, Mapping) else record
