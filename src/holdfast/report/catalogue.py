"""The catalogue of methods, written from the code: a table of all, a card for each, and the pages of the docs.

`python -m holdfast.report.catalogue FOLDER` writes the pages.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.machine.files import write_atomically
from holdfast.bench.machine.lines import print_line
from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Chain
from holdfast.core.settings import Setting
from holdfast.report.cards import Card, cards, first_paragraph, other_cards
from holdfast.report.catalogue_list import FOOTER, listed
from holdfast.report.markdown import WIDTH, table_row, wrapped

MOMENTS = {
    "mix_data": "before training",
    "shape_model": "before training",
    "group_params": "before training",
    "init_state": "before training",
    "renew_batches": "per step",
    "weigh_tokens": "per chunk of tokens",
    "token_loss": "per chunk of tokens",
    "penalty": "per step",
    "edit_grads": "per step",
    "scale_lr": "per step",
    "edit_update": "per step",
    "after_step": "per step",
    "edit_weights": "after training",
}
"""The time at which each hook acts."""

SOURCES = {
    "text": "The paper or its authors' code",
    "code": "Published code",
    "note": "Others' accounts of the paper",
    "memory": "From memory, not confirmed",
    "own": "Our own design",
}
"""The source of our knowledge, for each confidence of a card."""

WIDE = 130
"""Columns of a terminal from which the table of all methods has a sentence for each."""

NOTE = "Written from the code by `python -m holdfast.report.catalogue docs/methods`; do not edit."


def show(name: str | None = None, console: Console | None = None) -> None:
    """Prints the table of all methods, or the card of one.

    Args:
        name: "MaskTheTarget" or "mask-the-target"; None for the table.
        console: The console to print to; the terminal if absent.

    Raises:
        HoldfastError: There is no such method; the message names the nearest.
    """
    console = console or Console()
    all_cards = [*cards(), *other_cards()]
    if name is None:
        if console.width >= WIDE:
            console.print(_table(all_cards))
        for line in FOOTER if console.width >= WIDE else listed(all_cards, console.width):
            print_line(console, line)
        return
    by_name = {called: card for card in all_cards for called in (card.name, card.call)}
    if name not in by_name:
        all_names = ", ".join(card.call for card in all_cards)
        raise HoldfastError(f"There is no method {name!r}.{nearest(name, by_name) or f' Known: {all_names}.'}")
    _print_card(by_name[name], console)


def write(folder: str | Path) -> list[Path]:
    """Writes one Markdown page per method and an index; the same code gives the same bytes.

    Args:
        folder: The folder, created if it does not exist. Pages of removed methods stay; the caller removes them.

    Returns:
        The files, starting with the index.
    """
    pages = {"README.md": _index(cards()), **{f"{card.name}.md": _page(card) for card in cards()}}
    for file, text in pages.items():
        write_atomically(Path(folder) / file, text)
    return [Path(folder) / file for file in pages]


def _accepted(about: Setting) -> str:
    if about.choices:
        return ", ".join(map(repr, about.choices))
    if about.low is None and about.high is None:
        return "text"
    low = "any" if about.low is None else f"{about.low:g}"
    return f"{low} to {about.high:g}" if about.high is not None else f"{low} and above"


def _search(about: Setting) -> str:
    if about.search is None:
        return "-"
    return f"{about.search[0]:g} to {about.search[1]:g}{', log' if about.log else ''}"


def _needs(card: Card) -> str:
    memory = "memory" if card.needs_memory else "(memory)" if card.may_use_memory else ""
    return ", ".join(filter(None, ["base" if card.needs_base else "", memory])) or "-"


def _sure(card: Card) -> str:
    return f"{SOURCES[card.confidence[0]]}. {card.confidence[1]}"


def _moments(card: Card) -> list[str]:
    """Returns the times at which a method acts, in the order of a run; `init_state` counts only without other hooks."""
    doing = [hook for hook in card.hooks if hook != "init_state"] or list(card.hooks)
    return list(dict.fromkeys(MOMENTS[hook] for hook in doing)) or ["sets the run"]


def _memory(card: Card) -> str:
    return "yes" if card.needs_memory else "no, but accepts them" if card.may_use_memory else "no"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _law(hook: str) -> str:
    """Returns the law by which the hooks of several methods compose, from the docstring of `Chain`."""
    return first_paragraph(getattr(Chain, hook)).rstrip(".").lower()


def _table(rows: list[Card]) -> Table:
    """Returns the table of all methods, for a wide terminal."""
    table = Table(title="Methods", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for heading in ("what it does", "acts", "extra cost"):
        table.add_column(heading, overflow="fold")
    table.add_column("needs", no_wrap=True)
    table.add_column("arXiv", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for card in rows:
        table.add_row(
            card.call,
            escape(card.line),
            "\n".join(_moments(card)),
            card.cost.partition(".")[0],
            _needs(card),
            "\n".join(card.papers) or "-",
            card.confidence[0],
        )
    return table


def _print_card(card: Card, console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    console.rule(f"{card.call}  ({card.name})", align="left")
    say(f"{card.line}\n\n{_flowing(card.body)}\n")
    table = Table(title="Settings", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("accepted, unit, search", overflow="fold")
    table.add_column("meaning", overflow="fold", ratio=1)
    for name, default, about, meaning in card.settings:
        search = f"\nsearch {_search(about)}" if about.search else ""
        table.add_row(name, escape(default), escape(f"{_accepted(about)}\n{about.unit}{search}"), escape(meaning))
    console.print(table, highlight=False)
    say("")
    for hook, doing in card.hooks.items():
        say(f"Acts {MOMENTS[hook]}, in {hook}: {doing}")
    if not card.hooks:
        say("Has no hook: it sets the run.")
    say(f"Needs the base: {_yes(card.needs_base)}. Needs old examples: {_memory(card)}.")
    for other, reason in card.excludes.items():
        say(f"Cannot be combined with {other}: {reason}")
    say(f"Extra cost: {card.cost}")
    say(f"\nReference: {card.reference}\nConfidence: {_sure(card)}\nDifferences from the paper: {card.departs}")


def _flowing(body: str) -> str:
    """Returns a body whose paragraphs are single lines, for the terminal to wrap; formulas keep their lines."""
    paragraphs = body.split("\n\n")
    return "\n\n".join(text if text.startswith("    ") else " ".join(text.split()) for text in paragraphs)


def _index(rows: list[Card]) -> str:
    lines = ["# Methods", "", NOTE, ""]
    lines += ["| Method | What it does | Acts | Extra cost | Needs | arXiv | Source |", "|---|---|---|---|---|---|---|"]
    for card in rows:
        cells = (
            f"[{card.call}]({card.name}.md)",
            card.line,
            ", ".join(_moments(card)),
            card.cost.partition(".")[0],
            _needs(card),
            ", ".join(card.papers) or "-",
            card.confidence[0],
        )
        lines.append(table_row(cells))
    sources = "; ".join(f"{word}: {meaning[0].lower()}{meaning[1:]}" for word, meaning in SOURCES.items())
    lines += ["", *wrapped(f"Source: {sources}.")]
    return "\n".join(lines) + "\n"


def _page(card: Card) -> str:
    lines = [f"# {card.name}", "", NOTE, "", "```python", *_signature(card), "```", "", *wrapped(card.line), ""]
    lines += [card.body, "", "## Settings", ""]
    if card.settings:
        lines += ["| Setting | Default | Unit | Accepted | Search | Meaning |", "|---|---|---|---|---|---|"]
        for name, default, about, meaning in card.settings:
            lines.append(table_row((f"`{name}`", default, about.unit, _accepted(about), _search(about), meaning)))
    else:
        lines.append("None.")
    lines += ["", "## When it acts", ""]
    for hook, doing in card.hooks.items():
        lines += wrapped(f"{MOMENTS[hook]}, in `{hook}`: {doing} With several methods: {_law(hook)}.", "- ")
    if not card.hooks:
        lines.append("- It has no hook: it sets the run.")
    lines += ["", f"Needs the base: {_yes(card.needs_base)}. Needs old examples: {_memory(card)}.", ""]
    lines += wrapped(f"Extra cost: {card.cost}")
    if card.excludes:
        lines += ["", "## Cannot be combined with", ""]
        lines += [line for other, why in card.excludes.items() for line in wrapped(f"`{other}`: {why}", "- ")]
    lines += ["", "## Reference", "", *wrapped(card.reference), "", *wrapped(f"Confidence: {_sure(card)}")]
    lines += ["", "## Differences from the paper", "", *wrapped(card.departs)]
    return "\n".join(lines) + "\n"


def _signature(card: Card) -> list[str]:
    """Returns a call with every default: on one line, or with the settings on separate lines if it is too long."""
    shown = {"required": "...", "none": "''", "not set": "None"}
    settings = ", ".join(f"{name}={shown.get(default, default)}" for name, default, _, _ in card.settings)
    if len(call := f"{card.call}({settings})") <= WIDTH:
        return [call]
    return [f"{card.call}(", *(f"    {line}" for line in wrapped(settings)), ")"]


if __name__ == "__main__":
    write(sys.argv[1])
