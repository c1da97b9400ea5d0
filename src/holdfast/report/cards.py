"""The card of a method: all that its docstring, its settings, its hooks and its declared facts say of it."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import re
import textwrap

from holdfast.core.errors import HoldfastError
from holdfast.core.method import HOOKS, Method
from holdfast.core.settings import Setting, settings_of
from holdfast.core.sums import clash
from holdfast.methods.plugins import declared, foreign
from holdfast.methods.table import METHODS, SUMS

logger = logging.getLogger("holdfast")


@dataclasses.dataclass(frozen=True)
class Card:
    """All that the code says of one method.

    Attributes:
        name: Name of the card, that of the method's file: "mask-the-target".
        call: Name of the class, as a recipe writes it: "MaskTheTarget".
        line: One sentence.
        body: The rest of the description, formula included, as it stands in the docstring.
        settings: Per setting its name, default as text, `Setting` and meaning.
        reference: Where it comes from.
        papers: The arXiv ids in it.
        confidence: How sure we are of it: "text" (paper or authors' code read), "code" (another's implementation),
            "note" (somebody's account of the paper), "memory", or "own" design; and why.
        cost: What it costs beside plain training; the first sentence is short.
        departs: How it departs from its paper.
        hooks: Names of the hooks at which it acts, each with what it does there.
        needs_base: Whether it compares with the frozen base.
        needs_memory: Whether it needs old examples.
        may_use_memory: Whether it takes old examples.
        excludes: Methods that make no sense beside it, each with the reason.
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
    sections = _sections(inspect.getdoc(cls) or "")
    meanings = _arguments(sections["Args"])
    fields = {field.name: field for field in dataclasses.fields(cls)}
    takes_memory = any(about.role == "memory" for about in settings_of(cls).values())
    line, _, body = sections[""].partition("\n\n")
    reference = _joined(sections["Reference"])
    sure, _, why = _joined(sections["Confidence"]).partition(":")
    return Card(
        name=cls.__module__.rsplit(".", 1)[-1].replace("_", "-"),
        call=cls.__name__,
        line=_joined(line),
        body=body.strip("\n"),
        settings=tuple(
            (name, _default(fields[name], _refused(cls)), about, meanings.get(name, ""))
            for name, about in settings_of(cls).items()
        ),
        reference=reference,
        papers=tuple(re.findall(r"arXiv (\d{4}\.\d{4,5})", reference)),
        confidence=(sure.strip() or "own", why.strip()),
        cost=_joined(sections["Cost"]),
        departs=_joined(sections["Departs"]),
        hooks={hook: doing for hook in HOOKS if (doing := _doing(cls, hook))},
        needs_base=any(fact.startswith("base_") for part in _parts(cls) for fact in part.facts()),
        needs_memory=takes_memory and _refused(cls),
        may_use_memory=takes_memory,
        excludes=_exclusions(cls),
    )


def cards() -> list[Card]:
    """Returns the cards of all sums with a name and of all methods of this package, in the order of the tables."""
    return [card(cls) for cls in (*SUMS, *METHODS)]


def other_cards() -> list[Card]:
    """Returns the cards of the methods that other packages declare; a broken one is left out with a warning."""
    found = []
    for name in declared():
        try:
            found.append(card(foreign(name)))
        except HoldfastError as error:
            logger.warning("%s", error)
    return found


def _parts(cls: type[Method]) -> list[type[Method]]:
    """The methods that a sum with a name has as it comes; of any other class itself."""
    return [type(part) for part in cls().parts()] if cls in SUMS else [cls]


def _doing(cls: type[Method], hook: str) -> str:
    """What a method does at a hook, or which parts of a sum act there; "" where nothing does."""
    acting = [part for part in _parts(cls) if getattr(part, hook) is not getattr(Method, hook)]
    said = ", ".join(part.__name__ for part in acting) + "." if cls in SUMS else first_paragraph(getattr(cls, hook))
    return said if acting else ""


def _refused(cls: type[Method]) -> bool:
    """Whether a method cannot do without what has no default."""
    try:
        cls()
    except HoldfastError:
        return True
    return False


def _exclusions(cls: type[Method]) -> dict[str, str]:
    """The pairs refused, whichever of the two refuses; of a sum those of its parts."""
    reasons: dict[str, str] = {}
    for part in _parts(cls):
        reasons |= {other.__name__: reason for other in (*METHODS, cls) if (reason := clash(part, other))}
    return reasons


def _sections(doc: str) -> dict[str, str]:
    """Parts a docstring at its headings; what comes before the first is under ""."""
    found: dict[str, list[str]] = {"": []}
    heading = ""
    for line in doc.splitlines():
        mark = re.fullmatch(r"(Args|Returns|Raises|Reference|Confidence|Cost|Departs):", line)
        if mark:
            heading = mark[1]
            found[heading] = []
        else:
            found[heading].append(line)
    parted = {name: textwrap.dedent("\n".join(lines)).strip("\n") for name, lines in found.items()}
    return {**dict.fromkeys(("Args", "Reference", "Confidence", "Cost", "Departs"), ""), **parted}


def _arguments(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        mark = re.match(r"(\w+): (.*)", line)
        if mark:
            name = mark[1]
            found[name] = mark[2]
        elif name:
            found[name] += " " + line.strip()
    return {name: meaning.strip() for name, meaning in found.items()}


def _joined(text: str) -> str:
    return " ".join(text.split())


def first_paragraph(what: object) -> str:
    """Returns the first paragraph of a docstring, on one line."""
    return _joined((inspect.getdoc(what) or "").partition("\n\n")[0])


def _default(field: dataclasses.Field[object], refused: bool) -> str:
    if field.default in (dataclasses.MISSING, ""):
        return "needed" if refused else "none"
    return "not set" if field.default is None else repr(field.default)
