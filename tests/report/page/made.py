"""Made-up folders of a run, a reranker's run, a healing and a fit, with every section that their pages have."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

from holdfast.bench.fit.fit_record import FitCost, FitRecord, StageName, StageRow
from holdfast.bench.fit.pilot_record import PilotRecord, PilotRung
from holdfast.bench.fit.search_record import RungRow, SearchRecord, TrialRow
from holdfast.bench.fit.trials import TrialOutcome
from holdfast.bench.heal.heal_record import BeforeHealing, HealEdit, HealPoint, HealRecord, HealSearch
from holdfast.bench.machine.files import append_jsonl, write_json, write_jsonl
from holdfast.bench.measured.answers import write_answers
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import row_of
from holdfast.bench.measured.ranking_record import MetricRow, RankingRow
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.measured.symptom_record import QuoteRow, SymptomRow
from holdfast.bench.measured.verdict import verdict
from holdfast.core.budget import Budget
from holdfast.probes.changes import changes
from holdfast.probes.score import Answers, Said
from tests.bench.comparison import guard, scores_of, write

BUDGET = Budget(points=5)
RECIPE = "Train(lr=0.0001, epochs=3.0, batch=16) + WSD() + BaseKL(on='memory') + Rehearsal(memory='old', ratio=0.5)"


def finished(folder, **more):
    looks = [{"step": 4, "points_lost": 1.5, "learned": 20.0}, {"step": 8, "points_lost": 30.0, "learned": 60.0}]
    result = {"guard": guard([], looks=looks, sentence="It went back.", spent_at=[8])}
    write(folder, "Train(lr=0.0001)", learned=0.9, kept=0.5, spec={"seed": 0, "resolved_recipe": "Train(lr=1e-4)"},
          result=result | more)  # fmt: skip
    scores = read_scores(folder / "scores.jsonl")
    values = json.loads((folder / "result.json").read_text())
    values["suites"] = [row_of(change).to_dict() for change in changes(scores["before"], scores["after"])]
    write_json(folder / "result.json", values)
    lines = []
    for moment in ("before", "after"):
        for number in range(40):
            said = {"suite": "facts", "item": f"proof-{number}", "asked": f"What is {number}?", "right": str(number)}
            lines.append({"moment": moment, **said, "said": f"{moment} says {number}", "confidence": None})
    write_jsonl(folder / "answers.jsonl", lines)
    write_json(folder / "env.json", {"python": "3.11.7", "packages": {"torch": "2.13"}})
    for step in range(1, 10):
        append_jsonl(folder / "log.jsonl", {"step": step, "loss": 2.0 / step, "task_loss": 1.5 / step})
    return folder


def reranker(folder: Path) -> Path:
    """Writes the run of a reranker, which has metrics of rankings, scores as answers, and a loss over lists."""
    metric = MetricRow(before=90.0, after=80.0, change=-10.0, low=-14.0, high=-6.0)
    ranking = RankingRow(
        queries=40, candidates=99.5, bm25=61.0, metrics={"nDCG@10": metric}, tied_before=0, tied_after=1
    )
    finished(folder, ranking={name: ranking.to_dict() for name in ("task", "facts", "sums")})
    values = json.loads((folder / "result.json").read_text())
    for row in values["suites"]:
        for key in ("lost", "gained", "mcnemar"):  # a ranking is not right or wrong
            del row[key]
    symptom = SymptomRow(
        name="score drift", family="scores", present=True, threshold=75.0, effect=90.0, low=80.0, high=99.0, p=0.0,
        p_holm=0.0, answers=40, sentence="the median score moved by 90% of the spread",
        quotes=(QuoteRow(suite="facts", item="q7", asked="old leases", before="+0.4 to +1.2", after="+3.1 to +3.9"),),
    )  # fmt: skip
    write_json(folder / "result.json", {**values, "symptoms": [symptom.to_dict()]})
    return folder


def healing(folder: Path) -> Path:
    """Writes a healing: the tuned model forgot, and an edit of its weights brought it inside the budget."""
    tuned, healed = (scores_of(learned=learned, kept=kept) for learned, kept in ((0.9, 0.4), (0.7, 1.1)))
    before, after = (changes(scores["before"], scores["after"]) for scores in (tuned, healed))
    points = [HealPoint(edit="scale", strength=0.5, drift=0.3, way=0.6)]
    points += [
        HealPoint(edit=edit, strength=0.4, spent=spent, gain=40.0) for edit, spent in (("scale", 0.9), ("mlp", 2))
    ]
    record = HealRecord(
        suites=tuple(map(row_of, after)), learned=learning_of(after), verdict=verdict(after, BUDGET),
        base="/models/a-base-with-a-long-name", tuned="/runs/labels-6c1b/model", form="whole", model="healed/model",
        before=BeforeHealing(
            suites=tuple(map(row_of, before)), learned=learning_of(before), verdict=verdict(before, BUDGET)
        ),
        edit=HealEdit(name="scale", strength=0.4, text="40% of every change", inside=True, change_left=0.4),
        search=HealSearch(
            allowed=12, evaluations=7.5, items=90, bound=1.0, tuned_spent=9.1, tuned_gain=80.0, points=tuple(points)
        ),
        learning_left=0.78, sentence="The healed model has 40% of every change (scale at 0.4).", seconds=71.0,
    )  # fmt: skip
    write_json(folder / HealRecord.FILE, record.to_dict())
    options = {"base": record.base, "tuned": record.tuned, "budget": {"points": 5}, "keep": ["old.jsonl"]}
    write_json(folder / "heal-spec.json", options)
    write_json(folder / "env.json", {"python": "3.11.7", "packages": {"torch": "2.13"}})
    for side, moment in (("base", "before"), ("healed", "after")):
        scores = tuple(healed[moment])
        said = tuple(
            Said(suite=row.suite, item=row.item, asked=f"What is {row.item}?", said=f"{side} {row.value:g}", right="1")
            for row in scores
        )
        (folder / "answers").mkdir(exist_ok=True)
        write_answers(folder / "answers" / f"{side}-test.jsonl", Answers(scores, said), "x", moment)
    return folder


def fit(folder: Path) -> Path:
    """Writes a fit that took every stage: a pilot, a search with the full run, and a healing."""
    run = finished(folder / "runs" / "labels-6c1b-seed0")
    healed = healing(folder / "healed-labels")
    record = HealRecord.read(healed)
    sentences = (
        "advises LoRA",
        "wrote 201 examples",
        "The gate is open.",
        "took 5 trials",
        "is part of the search",
        "40%",
    )
    names = get_args(StageName)
    stages = [
        StageRow(name=name, done=True, sentence=text, announced=1.0, spent=0.5, seconds=60.0,
                 record=str(healed / HealRecord.FILE) if name == "heal" else None)
        for name, text in zip(names, sentences, strict=True)
    ]  # fmt: skip
    whole = FitRecord(
        suites=record.suites, learned=record.learned, verdict=record.verdict, symptoms=(), base=record.base,
        data="/data/labels.jsonl", stages=tuple(stages), recipe=RECIPE, run=str(run), used=1.3, healed=True,
        model=str(healed / "model"), notes=("labels.jsonl: 220 rows.",), seconds=500.0,
        cost=FitCost(allowed=3.0, spent=2.9, plain_seconds=60.0, training_seconds=300.0),
        sentence="The base learned the task: it answers 70% of the test questions right, and 0% before.",
    )  # fmt: skip
    write_json(folder / FitRecord.FILE, whole.to_dict())
    write_json(folder / "fit-spec.json", {"model": record.base, "data": whole.data, "budget": {"points": 5}})
    why = "it lost more than the budget; without old examples it passes only if it loses nothing, and it lost 4.5%"
    rungs = tuple(
        PilotRung(name=name, recipe=RECIPE, learned=30.0, lost=lost, opens=lost < 5, why=why, cost=0.11)
        for name, lost in (("all weights", 12.0), ("LoRA with old examples", 1.5))
    )
    pilot = PilotRecord(
        share=0.1, examples=22, announced=0.5, spent=0.4, rungs=rungs, left_out=(), rung=rungs[1].name, open=True,
        rate=1.0, recipe=RECIPE, sentence="The gate is open: LoRA with old examples lost 1.5 points.",
    )  # fmt: skip
    write_json(folder / PilotRecord.FILE, pilot.to_dict())
    write_json(folder / "runs" / SearchRecord.FILE, _search().to_dict())
    return folder


def _search() -> SearchRecord:
    outcome = TrialOutcome(state="finished", learned=40.0, lost=3.0, limit=5.0, used=0.9, cost=0.4)
    trials = [
        TrialRow(number=number, recipe=RECIPE, fidelity=share, source="sampled", outcome=outcome)
        for number, share in enumerate((0.25, 0.25, 1.0))
    ]
    trials[1] = dataclasses.replace(trials[1], outcome=TrialOutcome(state="failed", cost=0.1, why="out of memory"))
    ladder = (RungRow(fidelity=0.25, trials=2), RungRow(fidelity=1.0, trials=1))
    return SearchRecord(
        cost=2.5, spent=2.1, ladder=ladder, trials=tuple(trials), restarts=0, best=2, inside=True,
        growth={"lost": 1.0}, searched=("rate", "BaseKL.strength"), held=(), seed=0, sentence="It took 3 trials.",
    )  # fmt: skip
