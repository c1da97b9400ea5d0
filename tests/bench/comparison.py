"""Made-up finished runs: scores by recipe, rate and seed, written as run folders are."""

from __future__ import annotations

import random
from pathlib import Path

from holdfast.bench.machine.files import write_json
from holdfast.bench.measured.scores import write_scores
from holdfast.probes.score import Score

MODEL = {"model": "base", "data": "new.jsonl", "test": "test.jsonl", "transfer": None, "keep": ["old.txt"]}
SPEC = {**MODEL, "held_out": 0.1, "max_length": 64, "raw": False, "loss_on": "completion", "over_long": "truncate"}


def scores_of(*, learned, kept, seed=0, items=40, unit="points", sides=("watch", "proof")):
    """Scores before and after, of a model that answers a share `learned` of the task, and `kept` of two suites."""
    draw = random.Random(seed)
    made = {"before": [], "after": []}
    for suite, role, share, was in (
        ("task", "learned", learned, 0.0),
        ("facts", "retained", kept, 1.0),
        ("sums", "retained", kept - 0.1, 1.0),
    ):
        for side in sides:
            right = {*draw.sample(range(items), round(min(max(0.0, share), 1.0) * items))}
            for number in range(items):
                about = {
                    "suite": suite,
                    "role": role,
                    "split": side,
                    "item": f"{side}-{number}",
                    "group": f"{suite}{number}",
                }
                same = {"unit": unit, "higher_is_better": unit == "points"}
                for moment, value in (("before", was), ("after", float(number in right))):
                    scale = 100.0 if unit == "points" else 1.0
                    value = value if unit == "points" else 2.0 - value
                    made[moment].append(Score(**about, **same, value=scale * value))
    return made


def guard(watched, **changes):
    """What result.json says of a guard that watched some suites."""
    about = {"on_spent": "rewind", "spent_at": [], "rewinds": 0, "model_of": None, "hold": 1.0, "learned": {}}
    about |= {"failed": 0, "looks": [], "every": 9, "seconds": 1.0, "asked": {"kept": 9, "learned": 9}}
    return {**about, "watched": list(watched), **changes}


def write(folder: Path, recipe, *, seed=0, cost=None, spec=None, result=None, **scores):
    """Writes a finished run and returns its folder."""
    write_json(folder / "spec.json", {**SPEC, "recipe": recipe, "seed": seed, **(spec or {})})
    cost = {"device": "cpu", "seconds": 10.0, "cpu": 10.0, "memory": 300.0, "before": 100.0} if cost is None else cost
    about = {"suites": [], "seconds": {"training": 1.0, "all": 2.0}, "steps": 9, "cost": cost}
    about |= {"trained_parameters": 5, "parameters": 10, **(result or {})}
    write_json(folder / "result.json", {name: value for name, value in about.items() if value is not None})
    write_scores(folder / "scores.jsonl", folder.name, scores_of(seed=seed, **scores))
    return folder


def comparison(out: Path, seeds=(0,)):
    """Plain training and two others, at three rates each: one keeps more, one learns nothing."""
    curves = {
        "Train(lr={lr}) + Cosine()": ((0.3, 0.95), (0.6, 0.8), (0.9, 0.5)),
        "Train(lr={lr}) + Cosine() + MaskTheTarget()": ((0.2, 1.0), (0.6, 0.95), (0.9, 0.9)),
        "Train(lr={lr}) + Cosine() + LoRA(rank=2)": ((0.0, 1.0), (0.05, 1.0), (0.1, 0.9)),
    }
    for place, (recipe, doses) in enumerate(curves.items()):
        for dose, (learned, kept) in enumerate(doses):
            for seed in seeds:
                lr = 1e-4 * 2**dose * (10 if "LoRA" in recipe else 1)
                seconds = 10.0 * (1 + 0.2 * place)
                cost = {"device": "cpu", "seconds": 1.0, "cpu": seconds, "memory": 300.0 + 100 * place, "before": 100.0}
                folder = out / f"run-{place}-{dose}-{seed}"
                write(folder, recipe.format(lr=f"{lr:g}"), seed=seed, cost=cost, learned=learned, kept=kept)
    return out
