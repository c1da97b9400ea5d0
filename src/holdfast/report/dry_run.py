"""The output of a dry run: the rows as the model will see them, the settings, and the estimated memory."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from holdfast.bench.given.model_files import folder_or_name
from holdfast.bench.given.model_size import model_size
from holdfast.bench.measured.power import flips_of, power_lines
from holdfast.bench.run.inputs import DryRun

LONGEST = 400
"""Maximum number of shown characters in a piece of a row."""
MARKS = "«", "»"
"""The marks around learned tokens."""


def show(done: DryRun, console: Console | None = None) -> None:
    """Prints the plan of a run."""
    console = console or Console()
    spec, inputs = done.spec, done.inputs
    total = sum(done.kinds.values())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in done.kinds.items())
    console.print(repr(done.recipe), style="bold", markup=False)
    console.print(f"{spec.model} would learn {spec.data}: {total:,} rows ({kinds})", highlight=False, markup=False)
    learned = sum(example.supervised for example in inputs.data.train)
    read = sum(len(example.input_ids) for example in inputs.data.train)
    lines = [
        f"{_rows(len(inputs.data.train), 'training row')} with {read:,} tokens; {learned:,} of these tokens are learned"
    ]
    if inputs.memory_examples:
        lines.append(f"also {len(inputs.memory_examples):,} old examples, which lengthen each epoch by their share")
    for suite in inputs.data.suites:
        count = len(suite.items) or len(suite.texts)
        what = "items" if suite.items else "texts or examples"
        lines.append(f"measured: {suite.name} ({suite.role}), {count:,} {what}")
    flips = flips_of(model_size(folder_or_name(spec.model)))
    lines += [*power_lines(inputs.data.suites, inputs.budget, flips), *inputs.resources.lines()]
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False)
    for note in inputs.notes:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)
    if done.rows:
        console.print(
            f"\n{_rows(len(done.rows), 'row')} as the model will see them; it learns the text between"
            f" {' and '.join(MARKS)}:",
            highlight=False,
        )
    for origin, tokens, pieces in done.rows:
        console.print(f"\n{origin or 'a row'}, {tokens:,} tokens", style="bold", highlight=False, markup=False)
        console.print(_marked(pieces))
    console.print("\nThis was a dry run: it trained nothing and wrote nothing.", highlight=False)


def _marked(pieces: tuple[tuple[str, bool], ...]) -> Text:
    shown = Text()
    for text, learned in pieces:
        short = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
        if learned:
            shown.append(f"{MARKS[0]}{short}{MARKS[1]}", style="green")
        else:
            shown.append(short)
    return shown


def _rows(count: int, word: str) -> str:
    """Returns a number of rows in words."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
