"""Two models, or the answers of two: what changed between them, item by item, and the verdict under a budget."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from torch import nn

from holdfast.bench.answers import Saved, is_saved, read_pair, write_answers
from holdfast.bench.changes import SuiteChange, changes
from holdfast.bench.env import environment
from holdfast.bench.files import write_json
from holdfast.bench.judge import check_limits, exit_code, verdict
from holdfast.bench.learned import learning
from holdfast.bench.load import load_model, load_tokenizer
from holdfast.bench.measure import Said, manner, measure
from holdfast.bench.prepare import Suite, check_fit, measured
from holdfast.bench.progress import Progress
from holdfast.bench.quiet import quiet
from holdfast.bench.records import DiffSpec, Moment
from holdfast.bench.steered import LeftOut, unsteered
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.tokenize import tokenize
from holdfast.probes.calibration import expected_calibration_error
from holdfast.probes.drift import drift
from holdfast.probes.suites import row_of
from holdfast.stats.bootstrap import bootstrap_change
from holdfast.stats.flips import Flips
from holdfast.stats.forgetting import forgetting_of
from holdfast.stats.paired import paired_change
from holdfast.stats.size import drift_size

READ = 200
"""Most examples of a kind on which the drift is taken, evenly chosen."""


@dataclasses.dataclass(frozen=True)
class DiffResult:
    """What is between two models.

    Attributes:
        spec: What was asked for.
        result: `suites` (rows of the table), `verdict` if there is a budget, `learned` (the word on what --test
            measures), `forgetting` of the retained suites of answers (without what guessing does, where the number of
            choices of each item is known), `examples` of lost and gained answers, `calibration` (expected calibration
            error of the choices, if any), `drift` (nats per token, and its size) where two models were loaded, and
            `steered`: how much of what was to be asked steered the training of one of them and is not judged, where
            there was any.
    """

    spec: DiffSpec
    result: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """Returns 0 kept, 2 forgot, 3 not enough evidence, 4 kept but nothing learned; 0 without a budget."""
        return exit_code(self.result)


@quiet()
def diff(spec: DiffSpec, console: Console | None = None) -> DiffResult:
    """Asks both models the same items, and returns what changed; saved answers are read and no model is loaded.

    Args:
        spec: What to compare.
        console: Where progress is printed; the terminal if absent.

    Raises:
        HoldfastError: For anything the user can mend.
    """
    console = console or Console(stderr=True)
    sides = spec.base, spec.tuned
    moved: dict[str, Any] = {}
    apart: LeftOut | None = None
    if all(map(is_saved, sides)):
        notes: list[str] = []
        before, after = read_pair(spec.base, spec.tuned, notes)
        for note in notes:
            console.print(f"  {note}", style="yellow", highlight=False, markup=False)
    elif any(map(is_saved, sides)):
        raise HoldfastError(f"{spec.base} and {spec.tuned}: one is a model and one a file of answers; give two alike.")
    else:
        before, after, moved, apart = _asked(spec, console)
    found = changes(before.rows, after.rows)
    budget = spec.allowed()
    result: dict[str, Any] = {"base": spec.base, "tuned": spec.tuned, "suites": [one.to_dict() for one in found]}
    result |= {"verdict": verdict(found, budget)} if budget is not None else {}
    result |= {
        "learned": learning(found),
        "forgetting": _forgetting(found),
        "examples": _examples(before, after, spec.examples),
    }
    result |= _calibration(before, after)
    result |= {"drift": moved} if moved else {}
    result |= {"steered": apart.to_dict()} if apart is not None else {}
    if spec.out is not None:
        folder = Path(spec.out)
        for name, side in (("base", before), ("tuned", after)):
            write_answers(folder / f"{name}.jsonl", side.rows, side.said)
        write_json(folder / "env.json", environment())
        write_json(folder / "diff.json", result)
    return DiffResult(spec, result)


def _asked(spec: DiffSpec, console: Console) -> tuple[Saved, Saved, dict[str, Any], LeftOut | None]:
    """Asks two models all that did not steer their training, and takes the divergence of one from the other."""
    if not (spec.test or spec.transfer or spec.keep):
        raise HoldfastError("There is nothing to ask: name what is to be kept with --keep, or the task with --test.")
    tokenizer = load_tokenizer(spec.base)
    notes: list[str] = []
    suites, apart = unsteered(measured(spec, tokenizer, notes), (spec.base, spec.tuned), tokenizer)
    notes += [apart.sentence()] if apart is not None else []
    budget = spec.allowed()
    if budget is not None:
        check_limits(budget, {unit for suite in suites if suite.role == "retained" for unit in suite.units()})
    with Progress(console) as progress, progress.phase(f"loading {spec.base}"):
        base: Any = load_model(spec.base, notes=notes)
    notes += check_fit(base, [example for suite in suites for example in suite.examples], spec)
    with Progress(console) as progress, progress.phase(f"loading {spec.tuned}"):
        tuned: Any = load_model(spec.tuned, base=spec.base, notes=notes)
    own = load_tokenizer(spec.tuned, base=spec.base)
    if own.get_vocab() != tokenizer.get_vocab():
        notes.append("The two have other tokens, so that no drift of one from the other can be measured.")
    for note in notes:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)
    saved: list[Saved] = []
    with Progress(console) as progress:
        moments: tuple[tuple[Moment, nn.Module, Any], ...] = (("before", base, tokenizer), ("after", tuned, own))
        for moment, model, its in moments:
            rows, said = measure(model, its, suites, moment, run="diff", show=progress.measuring, **manner(spec))
            saved.append(Saved(tuple(rows), tuple(said)))
        moved: dict[str, dict[str, Any]] = {}
        if own.get_vocab() == tokenizer.get_vocab():
            for name, roles in (("task", ("learned", "transfer")), ("general", ("retained",))):
                if examples := _to_read([one for one in suites if one.role in roles], saved[0].said, tokenizer, spec):
                    scores = drift(
                        base,
                        tuned,
                        examples,
                        batch_tokens=spec.eval_batch_tokens,
                        pad_id=int(tokenizer.pad_token_id),
                        progress=progress.measuring(f"drift on {name}", len(examples)),
                    )
                    change = paired_change(
                        [0.0] * len(scores), [score.nats for score in scores], [score.tokens for score in scores]
                    )
                    low, high = change.interval()
                    moved[name] = {"nats_per_token": change.change, "size": drift_size(change.change)}
                    moved[name] |= {"documents": change.documents}
                    moved[name] |= {"low": max(0.0, low), "high": high} if change.documents > 1 else {}
    return saved[0], saved[1], moved, apart


def _to_read(suites: Sequence[Suite], said: Sequence[Said], tokenizer: Any, spec: DiffSpec) -> list[Example]:
    """Returns the examples of some suites, and their items with what the base said to them, evenly chosen."""
    answers = {(one.suite, one.item): one.said for one in said}
    examples = list(itertools.chain.from_iterable(suite.examples for suite in suites))
    items = [
        dataclasses.replace(item, answer=answers.get((suite.name, item.id)) or item.answer)
        for suite in suites
        for item in suite.items
    ]
    rows = [row_of(item) for item in items if item.answer or item.choices or item.text]
    chosen = rows[:: max(1, len(rows) // READ)][:READ]
    made = tokenize(chosen, tokenizer, max_length=spec.max_length, raw=spec.raw).examples
    return [*examples[:: max(1, len(examples) // READ)][:READ], *made]


def _forgetting(found: Sequence[SuiteChange]) -> dict[str, Any]:
    """Returns what was forgotten item by item; what guessing does is taken out where the choices are known."""
    told = {}
    for one in found:
        if one.role == "retained" and isinstance(one.evidence, Flips):
            said = dataclasses.asdict(forgetting_of(one.by_options or {None: one.evidence}))
            told[one.name] = {name: value for name, value in said.items() if value is not None}
    return told


def _calibration(before: Saved, after: Saved) -> dict[str, Any]:
    """Returns the expected calibration error over all choices of what is to be kept, before and after."""
    sides = []
    for side in (before, after):
        sure = {(one.suite, one.item): one.confidence for one in side.said if one.confidence is not None}
        kept = {(r.suite, r.item): r for r in side.rows if r.role == "retained" and (r.suite, r.item) in sure}
        sides.append({name: (sure[name], row.value / 100.0, f"{row.suite} {row.group}") for name, row in kept.items()})
    both = [name for name in sides[0] if name in sides[1]]
    if not both:
        return {}
    first, last = (np.array([side[name][:2] for name in both]) for side in sides)
    groups = [sides[0][name][2] for name in both]
    change = bootstrap_change(first, last, lambda own: expected_calibration_error(own[:, 0], own[:, 1]), groups)
    found = {"items": len(both), "before": change.before, "after": change.after, "change": change.change}
    if change.groups > 1:
        found["low"], found["high"] = change.interval()
    return {"calibration": found}


def _examples(before: Saved, after: Saved, count: int) -> dict[str, list[dict[str, str]]]:
    """Returns answers that were lost and gained, of as many suites as there are before a second of one."""
    said = [{(one.suite, one.item): one for one in side.said} for side in (before, after)]
    now = {(row.suite, row.item): row.value for row in after.rows}
    found: dict[str, dict[str, list[tuple[Said, Said]]]] = {"lost": {}, "gained": {}}
    for row in before.rows:
        name = row.suite, row.item
        if row.unit == "points" and name in said[0] and name in said[1] and row.value != now[name]:
            kind = "lost" if now[name] < row.value else "gained"
            found[kind].setdefault(row.suite, []).append((said[0][name], said[1][name]))
    return {kind: [_example(*pair) for pair in _in_turn(list(by.values()))[:count]] for kind, by in found.items()}


def _in_turn(parts: Sequence[Sequence[tuple[Said, Said]]]) -> list[tuple[Said, Said]]:
    return [one for row in itertools.zip_longest(*parts) for one in row if one is not None]


def _example(first: Said, last: Said) -> dict[str, str]:
    texts = {"asked": first.asked, "right": first.right, "before": first.said, "after": last.said}
    return {"suite": first.suite, "item": first.item, **texts}
