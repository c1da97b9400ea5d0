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
from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.method import Chain
from holdfast.core.settings import Setting
from holdfast.report.cards import Card, cards, first_paragraph, other_cards
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
"""When each hook acts."""

SHORT = {
    "sets the run": "run",
    "before training": "before",
    "per chunk of tokens": "tokens",
    "per step": "step",
    "after training": "after",
}
"""The same in a narrow table."""

SOURCES = {
    "text": "The paper, or its authors' code, was read",
    "code": "Read in published code",
    "note": "Known from others' accounts of the paper",
    "memory": "From memory, not confirmed",
    "own": "Our own",
}
"""How sure a card is of its method."""

WIDE = 130
"""From how many columns on the table of all methods says what each does."""

NOTE = "Written from the code by `python -m holdfast.report.catalogue docs/methods`; do not edit."


def show(name: str | None = None, console: Console | None = None) -> None:
    """Prints the table of all methods, or the card of one.

    Args:
        name: "MaskTheTarget" or "mask-the-target"; absent for the table.
        console: Where to print; the terminal if not given.

    Raises:
        HoldfastError: There is no such method; the sentence names the nearest.
    """
    console = console or Console()
    found = [*cards(), *other_cards()]
    if name is None:
        console.print(_table(found, sentences=console.width >= WIDE))
        console.print("One in full: holdfast methods NAME", highlight=False)
        return
    by_name = {called: one for one in found for called in (one.name, one.call)}
    if name not in by_name:
        all_names = ", ".join(one.call for one in found)
        raise HoldfastError(f"There is no method {name!r}.{nearest(name, by_name) or f' Known: {all_names}.'}")
    _print_card(by_name[name], console)


def write(folder: str | Path) -> list[Path]:
    """Writes one Markdown page per method and an index; the same code gives the same bytes.

    Args:
        folder: Made if it is not there; pages of methods that are gone stay, and are for the caller to remove.

    Returns:
        The files, the index first.
    """
    pages = {"README.md": _index(cards()), **{f"{found.name}.md": _page(found) for found in cards()}}
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


def _needs(one: Card) -> str:
    memory = "memory" if one.needs_memory else "(memory)" if one.may_use_memory else ""
    return ", ".join(filter(None, ["base" if one.needs_base else "", memory])) or "-"


def _sure(one: Card) -> str:
    return f"{SOURCES[one.confidence[0]]}. {one.confidence[1]}"


def _moments(one: Card) -> list[str]:
    """When a method acts, in the order of a run; preparing its state counts where it does nothing else."""
    doing = [hook for hook in one.hooks if hook != "init_state"] or list(one.hooks)
    return list(dict.fromkeys(MOMENTS[hook] for hook in doing)) or ["sets the run"]


def _memory(one: Card) -> str:
    return "yes" if one.needs_memory else "no, but takes one" if one.may_use_memory else "no"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _law(hook: str) -> str:
    """By which law the hooks of several methods compose, as the sum of methods says it."""
    return first_paragraph(getattr(Chain, hook)).rstrip(".").lower()


def _table(found: list[Card], *, sentences: bool) -> Table:
    """What each does in one sentence would leave a narrow terminal a word a line; it is there where there is room."""
    table = Table(title="Methods", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for heading in (*(["what it does"] if sentences else []), "acts", "extra cost"):
        table.add_column(heading, overflow="fold")
    table.add_column("needs", no_wrap=True)
    table.add_column("arXiv", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for one in found:
        table.add_row(
            one.call,
            *([escape(one.line)] if sentences else []),
            "\n".join(_moments(one) if sentences else [SHORT[moment] for moment in _moments(one)]),
            one.cost.partition(".")[0],
            _needs(one) if sentences else _needs(one).replace(", ", "\n"),
            "\n".join(one.papers) or "-",
            one.confidence[0],
        )
    return table


def _print_card(one: Card, console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    console.rule(f"{one.call}  ({one.name})", align="left")
    say(f"{one.line}\n\n{one.body}\n")
    table = Table(title="Settings", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("accepted, unit, search", overflow="fold")
    table.add_column("meaning", overflow="fold", ratio=1)
    for name, default, about, meaning in one.settings:
        search = f"\nsearch {_search(about)}" if about.search else ""
        table.add_row(name, escape(default), escape(f"{_accepted(about)}\n{about.unit}{search}"), escape(meaning))
    console.print(table, highlight=False)
    say("")
    for hook, doing in one.hooks.items():
        say(f"Acts {MOMENTS[hook]}, at {hook}: {doing}")
    if not one.hooks:
        say("Acts at no hook: it sets the run.")
    say(f"Needs the base: {_yes(one.needs_base)}. Needs a memory: {_memory(one)}.")
    for other, reason in one.excludes.items():
        say(f"Not beside {other}: {reason}")
    say(f"Extra cost: {one.cost}")
    say(f"\nReference: {one.reference}\nConfidence: {_sure(one)}\nDeparts: {one.departs}")


def _index(found: list[Card]) -> str:
    lines = ["# Methods", "", NOTE, ""]
    lines += ["| Method | What it does | Acts | Extra cost | Needs | arXiv | Source |", "|---|---|---|---|---|---|---|"]
    for one in found:
        cells = (
            f"[{one.call}]({one.name}.md)",
            one.line,
            ", ".join(_moments(one)),
            one.cost.partition(".")[0],
            _needs(one),
            ", ".join(one.papers) or "-",
            one.confidence[0],
        )
        lines.append(table_row(cells))
    sources = "; ".join(f"{word}: {meaning[0].lower()}{meaning[1:]}" for word, meaning in SOURCES.items())
    lines += ["", *wrapped(f"Source: {sources}.")]
    return "\n".join(lines) + "\n"


def _page(one: Card) -> str:
    lines = [f"# {one.name}", "", NOTE, "", "```python", *_signature(one), "```", "", *wrapped(one.line), ""]
    lines += [one.body, "", "## Settings", ""]
    if one.settings:
        lines += ["| Setting | Default | Unit | Accepted | Search | Meaning |", "|---|---|---|---|---|---|"]
        for name, default, about, meaning in one.settings:
            lines.append(table_row((f"`{name}`", default, about.unit, _accepted(about), _search(about), meaning)))
    else:
        lines.append("None.")
    lines += ["", "## When it acts", ""]
    for hook, doing in one.hooks.items():
        lines += wrapped(f"{MOMENTS[hook]}, `{hook}` (several methods: {_law(hook)}): {doing}", "- ")
    if not one.hooks:
        lines.append("- At no hook: it sets the run.")
    lines += ["", f"Needs the base: {_yes(one.needs_base)}. Needs a memory: {_memory(one)}.", ""]
    lines += wrapped(f"Extra cost: {one.cost}")
    if one.excludes:
        lines += ["", "## Not beside", ""]
        lines += [line for other, why in one.excludes.items() for line in wrapped(f"`{other}`: {why}", "- ")]
    lines += ["", "## Reference", "", *wrapped(one.reference), "", *wrapped(f"How sure: {_sure(one)}")]
    lines += ["", "## Departs", "", *wrapped(one.departs)]
    return "\n".join(lines) + "\n"


def _signature(one: Card) -> list[str]:
    """Returns a call with every default, on one line or, where that is too long, with its settings on their own."""
    shown = {"needed": "...", "none": "''", "not set": "None"}
    settings = ", ".join(f"{name}={shown.get(default, default)}" for name, default, _, _ in one.settings)
    if len(call := f"{one.call}({settings})") <= WIDTH:
        return [call]
    return [f"{one.call}(", *(f"    {line}" for line in wrapped(settings)), ")"]


if __name__ == "__main__":
    write(sys.argv[1])
