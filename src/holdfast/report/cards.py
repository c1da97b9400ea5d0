"""The card of a method: its docstring, settings, hooks and declared facts."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import re

from holdfast.core.errors import HoldfastError
from holdfast.core.method import HOOKS, Method
from holdfast.core.settings import Setting, settings_of
from holdfast.core.sums import clash
from holdfast.methods.docstrings import joined, sections_of
from holdfast.methods.plugins import declared, foreign
from holdfast.methods.table import METHODS, SUMS

logger = logging.getLogger("holdfast")


@dataclasses.dataclass(frozen=True)
class Card:
    """All facts about one method, read from its code.

    Attributes:
        name: Name of the card, from the method's file: "mask-the-target".
        call: Name of the class, as in a recipe: "MaskTheTarget".
        line: The first sentence of the docstring.
        body: The rest of the description, formula included, as in the docstring.
        settings: For each setting, its name, its default as text, its `Setting` and its meaning.
        reference: Sources of the method.
        papers: The arXiv ids in the reference.
        confidence: Source of our knowledge, with the reason: "text" (we read the paper or the authors' code), "code"
            (another implementation), "note" (somebody's account of the paper), "memory", or "own" design.
        cost: Extra cost compared with plain training; the first sentence is short.
        departs: Differences from the paper.
        hooks: Names of the hooks of the method, each with its action.
        needs_base: Whether the method compares with the frozen base.
        needs_memory: Whether the method needs old examples.
        may_use_memory: Whether the method accepts old examples.
        excludes: Methods that a recipe cannot combine with it, each with the reason.
    """

    name: str
    call: str
    line: str
    body: str
    settings: tuple[tuple[str, str, Setting, str], ...]
    reference: str
    papers: tuple[str, ...]
    confidence: tuple[str, str]
    cost: str
    departs: str
    hooks: dict[str, str]
    needs_base: bool
    needs_memory: bool
    may_use_memory: bool
    excludes: dict[str, str]


def card(cls: type[Method]) -> Card:
    """Returns the card of a method class, read from its docstring, its settings and its hooks."""
    sections = sections_of(inspect.getdoc(cls) or "")
    meanings = _arguments(sections["Args"])
    fields = {field.name: field for field in dataclasses.fields(cls)}
    takes_memory = any(about.role == "memory" for about in settings_of(cls).values())
    line, _, body = sections[""].partition("\n\n")
    reference = joined(sections["Reference"])
    sure, _, why = joined(sections["Confidence"]).partition(":")
    return Card(
        name=cls.__module__.rsplit(".", 1)[-1].replace("_", "-"),
        call=cls.__name__,
        line=joined(line),
        body=body.strip("\n"),
        settings=tuple(
            (name, _default(fields[name], _refused(cls)), about, meanings.get(name, ""))
            for name, about in settings_of(cls).items()
        ),
        reference=reference,
        papers=tuple(re.findall(r"arXiv (\d{4}\.\d{4,5})", reference)),
        confidence=(sure.strip() or "own", why.strip()),
        cost=joined(sections["Cost"]),
        departs=joined(sections["Departs"]),
        hooks={hook: doing for hook in HOOKS if (doing := _doing(cls, hook))},
        needs_base=any(fact.startswith("base_") for part in _parts(cls) for fact in part.facts()),
        needs_memory=takes_memory and _refused(cls),
        may_use_memory=takes_memory,
        excludes=_exclusions(cls),
    )


def cards() -> list[Card]:
    """Returns the cards of all named sums and all methods of this package, in the order of the tables."""
    return [card(cls) for cls in (*SUMS, *METHODS)]


def other_cards() -> list[Card]:
    """Returns the cards of the methods of other packages; a method that cannot be imported gives a warning instead."""
    cards_of_others = []
    for name in declared():
        try:
            cards_of_others.append(card(foreign(name)))
        except HoldfastError as error:
            logger.warning("%s", error)
    return cards_of_others


def _parts(cls: type[Method]) -> list[type[Method]]:
    """Returns the methods in a named sum with default settings; for any other class, the class itself."""
    return [type(part) for part in cls().parts()] if cls in SUMS else [cls]


def _doing(cls: type[Method], hook: str) -> str:
    """Returns a method's action at a hook, or the parts of a sum that have the hook; "" if there are none."""
    acting = [part for part in _parts(cls) if getattr(part, hook) is not getattr(Method, hook)]
    action = ", ".join(part.__name__ for part in acting) + "." if cls in SUMS else first_paragraph(getattr(cls, hook))
    return action if acting else ""


def _refused(cls: type[Method]) -> bool:
    """Returns whether a method needs a setting without a default."""
    try:
        cls()
    except HoldfastError:
        return True
    return False


def _exclusions(cls: type[Method]) -> dict[str, str]:
    """Returns the methods that exclude this one, or that it excludes, with reasons; for a sum, those of its parts."""
    reasons: dict[str, str] = {}
    for part in _parts(cls):
        reasons |= {other.__name__: reason for other in (*METHODS, cls) if (reason := clash(part, other))}
    return reasons


def _arguments(text: str) -> dict[str, str]:
    meanings: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        mark = re.match(r"(\w+): (.*)", line)
        if mark:
            name = mark[1]
            meanings[name] = mark[2]
        elif name:
            meanings[name] += " " + line.strip()
    return {name: meaning.strip() for name, meaning in meanings.items()}


def first_paragraph(what: object) -> str:
    """Returns the first paragraph of a docstring, on one line."""
    return joined((inspect.getdoc(what) or "").partition("\n\n")[0])


def _default(field: dataclasses.Field[object], refused: bool) -> str:
    if field.default in (dataclasses.MISSING, ""):
        return "required" if refused else "none"
    return "not set" if field.default is None else repr(field.default)
