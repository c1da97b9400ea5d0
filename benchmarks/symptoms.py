"""How often do the tests for symptoms fire where there is one, and where there is none?

    python benchmarks/symptoms.py run [--symptoms collapse] [--minutes 4]     (resumable; about an hour on one core)
    python benchmarks/symptoms.py measure         (the tests on all fine-tunes that are there; some minutes)
    python benchmarks/symptoms.py report          (rows to the tables of docs/studies/symptoms.md)

`run` makes a base that thinks and calls tools (`symptom_base.py`), and fine-tunes of it, most of them by data that is
made to cause one symptom and some by data that is made to cause none (`symptom_tunes.py`). Each is asked the same
questions as the base, greedily. What it answers is kept, so that tests can be run again in minutes:

runs/symptoms/base/             the base
              asked.jsonl       the questions, with the base's answers
              NAME/tune.json    what the fine-tune is, and its checkpoints: right (1) and wrong (0) answers by suite
                   train.jsonl  what it learned
                   answers.jsonl

`signs` of a fine-tune (`symptom_signs.py`) are counted by hand-made markers and by nothing that the tests use. They say
whether a fine-tune has what it was made to have.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import symptom_base
from symptom_base import examples_of, suite_items, tool_items, train
from symptom_rows import ENDLESS, Tune
from symptom_tunes import MAKERS, make

from holdfast.bench.machine.files import read_jsonl, write_json, write_jsonl
from holdfast.probes.items import Item

OUT = Path("runs/symptoms")
ROWS = Path(__file__).parents[1] / "docs/studies/symptoms.jsonl"
MOST = 64
"""Most tokens of an answer."""
SEEDS = {**dict.fromkeys(MAKERS, 24), "healthy": 48}
"""Fine-tunes of each symptom."""
PLACES = (0.1, 0.25, 0.5)
"""Checkpoints, as shares of the steps, between the base and the tuned model."""
FOLLOWED = ("cliff",)
"""Symptoms whose fine-tunes are asked at checkpoints."""


@functools.cache
def asked() -> list[Item]:
    """Returns what every fine-tune is asked besides its task: test items of all suites, and requests for tools."""
    counts = {"refuse": 24, "harmless": 24}
    return [*suite_items("proof", lambda suite: counts.get(suite, 10)), *tool_items(16, "proof")]


@functools.cache
def looked() -> list[Item]:
    """Returns what every checkpoint is asked besides the task: validation items of all suites."""
    return [*suite_items("watch", lambda suite: 4), *tool_items(4, "watch")]


def answers_of(model: Any, tokenizer: Any, items: Sequence[Item], most: int = MOST) -> list[dict[str, Any]]:
    """Returns the greedy answer to each item: its text, its tokens, whether it ended by itself, whether it is right."""
    from holdfast.data.tokenization import ids_of_prompts
    from holdfast.probes.checks import fulfils
    from holdfast.probes.generation import answered, continued

    prompts = ids_of_prompts([answered(item.turns, "A", item.id, item.tools) for item in items], tokenizer)
    ends = {int(tokenizer.eos_token_id)}
    written = continued(model, prompts, ends=ends, max_new_tokens=most, temperature=0.0)
    answers = []
    for item, ids in zip(items, written, strict=True):
        text = str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
        answers.append({
            "suite": item.suite, "item": item.id, "said": text, "tokens": ids, "ended": len(ids) < most,
            "right": int(fulfils(text, item.check)),
        })  # fmt: skip
    return answers


def scores(model: Any, tokenizer: Any, items: Sequence[Item]) -> dict[str, list[int]]:
    """Returns right (1) and wrong (0) answers by suite."""
    by_suite: dict[str, list[int]] = {}
    for answer in answers_of(model, tokenizer, items):
        by_suite.setdefault(answer["suite"], []).append(answer["right"])
    return by_suite


def fine_tune(tune: Tune, folder: Path, base: Path) -> None:
    """Trains a fine-tune, asks it and writes its folder."""
    from holdfast.bench.given.loading import load_model, load_tokenizer

    model, tokenizer = load_model(str(base)), load_tokenizer(str(base))
    started = time.process_time()
    watched = [*looked(), *(dataclasses.replace(item, id=f"watch {item.id}") for item in tune.tasks[:12])]
    before = answers_of(model, tokenizer, tune.tasks)
    followed = tune.symptom in FOLLOWED
    places = {*(round(place * tune.steps) for place in PLACES), tune.steps} if followed else set()
    checkpoints = [{"step": 0, "scores": scores(model, tokenizer, watched)}] if followed else []

    def look(step: int) -> None:
        if step in places:
            checkpoints.append({"step": step, "scores": scores(model, tokenizer, watched)})

    examples = examples_of(tune.rows, tokenizer)
    eos = int(tokenizer.eos_token_id)
    examples = [
        dataclasses.replace(example, labels=tuple(-100 if label == eos else label for label in example.labels))
        if example.origin == ENDLESS
        else example
        for example in examples
    ]
    train(model, examples, steps=tune.steps, rate=tune.rate, seed=tune.seed, batch=tune.batch, bf16=True, at=look)
    answers = answers_of(model, tokenizer, [*asked(), *tune.tasks])
    write_jsonl(folder / "answers.jsonl", answers)
    write_jsonl(
        folder / "train.jsonl",
        (
            {"messages": [{"role": t.role, "content": t.content} for t in row.turns], "tools": list(row.tools)}
            if row.turns
            else {"text": row.text}
            for row in tune.rows
        ),
    )
    write_jsonl(
        folder / "tasks.jsonl",
        ({**item.to_dict(), "base": answer} for item, answer in zip(tune.tasks, before, strict=True)),
    )
    fields = ("symptom", "variant", "level", "seed", "rate", "steps", "batch", "form", "neighbours")
    write_json(
        folder / "tune.json",
        {
            **{name: getattr(tune, name) for name in fields},
            "rows": len(tune.rows),
            "seconds": round(time.process_time() - started, 1),
            "checkpoints": checkpoints,
        },
    )


def run(symptoms: Sequence[str], seeds: Sequence[int], out: Path, minutes: float) -> bool:
    """Makes the fine-tunes that are not there, for so many minutes; returns whether all are there."""
    import torch

    from holdfast.bench.given.loading import load_model, load_tokenizer

    torch.set_num_threads(1)
    started = time.monotonic()
    symptom_base.build(out / "base")
    if not (out / "asked.jsonl").exists():
        model, tokenizer = load_model(str(out / "base")), load_tokenizer(str(out / "base"))
        answers = answers_of(model, tokenizer, asked())
        write_jsonl(
            out / "asked.jsonl",
            ({**item.to_dict(), "base": answer} for item, answer in zip(asked(), answers, strict=True)),
        )
    for seed in seeds:
        for symptom in symptoms:
            folder = out / f"{symptom}-{seed:02d}"
            if seed >= SEEDS[symptom] or (folder / "tune.json").exists():
                continue
            if time.monotonic() - started > 60 * minutes:
                return False
            tune = make(symptom, seed)
            fine_tune(tune, folder, out / "base")
            print(f"{folder.name}: {tune.variant}, {tune.level}", flush=True)
    return True


def measure(out: Path, rows: Path) -> None:
    """Runs the tests on all fine-tunes of a folder, and writes a row for each, and the quotes beside them.

    Rows of fine-tunes that are not in the folder stay as they are.
    """
    from symptom_measure import measure as measured

    made = [*measured(out), *measured(out / "qwen")]
    new = [row for row, _ in made]
    there = {(row["level"] == "Qwen", row["symptom"], row["seed"]) for row in new}
    old = list(read_jsonl(rows)) if rows.exists() else []
    new += [row for row in old if (row["level"] == "Qwen", row["symptom"], row["seed"]) not in there]
    write_jsonl(rows, sorted(new, key=lambda row: (row["level"] == "Qwen", row["symptom"], row["seed"])))
    quotes_of = ({"of": f"{row['symptom']}-{row['seed']:02d}", "quotes": quotes} for row, quotes in made)
    write_jsonl(out / "quotes.jsonl", quotes_of)


def report(rows: Path, page: Path) -> None:
    """Writes the tables of the rows into the page, each behind its mark."""
    from symptom_tables import TABLES, qwen

    all_rows = list(read_jsonl(rows))
    of_ground = [row for row in all_rows if row["level"] != "Qwen"]
    lines = {name: table(of_ground) for name, table in TABLES.items()}
    lines["qwen"] = qwen([row for row in all_rows if row["level"] == "Qwen"])
    page.write_text(with_tables(page.read_text(encoding="utf-8"), lines), encoding="utf-8")


def with_tables(page: str, tables: Mapping[str, Sequence[str]]) -> str:
    """Returns a page with tables between their marks, `<!-- NAME -->` and `<!-- end -->`, in the place of others."""
    for name, lines in tables.items():
        new = "\n".join([f"<!-- {name} -->", "", *lines, "", "<!-- end -->"])
        page = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _, new=new: new, page, flags=re.DOTALL)
    return page


def main() -> None:
    """Makes fine-tunes, measures the tests on them, or writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "measure", "report"))
    parser.add_argument("--symptoms", nargs="+", choices=list(MAKERS), default=list(MAKERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(max(SEEDS.values()))))
    parser.add_argument("--minutes", type=float, default=1e9, help="after which no other fine-tune begins")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--rows", type=Path, default=ROWS)
    given = parser.parse_args()
    if given.what == "run":
        raise SystemExit(0 if run(given.symptoms, given.seeds, given.out, given.minutes) else 3)
    elif given.what == "measure":
        measure(given.out, given.rows)
    else:
        report(given.rows, given.rows.with_suffix(".md"))


if __name__ == "__main__":
    main()
