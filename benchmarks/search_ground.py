"""The search of `fit` on the proving ground, against random searches of whole runs: one task, rate and strength.

    python benchmarks/search_ground.py --out runs/search [--random 8] [--cost 3]          (resumable)

It prints a table: what the chosen candidate learned and lost on test items, which no search reads, and what it cost.
The random candidates lie in the same space; the best of the first ones, as many as the search's cost affords, and the
best of all are chosen by validation items, as the search chooses.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.run_problem import RunProblem
from holdfast.bench.fit.search import search
from holdfast.bench.fit.space import space_of
from holdfast.bench.fit.trials import Candidate, TrialOutcome
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import write_json
from holdfast.bench.plan.facts import read_plan_inputs
from holdfast.bench.run.record import RunRecord

GIVEN = "Train(lr=5e-4, epochs=3, batch=16) + MaskTheTarget()"
SPEC = {
    "model": "ground:base",
    "data": "ground:people/few",
    "test": "ground:people/few-test",
    "keep": ("ground:suites/cut",),
    "budget": {"points": 2},
    "batch_size": 16,
    "max_length": 128,
}


def row(name: str, candidate: Candidate, outcome: TrialOutcome, cost: float) -> str:
    """Returns a row of the table; learned and lost are those of the test items."""
    record = RunRecord.read(str(outcome.folder))
    assert record.learned is not None
    assert record.verdict is not None
    (mean,) = record.verdict.means
    (gain,) = record.learned.units
    cells = [name, f"`{candidate}`", f"{cost:.2f}", f"{gain.gain:.1f}", f"{-mean.change:.1f}", record.verdict.word]
    return f"| {' | '.join(cells)} |"


def best(tried: Sequence[tuple[Candidate, TrialOutcome]]) -> tuple[Candidate, TrialOutcome]:
    """Returns the most learned candidate inside the budget on validation items, or the least lossy one."""
    return max(
        tried, key=lambda pair: (pair[1].inside, (pair[1].learned if pair[1].inside else -(pair[1].used or 9e9)))
    )


def main() -> None:
    """Makes the runs that are not there, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    parser.add_argument("--random", type=int, default=8)
    parser.add_argument("--cost", type=float, default=3.0)
    options = parser.parse_args()
    spec = RunSpec(**SPEC, out=str(options.out))  # type: ignore[arg-type]
    problem = RunProblem.of(spec, PlainRun.of(spec, read_plan_inputs(spec), epochs=3, batch=16))
    given = Candidate.of(GIVEN)
    result = search(problem, [given], cost=options.cost, storage=options.out / "search.db", progress=print)
    write_json(options.out / result.record.FILE, result.record.to_dict())
    space, draw = space_of([given], 8), random.Random(0)
    tried = []
    for _ in range(options.random):
        candidate = space.candidate({d.name: d.at(draw.random()) for d in space.dimensions})
        tried.append((candidate, problem.evaluate(candidate, 1.0)))
        print(candidate, tried[-1][1], flush=True)
    print("| search | candidate | cost | learned, points | lost, points | verdict |\n|---|---|---|---|---|---|")
    assert result.best is not None
    assert result.outcome is not None
    print(row("search", result.best, result.outcome, result.record.spent))
    price = problem.price(given, 1.0)
    for count in sorted({int(options.cost / price), options.random} - {0}):
        print(row(f"{count} random whole runs", *best(tried[:count]), count * price))


if __name__ == "__main__":
    main()
