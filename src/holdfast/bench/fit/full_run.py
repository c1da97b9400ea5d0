"""The full run of a fit, alone or as the end of a search, and its healing."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console

from holdfast.bench.fit.engine_ray import RayEngine
from holdfast.bench.fit.run_problem import RunProblem
from holdfast.bench.fit.search import search
from holdfast.bench.fit.search_record import SearchRecord
from holdfast.bench.fit.trials import Candidate, budget_used, trial_spec
from holdfast.bench.fit.unit import Unit
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.heal import heal
from holdfast.bench.heal.retraining import RATIO, STRENGTH
from holdfast.bench.machine.files import write_json
from holdfast.bench.measured.outcome import Outcome
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.record import RunRecord
from holdfast.bench.run.run import train
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError

LOCAL = "local"
"""The engine that runs trials in the process of the fit."""


@dataclasses.dataclass(frozen=True)
class FullRun:
    """A finished model of a fit: that of the full run, or of its healing.

    Attributes:
        outcome: Its record.
        recipe: Its recipe.
        folder: Folder of the full run.
        model: The model.
        used: Share of the budget that it takes on validation items; None without any.
        spent: What it cost, and the trials before it, in plain runs.
        seconds: Seconds of their training.
        sentence: What came of it.
        record: File or folder of the record.
        notes: Sentences on what was changed or left out.
    """

    outcome: Outcome
    recipe: str
    folder: Path
    model: str
    used: float | None
    spent: float
    seconds: float
    sentence: str
    record: Path
    notes: tuple[str, ...] = ()


def full_run(
    spec: RunSpec,
    given: Sequence[Candidate],
    plain: Unit,
    most: float,
    bases: Path,
    folder: Path,
    console: Console,
    *,
    tell: Callable[[str], None] | None,
    engine: str = LOCAL,
) -> FullRun:
    """Makes the full run of the first candidate, or searches from all of them.

    Args:
        spec: The options of all trainings.
        given: The candidates, the most promising first.
        plain: The unit of the cost.
        most: What it may cost, in plain runs.
        bases: Folder of the base's answers.
        folder: Folder of the fit.
        console: Console for progress.
        tell: Receives a line for each trial of the search; without it there is no search.
        engine: Where the trials of the search run, as in `FitSpec`.

    Raises:
        HoldfastError: A run fails for a reason that the user can mend, or all trials of a search failed.
    """
    if tell is not None:
        return _searched(spec, given, plain, most, folder, console, tell, engine)
    candidate, note = afforded(given[0], plain, most)
    done = train(trial_spec(candidate, 1.0, spec), console, bases=bases)
    budget = spec.allowed()
    assert budget is not None
    used, record = used_by(done.folder, budget), done.record
    spent = plain.price(candidate) * _part_taken(done.folder, record)
    taken = "" if used is None else f", and takes {used:.0%} of the budget on validation items"
    return FullRun(
        outcome=record,
        recipe=candidate.text,
        folder=done.folder,
        model=str(done.folder / "model"),
        used=used,
        spent=spent,
        seconds=record.seconds.training,
        sentence=f"The full run took {record.steps:,} steps{taken}. {note}".rstrip(),
        record=done.folder,
        notes=(note,) if note else (),
    )


def afforded(candidate: Candidate, plain: Unit, most: float) -> tuple[Candidate, str]:
    """Returns a candidate with as many epochs as a cost allows, and a sentence if they are fewer; empty otherwise."""
    price = plain.price(candidate)
    if price <= most:
        return candidate, ""
    shorter = Candidate.of(candidate.at(round(most / price - 0.005, 2)))
    return shorter, (
        f"It had {shorter.epochs:.3g} of {candidate.epochs:g} epochs, because {most:.2f} plain runs were left; all of"
        f" them take {price - most:.2g} more."
    )


def _searched(
    spec: RunSpec,
    given: Sequence[Candidate],
    plain: Unit,
    most: float,
    folder: Path,
    console: Console,
    tell: Callable[[str], None],
    engine: str,
) -> FullRun:
    """Searches, and returns its best whole run."""
    here = engine == LOCAL
    shortened = [afforded(candidate, plain, most) for candidate in given]
    came = search(
        RunProblem.of(spec, plain, isolated=not here, console=console if here else None),
        [candidate for candidate, _ in shortened],
        cost=most,
        storage=folder / "search.db",
        engine=None if here else _ray_engine(engine),
        seed=spec.seed,
        progress=tell,
    )
    write_json(folder / SearchRecord.FILE, came.record.to_dict())
    if came.best is None or came.outcome is None or came.outcome.folder is None:
        raise HoldfastError(came.record.sentence)
    run = Path(came.outcome.folder)
    return FullRun(
        outcome=RunRecord.read(run),
        recipe=came.best.text,
        folder=run,
        model=str(run / "model"),
        used=came.outcome.used,
        spent=came.record.spent,
        seconds=sum(trial.outcome.seconds or 0.0 for trial in came.record.trials),
        sentence=came.record.sentence,
        record=folder / SearchRecord.FILE,
        notes=tuple(f"{candidate}: {note}" for candidate, note in shortened if note),
    )


def _ray_engine(engine: str) -> RayEngine:
    """Returns the engine of a Ray cluster; each trial gets a GPU if there are any."""
    return RayEngine(None if engine == "ray" else engine, gpus=float(torch.cuda.is_available()))


def used_by(folder: Path, budget: Budget) -> float | None:
    """Returns the share of the budget that a run took on validation items; None without any."""
    record, scores = RunRecord.read(folder), read_scores(folder / "scores.jsonl")
    if record.guard is None:
        return None
    return budget_used(scores, record.guard.watched, budget)


def _part_taken(folder: Path, record: RunRecord) -> float:
    """Returns the share of its planned steps that a run took; a guard may end it."""
    planned = json.loads((folder / "spec.json").read_text(encoding="utf-8"))["resolved"]["steps"]
    return min(1.0, record.steps / max(1, int(planned)))


def healed(
    came: FullRun, spec: FitSpec, run: RunSpec, plain: Unit, left: float, folder: Path, console: Console
) -> FullRun:
    """Heals a full run, with a short retraining if its cost is left.

    Args:
        came: The full run.
        spec: The options of the fit.
        run: The options of all trainings, with the old examples.
        plain: The unit of the cost.
        left: What it may cost, in plain runs.
        folder: Folder of the fit.
        console: Console for progress.

    Raises:
        HoldfastError: As `holdfast.bench.heal.heal.heal` does.
    """
    limits = {name: value for name, value in spec.budget.items() if name in ("points", "nll", "claim")}
    price = math.inf  # without old examples a model is healed by edits alone
    if run.memory:
        price = plain.price(
            Candidate.of(
                f"Train(lr=1e-5, epochs=1, batch=16) + BaseKL(strength={STRENGTH}, on='memory')"
                f" + Rehearsal({', '.join(run.memories())!r}, ratio={RATIO})"
            )
        )
    out = folder / f"healed-{came.folder.name}"
    done = heal(
        HealSpec(
            base=spec.model,
            tuned=str(came.folder),
            budget=limits,
            out=str(out),
            memory=run.memory if price <= left else (),
            eval_batch_tokens=spec.eval_batch_tokens,
            task=spec.task,
            depth=spec.depth,
        ),
        console,
        run=run,
    )
    retrained = done.retraining is not None
    return FullRun(
        outcome=done,
        recipe=came.recipe,
        folder=came.folder,
        model=done.model,
        used=None,
        spent=price if retrained else 0.0,
        seconds=RunRecord.read(done.retraining.folder).seconds.training if done.retraining is not None else 0.0,
        sentence=done.sentence,
        record=out,
    )
