"""What a dry run shows: the rows as they are understood, how they are learned, and what that needs."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from holdfast.bench.measured.power import power_lines
from holdfast.bench.run.inputs import DryRun

LONGEST = 400
"""Characters of a piece of a row that are shown."""
MARKS = "«", "»"
"""What stands around the tokens that are learned."""


def show(done: DryRun, console: Console | None = None) -> None:
    """Prints what a run would do."""
    console = console or Console()
    spec, inputs = done.spec, done.inputs
    total = sum(done.kinds.values())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in done.kinds.items())
    console.print(repr(done.recipe), style="bold", markup=False)
    console.print(f"{spec.model} would learn {spec.data}: {total:,} rows ({kinds})", highlight=False, markup=False)
    learned = sum(example.supervised for example in inputs.data.train)
    read = sum(len(example.input_ids) for example in inputs.data.train)
    lines = [f"{len(inputs.data.train):,} rows of {read:,} tokens are trained on; {learned:,} of them are learned"]
    if inputs.memory_examples:
        lines.append(
            f"beside them {len(inputs.memory_examples):,} old examples, which lengthen each epoch by their share"
        )
    for suite in inputs.data.suites:
        count = len(suite.items) or len(suite.texts)
        what = "items" if suite.items else "texts or examples"
        lines.append(f"measured: {suite.name} ({suite.role}), {count:,} {what}")
    lines += [*power_lines(inputs.data.suites, inputs.budget), *inputs.forecast.lines()]
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False)
    for note in inputs.notes:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)
    if done.rows:
        console.print(
            f"\n{len(done.rows)} rows as the model will see them; it learns what stands in {''.join(MARKS)}:",
            highlight=False,
        )
    for origin, tokens, pieces in done.rows:
        console.print(f"\n{origin or 'a row'}, {tokens:,} tokens", style="bold", highlight=False, markup=False)
        console.print(_marked(pieces))
    console.print("\nA dry run: nothing was trained and nothing was written.", highlight=False)


def _marked(pieces: tuple[tuple[str, bool], ...]) -> Text:
    shown = Text()
    for text, learned in pieces:
        short = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
        if learned:
            shown.append(f"{MARKS[0]}{short}{MARKS[1]}", style="green")
        else:
            shown.append(short)
    return shown
