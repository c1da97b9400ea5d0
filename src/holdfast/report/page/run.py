"""The part of a page on one run, finished or not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl
from holdfast.bench.measured.answers import read_said
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.measured.verdict import verdict
from holdfast.bench.run.record import GuardRow, RunRecord
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.probes.changes import changes
from holdfast.probes.score import Answers, proof
from holdfast.report.guard import guard_lines
from holdfast.report.page.again import budget_values, command
from holdfast.report.page.blocks import Block, Chart, Code, Facts, Paragraphs, Part, Table, Word, sections
from holdfast.report.page.charts import curve_chart
from holdfast.report.page.clean import place_name
from holdfast.report.page.outcome import Asked, environment_block, outcome_sections, plain
from holdfast.report.page.quotes import SHOWN
from holdfast.report.page.sentence import sentence
from holdfast.report.table import memory_lines

MOST_STEPS = 400
"""Most points of a curve of losses; a longer log is thinned evenly, and the page says so."""
LOSSES = {"task_loss": "loss of the task", "loss": "loss with all terms"}
RATES = {"strength": "penalty to the base", "old_share": "share of old examples", "rate": "learning rate"}


def run_part(folder: Path, budget: Budget | None = None, quotes: int = SHOWN, *, title: str = "") -> Part:
    """Returns the part on a finished run.

    Args:
        folder: Its folder.
        budget: A budget to judge it by again; None keeps the verdict of its record.
        quotes: Most lost and most gained answers to quote.
        title: Title of a part that is one of many, which is closed at first; "" for the part of a page of its own.

    Raises:
        HoldfastError: A file of the folder cannot be read.
    """
    record, spec = RunRecord.read(folder), read_object(folder / "spec.json")
    asked = asked_in(folder, record.guard)
    if budget is not None:
        judged = verdict(changes(asked.before.scores, asked.after.scores), budget)
        record = dataclasses.replace(record, verdict=judged)
    training = [*_guard(record), *_curves(folder, record.guard, _limit(record), loss_axis(record.ranking is not None))]
    about = f"{place_name(str(spec.get('model', 'a model')))} learns {place_name(str(spec.get('data', 'data')))}"
    return Part(
        kind="One run",
        title=title or f"{folder.name}: {about}",
        word=None if record.verdict is None else Word(record.verdict.word),
        sentence=sentence(record, "the model"),
        sections=[
            *outcome_sections(record, asked, quotes),
            *sections(
                ("What was done", [Facts(done_pairs(spec))] if spec else []),
                ("Training", training),
                ("Cost", [Facts(cost_pairs(record))]),
                ("Environment", environment_block(read_object(folder / "env.json"))),
                ("Run it again", _again(spec, budget_values(record))),
            ),
        ],
        folded=bool(title),
    )


def done_pairs(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the model, the data, the recipe and what was measured, from a spec.json."""
    recipe = "resolved_recipe" if "resolved_recipe" in spec else "recipe"
    names = {"model": "model", "data": "data", recipe: "recipe", "test": "measured learning on"}
    names |= {"transfer": "measured transfer on", "keep": "to keep", "memory": "old examples", "seed": "seed"}
    values = {text: spec.get(key) for key, text in names.items()}
    shown = {text: ", ".join(map(str, value)) if isinstance(value, list) else value for text, value in values.items()}
    return [(text, str(value)) for text, value in shown.items() if value not in (None, "")]


def asked_in(folder: Path, guard: GuardRow | None) -> Asked:
    """Returns the answers in the folder of a finished run, without the scores of the items that steered it."""
    path, watched = folder / "scores.jsonl", () if guard is None else guard.watched
    if not path.exists():
        return Asked()
    scores = read_scores(path)
    sides = [
        Answers(tuple(proof(scores[moment], watched)), read_said(folder / "answers.jsonl", moment)) for moment in scores
    ]
    return Asked(*sides)


def read_object(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; empty if there is no such file.

    Raises:
        HoldfastError: The file does not hold an object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise HoldfastError(f"{path} cannot be read ({error}); make it again.") from error
    if not isinstance(values, dict):
        raise HoldfastError(f"{path} holds no keys and values; make it again.")
    return values


def cost_pairs(record: RunRecord) -> list[tuple[str, str]]:
    """Returns what a run cost, and how much of the model it trained."""
    share = record.trained_parameters / record.parameters if record.parameters else 0.0
    pairs = [
        ("training", f"{record.seconds.training:,.0f} s in {record.steps:,} steps"),
        ("whole run", f"{record.seconds.all:,.0f} s, with both measurements"),
        ("trained parameters", f"{record.trained_parameters:,} of {record.parameters:,} ({share:.1%})"),
    ]
    if (cost := record.cost) is not None:
        pairs.append(("device", cost.device))
        pairs.append(("CPU time of preparation and training", f"{cost.cpu_seconds:,.0f} s"))
        if cost.memory_mib is not None:
            pairs.append(("peak memory", f"{cost.memory_mib:,.0f} MiB"))
    if record.trained_in is not None:
        pairs.append(("trained in", record.trained_in))
    return pairs


def _limit(record: RunRecord) -> float | None:
    return None if record.verdict is None else record.verdict.limits.get("points")


def _guard(record: RunRecord) -> list[Block]:
    guard = record.guard
    lines = [] if guard is None else plain(guard_lines(guard, record.seconds.training, course=False))
    lines += memory_lines(record.memories, ranks=record.ranking is not None)
    return [Paragraphs(list(dict.fromkeys(lines)))] if lines else []


def _curves(folder: Path, guard: GuardRow | None, limit: float | None, axis: str) -> list[Block]:
    """Returns the curves of the losses, of the guard's looks, and of a controller."""
    rows = read_jsonl(folder / "log.jsonl") if (folder / "log.jsonl").exists() else []
    plots = loss_curves(rows, axis)
    if guard is not None:
        plots += _looks(guard, limit)
    return [block for block in plots if block is not None]


def loss_axis(ranks: bool) -> str:
    """Returns the title of the axis of losses; that of a reranker is over lists or pairs, not over tokens."""
    return "loss" if ranks else "loss in nats per token"


def loss_curves(rows: Sequence[Mapping[str, Any]], axis: str) -> list[Chart | Paragraphs | None]:
    """Returns the curves of the losses and the learning rate in the log of a run."""
    every = -(-len(rows) // MOST_STEPS) if rows else 1
    kept = [row for place, row in enumerate(rows) if place % every == 0 or place == len(rows) - 1]
    points = [
        (text, int(row["step"]), float(row[key]))
        for key, text in LOSSES.items()
        for row in kept
        if isinstance(row.get(key), (int, float)) and _tells(key, rows)
    ]
    loss = curve_chart("Loss while training", points, axis)
    note = Paragraphs([f"The plot shows every {every}th of {len(rows):,} logged steps."]) if every > 1 else None
    return [loss, note]


def _tells(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Returns whether a loss says something: the whole loss only if it differs from that of the task."""
    if key != "loss":
        return True
    return any("task_loss" not in row or abs(row["loss"] - row["task_loss"]) > 1e-4 for row in rows if "loss" in row)


def _looks(guard: GuardRow, limit: float | None) -> list[Chart | Paragraphs | None]:
    lost = [("lost", look.step, look.points_lost) for look in guard.looks if look.points_lost is not None]
    nats = [("lost", look.step, look.nats_lost) for look in guard.looks if look.nats_lost is not None]
    learned = [("learned", look.step, look.learned) for look in guard.looks if look.learned is not None]
    course = [
        (text, row.step, value)
        for key, text in RATES.items()
        for row in guard.course
        if (value := getattr(row, key)) is not None
    ]
    return [
        curve_chart("What the guard saw lost", lost, "points lost", limit=limit, places=1, dots=True),
        curve_chart("What the guard saw lost in texts", nats, "nats per token lost", dots=True),
        curve_chart("What the guard saw learned", learned, "score on what is learned", places=1, dots=True),
        curve_chart("What the controller set", course, "factor or share"),
    ]


def _again(spec: Mapping[str, Any], budget: Mapping[str, Any]) -> list[Block]:
    if not spec:
        return []
    values = {**spec, "budget": spec.get("budget") or dict(budget)}
    files = spec.get("files", {})
    blocks: list[Block] = [Code(command("train", RunSpec, values))]
    if isinstance(files, dict) and files:
        rows = [[path, str(digest)] for path, digest in files.items()]
        blocks.append(Table("Files that the run read", ("file", "SHA-256, first 16 digits"), rows))
    return blocks
