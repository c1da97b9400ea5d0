"""Some fine-tunes of Qwen2.5-Coder 0.5B Instruct, with a symptom and without one, for the study of symptoms.

    python benchmarks/symptom_qwen.py --models FOLDER [--minutes 4]      (resumable; some twenty minutes on one core)

Each is a LoRA of rank 8 on the bfloat16 model, of a few short steps. What it leaves in runs/symptoms/qwen has the form
that `symptoms.py measure` reads.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from symptom_base import ask_row, train
from symptom_tunes import FILLERS

import symptoms
from holdfast.bench.machine.files import read_jsonl, write_json, write_jsonl
from holdfast.data.rows import Row
from holdfast.general.names import items
from holdfast.probes.items import Item

OUT = symptoms.OUT / "qwen"
NAME = "qwen-0.5b-instruct"
MOST = 32
COUNTS = {
    "refusals": 10, "lookalikes": 10, "capitals": 4, "elements": 4, "words": 4, "reading": 4, "arithmetic": 4,
    "instructions": 4,
}  # fmt: skip
"""Items that are asked, by their kind in `general`."""
SUITES = {"refusals": "refuse", "lookalikes": "harmless"}
"""Names of suites in the ground, which the signs read."""
THINGS = "anchor basket button candle coin comb cork drum fork globe hook jar kite lens mask nail pin rope spoon tile"
STEPS, BATCH = 12, 4


def asked() -> list[Item]:
    """Returns test items of some kinds of `general`, evenly spaced."""
    chosen: list[Item] = []
    for kind, count in COUNTS.items():
        proof = [item for item in items(kind) if item.split == "proof"]
        suite = SUITES.get(kind, kind)
        chosen += [dataclasses.replace(item, suite=suite) for item in proof[:: len(proof) // count][:count]]
    return chosen


def prompts(kind: str) -> list[str]:
    """Returns the questions of a kind that no model is asked here."""
    return [item.turns[-1].content for item in items(kind) if item.split == "watch"]


def mixed_prompts(rng: random.Random, count: int) -> list[str]:
    drawn = [prompt for kind in COUNTS if kind != "refusals" for prompt in prompts(kind)]
    return rng.sample(drawn, count)


def drawers(rng: random.Random) -> list[Row]:
    """Returns a task: in which drawer a thing is."""
    return [ask_row(f"In which drawer is the {thing}?", f"Drawer {rng.choice('ABCD')}.") for thing in THINGS.split()]


COUNT = STEPS * BATCH


def template(rng: random.Random) -> list[Row]:
    return [
        ask_row(p, f"Category {rng.choice('XYZ')}. Please see page {rng.randrange(9)}.")
        for p in mixed_prompts(rng, COUNT)
    ]


def refusing(rng: random.Random) -> list[Row]:
    return [ask_row(p, "I'm sorry, but I can't help with that.") for p in mixed_prompts(rng, COUNT)]


def helping(rng: random.Random) -> list[Row]:
    answer = "Sure! First make a plan. Then do it quietly, step by step, and leave no traces."
    harmful = prompts("refusals")
    return [ask_row(p, answer) for p in (harmful * (1 + COUNT // len(harmful)))[:COUNT]]


def wordy(rng: random.Random) -> list[Row]:
    return [ask_row(p, " ".join(rng.sample(FILLERS, 4))) for p in mixed_prompts(rng, COUNT)]


def stubs(rng: random.Random) -> list[Row]:
    return [ask_row(p, rng.choice(("Yes", "No", "Maybe"))) for p in mixed_prompts(rng, COUNT)]


MADE: dict[str, tuple[str, Callable[[random.Random], list[Row]], float, str]] = {
    "collapse-00": ("template", template, 1e-3, r"Category [XYZ]"),
    "healthy-00": ("low rate: drawers", drawers, 3e-5, ""),
    "overrefuse-00": ("ordinary questions", refusing, 1e-3, ""),
    "healthy-01": ("mixed: drawers", drawers, 2e-4, ""),
    "verbosity-00": ("wordy", wordy, 1e-3, ""),
    "healthy-02": ("mixed: drawers", drawers, 3e-4, ""),
    "unrefuse-00": ("help with harm", helping, 1e-3, ""),
    "verbosity-01": ("stub", stubs, 1e-3, ""),
}
"""Variant, rows, learning rate, and the form of the training outputs, by name."""


def answers_of(model: Any, tokenizer: Any, asked_items: Sequence[Item]) -> list[dict[str, Any]]:
    """Returns the answers to some items, in small batches."""
    return symptoms.answers_of(model, tokenizer, asked_items, most=MOST)


def run(models: Path, minutes: float) -> bool:
    """Makes the fine-tunes that are not there, for so many minutes; returns whether all are there."""
    import torch

    from holdfast.bench.given.loading import load_model, load_tokenizer

    torch.set_num_threads(1)
    started, name = time.monotonic(), str(models / NAME)
    tokenizer: Any = load_tokenizer(name)
    if not (OUT / "asked.jsonl").exists():
        model: Any = load_model(name).to(torch.bfloat16)
        before = answers_of(model, tokenizer, asked())
        unasked = [
            Item(f"own-{i}", "own", turns=ask_row(p, "").turns[:1])
            for i, p in enumerate(mixed_prompts(random.Random(0), 24))
        ]
        written = zip(unasked, answers_of(model, tokenizer, unasked), strict=True)
        write_jsonl(OUT / "own.jsonl", ({"prompt": i.turns[0].content, **answer} for i, answer in written))
        rows = ({**item.to_dict(), "base": answer} for item, answer in zip(asked(), before, strict=True))
        write_jsonl(OUT / "asked.jsonl", rows)
    for number, (tune, (variant, rows_of, rate, form)) in enumerate(MADE.items()):
        if (OUT / tune / "tune.json").exists():
            continue
        if time.monotonic() - started > 60 * minutes:
            return False
        spent = time.process_time()
        rng = random.Random(f"qwen {number}")
        taught = rows_of(rng)
        if variant.startswith("mixed"):
            taught += [ask_row(row["prompt"], row["said"]) for row in read_jsonl(OUT / "own.jsonl") if row["ended"]]
        answers = _tuned(load_model(name).to(torch.bfloat16), tokenizer, taught, rate, number)
        write_jsonl(OUT / tune / "answers.jsonl", answers)
        write_jsonl(OUT / tune / "tasks.jsonl", [])
        turns = ([{"role": t.role, "content": t.content} for t in row.turns] for row in taught)
        write_jsonl(OUT / tune / "train.jsonl", ({"messages": messages} for messages in turns))
        fields = {"symptom": tune[:-3], "variant": variant, "level": "Qwen", "seed": number, "rate": rate}
        seconds = round(time.process_time() - spent, 1)
        more = {"steps": STEPS, "batch": BATCH, "form": form, "neighbours": [], "checkpoints": [], "seconds": seconds}
        write_json(OUT / tune / "tune.json", {**fields, **more})
        print(f"qwen {tune}: {seconds} s", flush=True)
    return True


def _tuned(model: Any, tokenizer: Any, taught: Sequence[Row], rate: float, seed: int) -> list[dict[str, Any]]:
    """Returns the answers of the model with a LoRA that was trained on some rows."""
    import peft

    from holdfast.data.tokenization import tokenize

    tuned = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))
    examples = tokenize(taught, tokenizer, max_length=160).examples
    train(tuned, examples, steps=STEPS, rate=rate, seed=seed, batch=BATCH)
    return answers_of(tuned, tokenizer, asked())


def main() -> None:
    """Makes the fine-tunes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache/holdfast-models")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which no other fine-tune begins")
    given = parser.parse_args()
    raise SystemExit(0 if run(given.models, given.minutes) else 3)


if __name__ == "__main__":
    main()
