"""What names a suite on the command line: `NAME`, `NAME/PART`, either with `:N` for N of its items."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data.files import suffix_of
from holdfast.suites.embedded import NAME as GENERAL
from holdfast.suites.embedded import embedded_items, is_embedded
from holdfast.suites.registry import BY_NAME, Named
from holdfast.suites.sets import SETS

_WORD = re.compile(r"(?P<name>\w+)(?:/(?P<part>\w+))?(?::(?P<count>[^:/]*))?")
_FEW = re.compile(r"(?P<source>.+):(?P<count>\d+)")


@dataclasses.dataclass(frozen=True)
class Word:
    """A suite that a word names.

    Attributes:
        suite: The suite.
        part: The part of it that is meant; empty for the whole.
        count: Number of its items that are taken; None for all.
    """

    suite: Named
    part: str = ""
    count: int | None = None

    @property
    def name(self) -> str:
        """What the suite is called where it is measured."""
        return f"{self.suite.name}/{self.part}" if self.part else self.suite.name


def word_of(source: str) -> Word | None:
    """Returns the suite that a source names; None if it names none, or a file or folder that is here.

    Raises:
        HoldfastError: As `read_word`.
    """
    return None if _is_here(source) else read_word(source)


def read_word(source: str) -> Word | None:
    """Returns the suite that a source names, whatever files are here; None if it names none.

    Raises:
        HoldfastError: If the suite has no such part, or what stands behind the colon is no number of items.
    """
    match = _WORD.fullmatch(source)
    if match is None or match["name"] not in BY_NAME:
        return None
    suite, part = BY_NAME[match["name"]], match["part"] or ""
    if part and part not in suite.parts:
        if not suite.parts:
            raise HoldfastError(f"'{source}': the suite {suite.name} has no parts; leave out '/{part}'.")
        raise HoldfastError(
            f"'{source}': the suite {suite.name} has no part '{part}' (`holdfast suites {suite.name}` lists them)."
            f"{nearest(part, suite.parts)}"
        )
    return Word(suite, part, _count(match["count"], source, suite))


def names_general(source: str) -> bool:
    """Returns whether a source names the suite `general` or a part of it, and no file or folder that is here."""
    return is_embedded(source) and (source.startswith(f"{GENERAL}:") or not _is_here(source))


def set_of(source: str) -> list[Word]:
    """Returns the suites of a set (`SET` or `SET:N`, N items of each); none if it names no set, or a file that is here.

    Raises:
        HoldfastError: As `read_set`.
    """
    return [] if _is_here(source) else read_set(source)


def read_set(source: str) -> list[Word]:
    """Returns the suites of the set that a source names, whatever files are here; none if it names no set.

    Raises:
        HoldfastError: If what stands behind the colon is no number of items.
    """
    name, colon, count = source.partition(":")
    if name not in SETS:
        return []
    if colon and (not count.isdecimal() or int(count) < 1):
        raise HoldfastError(f"'{source}': behind the colon stands a number of items of each suite, as in {name}:300.")
    words = [read_word(f"{member}{colon}{count}") for member in SETS[name].members]
    return [word for word in words if word is not None]


def few_of(source: str) -> tuple[str, int] | None:
    """Returns source and number of PATH:N or SCHEME:NAME:N, of which N items are meant; None for any other source.

    Raises:
        HoldfastError: If N is 0.
    """
    match = _FEW.fullmatch(source)
    if match is None or Path(source).expanduser().exists():
        return None
    whole, count = match["source"], int(match["count"])
    if ":" not in whole and not Path(whole).expanduser().exists():
        return None
    if count < 1:
        raise HoldfastError(f"'{source}': behind the last colon stands a number of items from 1.")
    return whole, count


def shadowed(source: str) -> str:
    """Returns the name of the suite or set that a file or folder here stands in the way of; empty if it does not."""
    match = _WORD.fullmatch(source)
    named = match is not None and match["name"] in {*BY_NAME, *SETS, GENERAL}
    return match["name"] if match is not None and named and _is_here(source) else ""


def check_word(source: str) -> bool:
    """Returns whether a source is the name of a suite, as far as its words say.

    Raises:
        HoldfastError: If it looks like the name of a suite and is none, and there is no file of that name; the sentence
            names the nearest suite.
    """
    if names_general(source):
        embedded_items(source, [])
        return True
    if word_of(source) is not None or set_of(source) or source.startswith("harness:"):
        return True
    plain = source.partition(":")[0]
    scheme = source.count(":") > 1 or (":" in source and not source.rpartition(":")[2].isdecimal())
    if re.fullmatch(r"[\w-]+", plain) and not (scheme or suffix_of(Path(source)) or _is_here(source)):
        raise HoldfastError(
            f"There is no suite, file or folder called '{plain}'; `holdfast suites` lists the suites."
            f"{nearest(plain, [GENERAL, *BY_NAME, *SETS, *_beside()])}"
        )
    return False


def _count(text: str | None, source: str, suite: Named) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        of = f"; a part is {suite.name}/{suite.parts[0]}" if suite.parts else ""
        raise HoldfastError(
            f"'{source}': behind the colon stands a number of items from 1, as in {suite.name}:300{of}."
        )
    return int(text)


def _is_here(source: str) -> bool:
    """Returns whether a file or folder of that name is here, with or without the number of items."""
    plain = source.rpartition(":")[0] if source.rpartition(":")[2].isdecimal() else source
    return Path(source).exists() or bool(plain and Path(plain).exists())


def _beside() -> list[str]:
    """Returns the names of files and folders here."""
    return [entry.name for entry in os.scandir()]
