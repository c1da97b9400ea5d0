"""Sets of recipes that can be compared by one word, and files of recipes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Chain, Method, chain
from holdfast.core.settings import settings_of
from holdfast.methods.edits.fapm import FAPM
from holdfast.methods.edits.soup import Soup
from holdfast.methods.holdfast import Holdfast
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.schedules.cosine import Cosine
from holdfast.methods.schedules.layerwise_decay import LayerwiseDecay
from holdfast.methods.schedules.lora_plus import LoRAPlus
from holdfast.methods.schedules.train import Train
from holdfast.methods.selection.freeze_bottom import FreezeBottom
from holdfast.methods.selection.lora import LoRA
from holdfast.methods.selection.qlora import QLoRA
from holdfast.methods.table import METHODS
from holdfast.methods.tokens.token_forgetting import TokenForgetting
from holdfast.recipe import parse

CLASSIC: tuple[type[Method], ...] = (LoRA, QLoRA, FAPM, TokenForgetting, LayerwiseDecay, FreezeBottom, Rehearsal)
"""What practitioners reach for, beside full fine-tuning, which is always run, and `Holdfast`."""

NOT_ALONE = {Train: "sets the run", Cosine: "a schedule of plain training", Soup: "needs the folders of other runs"}
"""Methods that are no choice by themselves, and why."""


def classic(memory: str | None) -> tuple[list[Chain], list[str]]:
    """Returns the recipes of the set, and a sentence about each that is left out."""
    return _with_holdfast(*_single_methods(CLASSIC, memory), memory)


def field(memory: str | None) -> tuple[list[Chain], list[str]]:
    """Returns `Holdfast` and every method alone, as it comes, and a sentence about each that is left out."""
    return _with_holdfast(*_single_methods([cls for cls in METHODS if cls not in NOT_ALONE], memory), memory)


SETS: dict[str, Callable[[str | None], tuple[list[Chain], list[str]]]] = {"classic": classic, "field": field}


def _with_holdfast(found: list[Chain], left: list[str], memory: str | None) -> tuple[list[Chain], list[str]]:
    """Returns a set with `Holdfast` before the others: with old examples if there are any, and without."""
    own = [Holdfast(given, adapter) for adapter in (False, True) for given in dict.fromkeys((memory or "", ""))]
    return [*map(chain, own), *found], left


def _single_methods(classes: Sequence[type[Method]], memory: str | None) -> tuple[list[Chain], list[str]]:
    found, left = [], []
    for cls in classes:
        if cls is QLoRA and importlib.util.find_spec("bitsandbytes") is None:
            left.append("QLoRA is left out: it needs bitsandbytes (pip install 'holdfast[gpu]').")
            continue
        given = {"memory": memory} if memory is not None and "memory" in settings_of(cls) else {}
        try:
            found.append(chain(LoRA(), cls()) if cls is LoRAPlus else chain(cls(**given)))
        except HoldfastError:
            if memory is not None:
                raise
            left.append(f"{cls.__name__} is left out: it needs old examples; name some with --memory NAME=FILE.")
    return found, left


def recipes_of(words: Sequence[str], memory: str | None) -> tuple[list[Chain], list[str]]:
    """Returns the recipes that some words stand for, and sentences about those that are left out.

    Args:
        words: Sums of methods, names of sets, and files with a recipe on each line.
        memory: What the recipes of a set call the old examples; None where there are none.

    Raises:
        HoldfastError: A word is none of the three, or a recipe cannot be read; names file and line.
    """
    found: list[Chain] = []
    notes: list[str] = []
    for word in words:
        if word in SETS:
            made, left = SETS[word](memory)
            found, notes = [*found, *made], [*notes, *left]
        elif "(" not in word and Path(word).expanduser().is_file():
            found += _recipes_in_file(Path(word).expanduser())
        elif word.replace("_", "").replace("-", "").isalpha() and (hint := nearest(word, SETS)):
            raise HoldfastError(f"--recipes {word}: there is no set of that name.{hint}")
        else:
            found.append(parse(word))
    return found, notes


def _recipes_in_file(path: Path) -> list[Chain]:
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HoldfastError(f"--recipes {path}: cannot be read ({error}); give a text file.") from error
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                found.append(parse(text))
            except HoldfastError as error:
                raise HoldfastError(f"{path}:{number}: {error}") from error
    if not found:
        raise HoldfastError(f"--recipes {path}: no line is a recipe; write one on each line.")
    return found
