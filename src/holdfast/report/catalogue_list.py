"""The methods in groups, one line each, for a terminal of 80 columns: where to start first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.methods.names import METHODS, SUMS
from holdfast.report.cards import Card

START = ("Holdfast", "LoRA", "PromptRehearsal", "RefusalRehearsal", "Rehearsal", "SelfRehearsal", "BaseKL", "WSD")
"""What docs/which-method.md advises to begin with: `Holdfast` and the methods in its sums."""
GROUPS = {
    "schedules": "The run and its learning rate",
    "selection": "What trains: adapters and parts of the model",
    "rehearsal": "Old examples and the base's own answers",
    "losses": "Penalties to the base model",
    "tokens": "Weights of tokens",
    "gradients": "Changes of gradients and updates",
    "edits": "Edits of the weights after training",
}
"""Headings of the groups, by the folder of their methods."""
OTHERS = "Of other packages"
FOOTER = (
    "b: compares with the base; m: needs old examples; (m): can use them.",
    "One method in full: holdfast methods NAME. How to choose: docs/which-method.md.",
)


def listed(cards: Sequence[Card], width: int) -> Iterator[str]:
    """Yields the lines of the list, none longer than `width`."""
    by_name = {card.call: card for card in cards}
    longest = max(map(len, by_name))
    for heading, names in groups(list(by_name)).items():
        yield ""
        yield heading
        for name in names:
            card = by_name[name]
            line = f"  {name:{longest}} {_needs(card):{NEEDS}} {card.line}"
            yield line if len(line) <= width else f"{line[: width - 1].rstrip()}…"
    yield ""
    yield from FOOTER


def groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the names under their headings, each name once; groups without a name are left out."""
    found: dict[str, list[str]] = {"Start here": [name for name in START if name in names]}
    for folder, heading in GROUPS.items():
        found[heading] = [name for name in names if _folder(name) == folder and name not in START]
    found[OTHERS] = [name for name in names if name not in METHODS and name not in SUMS]
    return {heading: listed for heading, listed in found.items() if listed}


NEEDS = 4
"""Columns of what a method needs: "b(m)"."""


def _needs(card: Card) -> str:
    memory = "m" if card.needs_memory else "(m)" if card.may_use_memory else ""
    return f"{'b' if card.needs_base else ''}{memory}"


def _folder(name: str) -> str:
    return METHODS.get(name, "").partition(".")[0]
