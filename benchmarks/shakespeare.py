"""The first study: a small real model learns Shakespeare; what does it keep of the stories it was trained on?

Every recipe is run at four doses (learning rates) and two seeds. A dose is a complete run; methods are compared at
matched learning, by reading the kept loss at one preset target NLL off the line through a method's doses. That line
begins at the untrained base (nothing gained, nothing lost).

    python benchmarks/shakespeare.py run --data DATA --out runs/shakespeare [--workers 2]     (resumable)
    python benchmarks/shakespeare.py report --out runs/shakespeare --write docs/studies       (needs no model)

DATA is a folder with models/stories260K, tinyshakespeare/input.txt.gz, tinystories/tinystories_1000.jsonl.gz and
wikitext2/valid.txt.gz.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import itertools
import json
import os
import statistics
import sys
from pathlib import Path

from study import named, record

import holdfast
from holdfast.bench.compare.finished_runs import read_finished_runs

SEEDS = (0, 1)
SETTINGS = "Train(lr=1.0, epochs=1, batch=16)"
"""What every recipe is trained with; doses are learning rates."""
FULL, ADAPTER = (1e-4, 3e-4, 1e-3, 3e-3), (3e-4, 1e-3, 3e-3, 1e-2)
HIGH = (*FULL, 1e-2)
DISTIL = "BaseKL(strength=3.0, on='memory') + Rehearsal('stories', ratio=0.5)"
RECIPES: dict[str, tuple[str, tuple[float, ...]]] = {
    "Train alone": ("", FULL),
    "Finch": ("Finch()", FULL),
    "BaseKL": ("BaseKL()", FULL),
    "MaskTheTarget": ("MaskTheTarget()", FULL),
    "LoRA": ("LoRA(rank=8)", ADAPTER),
    "LoRA + MaskTheTarget": ("LoRA(rank=8) + MaskTheTarget()", ADAPTER),
    "Rehearsal 5%, same kind": ("Rehearsal('stories', ratio=0.05)", FULL),
    "Rehearsal 5%, another kind": ("Rehearsal('wikitext', ratio=0.05)", FULL),
    "MaskTheTarget + Rehearsal 5%, same kind": ("MaskTheTarget() + Rehearsal('stories', ratio=0.05)", FULL),
    "SelfRehearsal 20%": ("SelfRehearsal(ratio=0.2)", FULL),
    "FreezeBottom": ("FreezeBottom()", HIGH),
    "FreezeBottom + WSD + MaskTheTarget": ("FreezeBottom() + WSD() + MaskTheTarget()", HIGH),
    "FreezeBottom 40% + WSD + MaskTheTarget": ("FreezeBottom(share=0.4) + WSD() + MaskTheTarget()", HIGH),
    "WSD + MaskTheTarget": ("WSD() + MaskTheTarget()", FULL),
    "Distil, same kind": (DISTIL, FULL),
    "WSD + Distil, same kind": (f"WSD() + {DISTIL}", FULL),
    "FreezeBottom + WSD + Distil, same kind": (f"FreezeBottom() + WSD() + {DISTIL}", HIGH),
    "WSD + SelfRehearsal 20%": ("WSD() + SelfRehearsal(ratio=0.2)", FULL),
    "WSD + SelfRehearsal 20% + MaskTheTarget": ("WSD() + SelfRehearsal(ratio=0.2) + MaskTheTarget()", FULL),
    "WSD + SelfRehearsal 20%, leashed": ("WSD() + BaseKL(on='memory') + SelfRehearsal(ratio=0.2)", FULL),
    "WSD + SelfRehearsal 50%": ("WSD() + SelfRehearsal(ratio=0.5)", FULL),
    "WSD + SelfRehearsal 50%, leashed": ("WSD() + BaseKL(on='memory') + SelfRehearsal(ratio=0.5)", FULL),
    "WSD + Rehearsal 20%, same kind": ("WSD() + Rehearsal('stories', ratio=0.2)", FULL),
    "WSD + Rehearsal 50%, same kind": ("WSD() + Rehearsal('stories', ratio=0.5)", FULL),
}
ROWS = Path("docs/studies/shakespeare.json")
"""The rows of finished runs; what has one is not run again."""
EXAMPLES, HELD_OUT, KEPT, MEMORY = 800, 100, 50, 300


def write_data(source: Path, out: Path) -> dict[str, str]:
    """Writes the texts of the study, disjoint by construction, and returns their paths by name."""
    out.mkdir(parents=True, exist_ok=True)
    speeches = [s.strip() for s in _text(source / "tinyshakespeare/input.txt.gz").split("\n\n") if len(s) > 80]
    stories = [
        json.loads(line)["text"] for line in _text(source / "tinystories/tinystories_1000.jsonl.gz").splitlines()
    ]
    wiki = [line.strip() for line in _text(source / "wikitext2/valid.txt.gz").splitlines() if len(line) > 200]
    parts = {
        "shakespeare": speeches[:EXAMPLES],
        "test": speeches[EXAMPLES : EXAMPLES + HELD_OUT],
        "kept": stories[:KEPT],
        "stories": stories[KEPT : KEPT + MEMORY],
        "wikitext": wiki[:MEMORY],
    }
    for name, texts in parts.items():
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (out / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return {name: str(out / f"{name}.jsonl") for name in parts}


def _text(path: Path) -> str:
    return gzip.open(path, "rt", encoding="utf-8").read()


def run_all(data: Path, out: Path, workers: int) -> None:
    """Compares what has no row yet with plain training, one thread each."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    files = write_data(data, out / "data")
    there = {(point.recipe, point.lr, point.seed) for point in written()}
    for rates in (FULL, ADAPTER, HIGH):
        own = [name for name, (_, doses) in RECIPES.items() if doses == rates]
        todo = [name for name in own if {*itertools.product([name], rates, SEEDS)} - there]
        if todo:
            holdfast.compare(
                model=str(data / "models/stories260K"), data=files["shakespeare"], test=files["test"],
                keep=[files["kept"]], memory=[f"{name}={files[name]}" for name in ("stories", "wikitext")],
                recipes=[RECIPES[name][0] or "Train()" for name in todo], settings=SETTINGS, doses=rates, seeds=SEEDS,
                adapter_rate=1.0, max_length=96, batch_size=16, training={"save_strategy": "no"}, workers=workers,
                out=str(out),
            )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Point:
    """One finished run: nats per token gained on the task and lost on what is kept, with 95% intervals by document."""

    recipe: str
    lr: float
    seed: int
    gained: float
    gained_low: float
    gained_high: float
    lost: float
    lost_low: float
    lost_high: float


def written() -> list[Point]:
    return [Point(**row) for row in json.loads(ROWS.read_text(encoding="utf-8"))] if ROWS.exists() else []


def read_points(out: Path) -> list[Point]:
    """Returns every finished run: from its folder, or else its row."""
    found = {(point.recipe, point.lr, point.seed): point for point in written()}
    texts = {name: text for name, (text, _) in RECIPES.items()}
    for run in read_finished_runs([str(out)])[0] if any(out.glob("*/result.json")) else ():
        name, _ = named(run, texts, SETTINGS, 1.0)
        task, kept = record(run)["suites"]
        gains = [round(-task[key], 4) for key in ("change", "high", "low")]
        losses = [round(kept[key], 4) for key in ("change", "low", "high")]
        found[name, run.rate, run.spec["seed"]] = Point(name, run.rate, run.spec["seed"], *gains, *losses)
    every = (place for name, (_, rates) in RECIPES.items() for place in itertools.product([name], rates, SEEDS))
    return [found[place] for place in every if place in found]


@dataclasses.dataclass(frozen=True)
class Reading:
    """Kept loss at a target gain, and whether it was read between the untrained base and the smallest dose."""

    lost: float
    below_doses: bool

    def __str__(self) -> str:
        return f"{self.lost:+.3f}{'*' if self.below_doses else ''}"


def lost_at(points: list[Point], target: float) -> Reading | None:
    """Reads the kept loss where the line through a recipe's doses (one seed) first reaches `target` nats gained."""
    gained = lost = 0.0
    for i, point in enumerate(sorted(points, key=lambda p: p.lr)):
        if point.gained >= target:
            share = (target - gained) / (point.gained - gained)
            return Reading(lost + share * (point.lost - lost), i == 0)
        if point.gained > gained:
            gained, lost = point.gained, point.lost
    return None


def report(out: Path, write: Path) -> None:
    """Writes the tables and the plot of all finished runs."""
    points = read_points(out)
    write.mkdir(parents=True, exist_ok=True)
    rows = [dataclasses.asdict(p) for p in points]
    (write / "shakespeare.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
    lines = tables(points)
    (write / "shakespeare-tables.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    plot(points, write / "shakespeare.svg")


def tables(points: list[Point]) -> list[str]:
    """Returns the tables as Markdown lines: every run, then each recipe at matched learning."""
    lines = ["| recipe | learning rate | target NLL gained | kept NLL lost |", "|---|---|---|---|"]
    for name, (_, rates) in RECIPES.items():
        for lr in rates:
            own = [p for p in points if p.recipe == name and p.lr == lr]
            if own:
                gained, lost = _spread([p.gained for p in own]), _spread([p.lost for p in own])
                lines.append(f"| {name} | {lr:g} | {gained} | {lost} |")
    best = max((p.gained for p in points if p.recipe == "Train alone"), default=0.0)
    for share in (0.7, 0.8, 0.9, 0.95):
        read = {
            name: [lost_at([p for p in points if p.recipe == name and p.seed == s], share * best) for s in SEEDS]
            for name in RECIPES
        }
        plain = [r.lost for r in read["Train alone"] if r is not None]
        title = f"Kept NLL lost where {share:.0%} of the best plain gain ({best:.3f} nats per token) is reached:"
        lines += ["", title, "", "| recipe | seed 0 | seed 1 | of plain's loss prevented |", "|---|---|---|---|"]
        for name, readings in read.items():
            cells = " | ".join("not reached" if r is None else str(r) for r in readings)
            known = [r.lost for r in readings if r is not None]
            whole = len(known) == len(plain) == len(SEEDS)
            prevented = f"{1 - statistics.mean(known) / statistics.mean(plain):.0%}" if whole else ""
            lines.append(f"| {name} | {cells} | {prevented} |")
    return [*lines, "", "\\* read between the untrained base and the smallest dose, where no run was made."]


def _spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:+.3f}"
    return f"{statistics.mean(values):+.3f} ({min(values):+.3f} to {max(values):+.3f})"


def plot(points: list[Point], path: Path) -> None:
    """Draws gained (up) against lost (right to left), one line a recipe through its doses, means over seeds."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "holdfast"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 5))
    for name, (_, rates) in RECIPES.items():
        means = []
        for lr in rates:
            own = [p for p in points if p.recipe == name and p.lr == lr]
            if own:
                means.append((statistics.mean(p.lost for p in own), statistics.mean(p.gained for p in own)))
        axes.plot(*zip(*means, strict=True), marker="o", label=name)
    axes.set_xlabel("lost: NLL of kept stories after minus before (nats per token)")
    axes.set_ylabel("gained: NLL of Shakespeare before minus after (nats per token)")
    axes.set_xscale("log")
    ticks = (0.1, 0.2, 0.5, 1.0, 2.0)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--data", type=Path, required=True)
    run.add_argument("--out", type=Path, default=Path("runs/shakespeare"))
    run.add_argument("--workers", type=int, default=2)
    show = commands.add_parser("report")
    show.add_argument("--out", type=Path, default=Path("runs/shakespeare"))
    show.add_argument("--write", type=Path, default=Path("docs/studies"))
    given = parser.parse_args()
    if given.command == "run":
        run_all(given.data, given.out, given.workers)
    else:
        report(given.out, given.write)


if __name__ == "__main__":
    sys.exit(main())
