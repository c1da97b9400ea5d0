"""Named sets of recipes for `compare`, and files of recipes."""

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
"""Methods in common use. Full fine-tuning always runs beside them, and the set adds `Holdfast`."""

NOT_ALONE = {Train: "sets the run", Cosine: "a schedule of plain training", Soup: "needs the folders of other runs"}
"""Methods that the set `field` leaves out, each with the reason."""


def classic(memory: str | None) -> tuple[list[Chain], list[str]]:
    """Returns the recipes of the set `classic`, and a sentence about each one left out."""
    return _with_holdfast(*_single_methods(CLASSIC, memory), memory)


def field(memory: str | None) -> tuple[list[Chain], list[str]]:
    """Returns `Holdfast` and every single method with its defaults, and a sentence about each one left out."""
    return _with_holdfast(*_single_methods([cls for cls in METHODS if cls not in NOT_ALONE], memory), memory)


SETS: dict[str, Callable[[str | None], tuple[list[Chain], list[str]]]] = {"classic": classic, "field": field}


def _with_holdfast(recipes: list[Chain], notes: list[str], memory: str | None) -> tuple[list[Chain], list[str]]:
    """Returns a set that begins with `Holdfast`: with old examples if there are any, and without."""
    sums = [Holdfast(name, adapter) for adapter in (False, True) for name in dict.fromkeys((memory or "", ""))]
    return [*map(chain, sums), *recipes], notes


def _single_methods(classes: Sequence[type[Method]], memory: str | None) -> tuple[list[Chain], list[str]]:
    recipes, notes = [], []
    for cls in classes:
        if cls is QLoRA and importlib.util.find_spec("bitsandbytes") is None:
            notes.append("QLoRA is left out: it needs bitsandbytes (pip install 'holdfast[gpu]').")
            continue
        fields = {"memory": memory} if memory is not None and "memory" in settings_of(cls) else {}
        try:
            recipes.append(chain(LoRA(), cls()) if cls is LoRAPlus else chain(cls(**fields)))
        except HoldfastError:
            if memory is not None:
                raise
            notes.append(f"{cls.__name__} is left out: it needs old examples; name some with --memory NAME=FILE.")
    return recipes, notes


def recipes_of(words: Sequence[str], memory: str | None) -> tuple[list[Chain], list[str]]:
    """Returns the recipes that `words` name, and a sentence about each one left out.

    Args:
        words: Sums of methods, names of sets, and files with a recipe on each line.
        memory: Name of the old examples in the recipes of a set; None without old examples.

    Raises:
        HoldfastError: A word is neither a recipe nor a set nor a file, or a recipe is malformed; names file and line.
    """
    recipes: list[Chain] = []
    notes: list[str] = []
    for word in words:
        if word in SETS:
            of_set, left_out = SETS[word](memory)
            recipes, notes = [*recipes, *of_set], [*notes, *left_out]
        elif "(" not in word and Path(word).expanduser().is_file():
            recipes += _recipes_in_file(Path(word).expanduser())
        elif word.replace("_", "").replace("-", "").isalpha() and (hint := nearest(word, SETS)):
            raise HoldfastError(f"--recipes {word}: no set has that name.{hint}")
        else:
            recipes.append(parse(word))
    return recipes, notes


def _recipes_in_file(path: Path) -> list[Chain]:
    recipes = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HoldfastError(f"--recipes {path}: cannot be read ({error}); give a text file.") from error
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                recipes.append(parse(text))
            except HoldfastError as error:
                raise HoldfastError(f"{path}:{number}: {error}") from error
    if not recipes:
        raise HoldfastError(f"--recipes {path}: the file has no recipe; write one on each line.")
    return recipes
