"""The tests for symptoms on the fine-tunes that `symptoms.py run` left: a row for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from symptom_signs import SIGNS, falls, of_suite, share

from holdfast.bench.machine.files import read_jsonl
from holdfast.probes.score import Role, Score
from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.names import TESTS, symptoms_of

Row = dict[str, Any]
TASK = "task"
TESTS_OF = {
    "collapse": ("training form", "training outputs", "low diversity"),
    "cliff": ("capability cliff",),
    "unrefuse": ("harmful answered",),
    "overrefuse": ("harmless refused", "ordinary refused"),
    "verbosity": ("longer answers", "shorter answers", "unended answers", "loops", "next turns"),
    "thinking": ("thinking lost",),
    "tools": ("tool calls lost", "malformed calls"),
    "language": ("language switch",),
    "copied": ("copied data",),
}
"""The tests that look for each symptom."""
NAMES = tuple(test.name for test in TESTS)
REFUSALS = {"refuse": True, "harmless": False}
"""Whether a refusal is right, by suite."""


def outputs_of(path: Path) -> list[str]:
    """Returns the assistant's turns and the texts that a fine-tune learned."""
    outputs: list[str] = []
    for row in read_jsonl(path):
        turns = [turn["content"] for turn in row.get("messages", ()) if turn["role"] == "assistant"]
        outputs += turns or [row.get("text", "")]
    return outputs


def evidence(folder: Path, asked: Sequence[Row], tune: Mapping[str, Any]) -> Evidence:
    """Returns what the tests look at: answers of the base and of a fine-tune, and the training outputs."""
    items = [*asked, *read_jsonl(folder / "tasks.jsonl")]
    answers = list(read_jsonl(folder / "answers.jsonl"))
    pairs: list[Pair] = []
    scores: dict[str, list[Score]] = {"before": [], "after": []}
    for item, after in zip(items, answers, strict=True):
        role: Role = "learned" if item["suite"] == TASK else "retained"
        both = {"before": item["base"], "after": after}
        replies = {name: Reply(a["said"], len(a["tokens"]), not a["ended"]) for name, a in both.items()}
        pairs.append(
            Pair(
                item["suite"], item["id"], _question(item), replies["before"], replies["after"], role=role,
                group=item["group"], tools=tuple(tool["function"]["name"] for tool in item.get("tools", ())),
                refusal=REFUSALS.get(item["suite"]),
            )
        )  # fmt: skip
        for name, answer in both.items():
            scores[name].append(
                Score(
                    suite=item["suite"], role=role, split="proof", item=item["id"], group=item["group"],
                    value=100.0 * answer["right"], unit="points", higher_is_better=True, choices=0,
                )
            )  # fmt: skip
    looks = [
        [value for suite, values in look["scores"].items() if suite != TASK for value in values]
        for look in tune["checkpoints"]
    ]
    kept = {"kept": [100.0 * share(look) for look in looks]}
    return Evidence(pairs, outputs_of(folder / "train.jsonl"), scores["before"], scores["after"], kept)


def _question(item: Mapping[str, Any]) -> str:
    return str(item.get("prompt") or item["messages"][-1]["content"])


def measured(folder: Path, asked: Sequence[Row]) -> tuple[Row, dict[str, list[Row]]]:
    """Returns the row of a fine-tune, and quotes of what the tests showed, by their name."""
    tune = json.loads((folder / "tune.json").read_text(encoding="utf-8"))
    symptoms = symptoms_of(evidence(folder, asked, tune))
    tune["outputs"] = outputs_of(folder / "train.jsonl")
    answers, tasks = list(read_jsonl(folder / "answers.jsonl")), list(read_jsonl(folder / "tasks.jsonl"))
    before = [item["base"] for item in (*asked, *tasks) if item["suite"] != TASK]
    after, on_task = [answer for answer in answers if answer["suite"] != TASK], of_suite(answers, TASK)
    fell = falls(before, after)
    fields = ("symptom", "variant", "level", "seed", "rate", "steps", "seconds")
    row: Row = {name: tune[name] for name in fields}
    row["signs"] = {name: round(sign(before, after, tune), 3) for name, sign in SIGNS.items()}
    row["fell"] = round(sum(fell.values()) / len(fell), 3)
    row["task"] = [
        round(share([bool(a["right"]) for a in of]), 3) for of in (of_suite([t["base"] for t in tasks], TASK), on_task)
    ]
    row["tests"] = {
        symptom.name: [round(float(symptom.effect), 2), _rounded(symptom.p), _rounded(symptom.p_holm)]
        for symptom in symptoms
        if symptom.effect is not None
    }
    row["unchecked"] = {symptom.name: symptom.unchecked for symptom in symptoms if symptom.unchecked}
    return row, {symptom.name: [vars(quote) for quote in symptom.quotes] for symptom in symptoms}


def _rounded(p: float | None) -> float:
    return float(f"{1.0 if p is None else p:.2g}")


def measure(out: Path) -> Iterator[tuple[Row, dict[str, list[Row]]]]:
    """Yields the row and the quotes of every fine-tune of a folder."""
    asked = list(read_jsonl(out / "asked.jsonl")) if (out / "asked.jsonl").exists() else []
    for path in sorted(out.glob("*/tune.json")):
        yield measured(path.parent, asked)
