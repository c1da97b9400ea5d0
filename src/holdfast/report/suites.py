"""The catalogue of suites: a table of all that have a name, and one in full with three of its items."""

from __future__ import annotations

import collections
import textwrap
from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from holdfast.bench.machine.lines import print_line
from holdfast.core.errors import HoldfastError, nearest
from holdfast.general.making import PREFIX
from holdfast.general.names import KIND_MEASURES
from holdfast.general.names import items as general_items
from holdfast.probes.items import Item
from holdfast.rerank.named import BELOW, NANO, named_folders
from holdfast.suites.default import GENERAL
from holdfast.suites.embedded import NAME, embedded_items, is_embedded
from holdfast.suites.flores import LANGUAGES
from holdfast.suites.harness import SCHEME
from holdfast.suites.named import items_of_word
from holdfast.suites.records import file_of, patterns, sources_of
from holdfast.suites.registry import BY_NAME, FOLDER, LM_EVAL, NAMED, Named
from holdfast.suites.sets import SETS, SuiteSet
from holdfast.suites.words import Word, read_set, read_word

SHOWN = 3
"""Items that are shown of a suite."""
LONGEST = 900
"""Most characters of an item that are shown."""
MEASURES = "plain English in 15 kinds: facts, arithmetic, reading, format, refusals, tools, code"
"""What `general` measures."""
COST = "<= 56 tokens"
"""What an item of `general` costs."""
LICENSE = "Apache-2.0"


def show(name: str | None = None, console: Console | None = None) -> None:
    """Prints the table of all suites, or one of them in full.

    Args:
        name: "mmlu", "mmlu/anatomy" or a set, "finch"; absent for the table.
        console: Where to print; the terminal if not given.

    Raises:
        HoldfastError: There is no such suite; the sentence names the nearest.
    """
    console = console or Console()
    if name is None:
        console.print(_table())
        console.print(
            f"Sets of suites: {', '.join(SETS)}. Asked as lm-eval {LM_EVAL} asks its tasks of the same names. `--keep "
            f"mmlu:300` takes 300 items, the same for every model. A folder named by {FOLDER} is looked into first. "
            "One in full: holdfast suites NAME",
            highlight=False,
            markup=False,
        )
        console.print(_collections(), highlight=False, markup=False)
        return
    if is_embedded(name):
        for line in _lines_of_general(name, console.width):
            print_line(console, line)
        return
    if read_set(name):
        for line in _set_lines(SETS[name.partition(":")[0]], console.width):
            print_line(console, line)
        return
    word = read_word(name)
    if word is None:
        if name.startswith(SCHEME):
            raise HoldfastError(f"{name!r}: the tasks of lm-eval are not shown here; `lm-eval ls tasks` lists them.")
        plain = name.partition(":")[0].partition("/")[0]
        if plain in SETS:
            raise HoldfastError(f"{name!r}: {plain} is a set of suites, which has no parts; name one of its suites.")
        names = [NAME, *BY_NAME, *SETS]
        known = nearest(plain, names) or f" Known: {', '.join(names)}."
        raise HoldfastError(f"There is no suite {plain!r}.{known}")
    for line in _lines(word, console.width):
        print_line(console, line)


def _collections() -> str:
    """Returns a sentence on the collections that rerankers are measured on by name."""
    folders = ", ".join(named_folders()) or f"none (those in the folder '{BELOW}' of {FOLDER})"
    return f"Collections for rerankers by name: {folders}; NanoBEIR from the hub: {', '.join(NANO)}."


def _table() -> Table:
    table = Table(title="Suites", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("suite", no_wrap=True)
    table.add_column("items", no_wrap=True, justify="right")
    table.add_column("what it measures", overflow="fold")
    table.add_column("an item costs", no_wrap=True)
    table.add_column("license", no_wrap=True)
    table.add_column("from", no_wrap=True)
    table.add_row(NAME, f"{len(general_items()):,}", MEASURES, COST, LICENSE, "package")
    for suite in NAMED:
        where = "hub" if file_of(suite) is None else "folder"
        table.add_row(suite.name, f"{suite.items:,}", suite.measures, suite.cost, suite.license, where)
    return table


def _lines_of_general(source: str, width: int) -> Iterator[str]:
    """Yields the lines that tell all of `general`, or of a kind of it."""
    notes: list[str] = []
    items = embedded_items(source, notes)
    kinds = list(dict.fromkeys(item.suite for item in items))
    facts = {
        "suite": source,
        "measures": MEASURES if len(kinds) > 1 else KIND_MEASURES[kinds[0].removeprefix(PREFIX)],
        "items": notes[0].removeprefix(f"{NAME}: "),
        "an item": COST,
        "score": "percent of the answers that are right",
        "license": f"{LICENSE}; comes with the package, made from tables in holdfast.general",
        "default": f"--keep stands for {GENERAL} where nothing is named and something is judged",
    }
    for label, text in facts.items():
        yield from textwrap.wrap(f"{label + ':':<12}{text}", width, subsequent_indent=" " * 12, break_on_hyphens=False)
    if len(kinds) > 1:
        counts = collections.Counter(item.suite for item in general_items())
        yield from ["", f"kinds ({NAME}:KIND takes one):"]
        for kind, about in KIND_MEASURES.items():
            yield f"  {kind:<13}{counts[PREFIX + kind]:>4}  {about}"
    for number, item in enumerate(items[:: max(1, len(items) // SHOWN)][:SHOWN], 1):
        yield from ["", f"--- item {number}: {item.suite} {item.id}", *_shown(item)]


def _set_lines(named: SuiteSet, width: int) -> Iterator[str]:
    """Yields the lines that tell all of a set: its suites, their items and costs, and what each is there for."""
    facts = [("set", named.name), ("measures", named.measures), ("departs", named.departs), ("cite", named.cite)]
    facts.append(("use", f"--keep {named.name}, or --keep {named.name}:300 for 300 items of each suite"))
    for label, text in facts:
        yield from textwrap.wrap(f"{label + ':':<12}{text}", width, subsequent_indent=" " * 12, break_on_hyphens=False)
    for member, purpose in named.members.items():
        word = read_word(member)
        if word is not None:
            items = word.suite.items // (len(LANGUAGES) if word.part else 1)  # every language has equally many
            head = f"  {member} ({items:,} items, {word.suite.cost}): {purpose}"
            yield from textwrap.wrap(head, width, subsequent_indent="    ", break_on_hyphens=False)


def _lines(word: Word, width: int) -> Iterator[str]:
    """Yields the lines that tell all of a suite."""
    suite = word.suite
    for label, text in _facts(word):
        yield from textwrap.wrap(
            f"{label + ':':<12}{text}",
            width,
            subsequent_indent=" " * 12,
            break_long_words=False,
            break_on_hyphens=False,
        )
    notes: list[str] = []
    try:
        items = items_of_word(Word(suite, word.part, SHOWN), notes)
    except HoldfastError as error:
        yield from ["", *textwrap.wrap(f"No item can be shown: {error}", width, break_on_hyphens=False)]
        return
    yield from ["", *textwrap.wrap(notes[0], width, break_long_words=False, break_on_hyphens=False)]
    for number, item in enumerate(items, 1):
        yield from ["", f"--- item {number}: {item.id}", *_shown(item)]


def _facts(word: Word) -> Iterator[tuple[str, str]]:
    suite = word.suite
    yield "suite", word.name
    yield "measures", suite.measures
    yield "items", f"{suite.items:,}{' in all parts' if word.part else ''}"
    yield "an item", suite.cost
    yield "score", _score(suite)
    yield "license", suite.license
    yield "lm-eval", f"{suite.task} ({LM_EVAL})" if suite.task else "has no task of it"
    if suite.departs:
        yield "departs", suite.departs
    yield (
        "hub",
        ", ".join(source for _, source in sources_of(word)[:1])
        + (f" and {len(sources_of(word)) - 1} parts more" if len(sources_of(word)) > 1 else ""),
    )
    found = file_of(suite)
    yield "folder", f"{found}" if found is not None else f"{FOLDER}=FOLDER with {' or '.join(patterns(suite))}"
    yield "cite", suite.cite
    if suite.parts and not word.part:
        yield "parts", f"{suite.name}/ with " + ", ".join(suite.parts)


def _score(suite: Named) -> str:
    return suite.score or "percent of the items whose right choice is the likeliest (acc of lm-eval)"


def _shown(item: Item) -> Iterator[str]:
    """Yields the lines of an item as it is put to a model without a chat template."""
    if item.turns and item.plain is not None:
        yield from ["chat template: " + _cut(item.turns[-1].content), f"without one: {_cut(item.plain)}"]
    elif item.turns:
        yield from _cut("\n".join(turn.content for turn in item.turns)).split("\n")
    if item.text:
        yield from _cut(item.text).split("\n")
    right = item.right or 1
    for place, choice in enumerate(item.choices):
        yield f"  {'*' if place < right else '-'} {_cut(f'{choice} {item.ending}'.rstrip())}"
    if item.check:
        yield f"  right: {item.answer or dict(item.check)}"


def _cut(text: str) -> str:
    """Returns a text without its middle, where it is long."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]} [{len(text) - LONGEST:,} characters] {text[-LONGEST // 2 :]}"


def rows() -> list[str]:
    """Returns a row of Markdown for every suite, as the table of docs/suites.md has them."""
    general = f"| `{NAME}` | {len(general_items()):,} | {MEASURES} | {COST} | {LICENSE} | - |"
    return [general] + [
        f"| `{suite.name}` | {suite.items:,} | {suite.measures} | {suite.cost} | {suite.license} | "
        f"{f'`{suite.task}`' if suite.task else '-'} |"
        for suite in NAMED
    ]
