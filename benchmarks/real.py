"""The study on real models: what recipes learn and lose on six tasks, on Gemma 3 270M and Qwen2.5-Coder 0.5B Instruct.

    python benchmarks/real.py run --models FOLDER [--only qwen facts]       (resumable; several may run side by side)
    python benchmarks/real.py list                                          (what is done, what is left)

FOLDER holds a folder for each model; HOLDFAST_SUITES names the folder of public sets. Each run is a whole
`holdfast train` in a process of its own, on one thread, in bf16, or in float32 on a processor without units for bf16.
`queue` lists the runs, the most telling first.

docs/studies/real.jsonl   a row for each run: what it was, what it cost, and every answer
runs/real/                the files of tasks and suites, the runs, and what the bases wrote

The base writes a hundred or a thousand examples once for each model (`self100.jsonl`), and runs rehearse them in place
of `SelfRehearsal`, which would write them again for every run. A tenth more are written, since a sieve leaves some out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import real_tasks
from real_tasks import TASKS
from real_written import REFUSED, WRITTEN, precision, write_old_examples, write_refusals

from holdfast.bench.compare.plan import plan
from holdfast.bench.given.specs import CompareSpec
from holdfast.bench.machine.files import read_jsonl, write_jsonl
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.folder import folder_of
from holdfast.probes.items import Item
from holdfast.probes.score import Score

ROWS = Path(__file__).parents[1] / "docs/studies/real.jsonl"
MODELS = {"gemma": "gemma-270m", "qwen": "qwen-0.5b-instruct"}
CHAT = {"gemma": False, "qwen": True}
BATCH, ADAPTER, LENGTH = 8, 10.0, {"tools": 900}
"""Rows of a step; times the rate, for recipes that train an adapter; longest row in tokens, if not 256."""
EPOCHS = {"gemma": 1.0, "qwen": 0.5}
"""Factor on the epochs of a task: a token costs the larger model 3.6 times as much, and it learns in fewer steps."""

KL = "BaseKL(on='memory') + "


def answers(share: float) -> str:
    """Returns the rehearsal of the base's answers at a share of the tokens."""
    return f"PromptRehearsal(ratio={share:g}, per_example=0)"


RECIPES = {
    "plain": "",
    "LoRA": "LoRA()",
    "LoRA, MaskTheTarget": "LoRA() + MaskTheTarget()",
    "DoRA, MaskTheTarget": "DoRA() + MaskTheTarget()",
    "LoRA, BaseKL": "LoRA() + BaseKL()",
    "LoRA, WSD, the default's rate": "Train(lr=7.5) + LoRA() + WSD()",
    "Finch": "Train(lr=0.5) + Finch()",
    "WSD": "Train(lr=0.5) + WSD()",
    "FreezeBottom, WSD": "Train(lr=0.5) + FreezeBottom() + WSD()",
    "LoRA, Rehearsal 5%": "LoRA() + Rehearsal(memory='old', ratio=0.05)",
    "LoRA, Rehearsal 20%, KL": "LoRA() + BaseKL(on='memory') + Rehearsal(memory='old', ratio=0.2)",
    "LoRA, Self 100 20%": "LoRA() + Rehearsal(memory='self100', ratio=0.2)",
    "LoRA, Self 1000 20%": "LoRA() + Rehearsal(memory='self1000', ratio=0.2)",
    **{
        f"LoRA, Self {count} {share}%, KL": f"LoRA() + {KL}Rehearsal(memory='self{count}', ratio={share / 100:g})"
        for count, share in ((100, 5), (100, 20), (100, 50), (1000, 20))
    },
    "LoRA, refusals 5%, KL": f"LoRA() + {KL}Rehearsal(memory='refused', ratio=0.05)",
    "LoRA, MaskTheTarget, RefusalRehearsal": "LoRA() + MaskTheTarget() + RefusalRehearsal()",
    "LoRA, prompts 10% and refusals, KL": f"LoRA() + {KL}RefusalRehearsal() + {answers(0.1)}",
    "LoRA, prompts 10%, KL": f"LoRA() + {KL}{answers(0.1)}",
    "LoRA, prompts every other pass, KL": f"LoRA() + {KL}PromptRehearsal(ratio=0.1, per_example=0.24)",
    "LoRA, prompts every tenth pass, KL": f"LoRA() + {KL}PromptRehearsal(ratio=0.1, per_example=0.02)",
    "LoRA, prompts 25%, KL": f"LoRA() + {KL}{answers(0.25)}",
    "LoRA, prompts 50%, KL": f"LoRA() + {KL}{answers(0.5)}",
    "Holdfast, prompts, adapter": "Train(lr=7.5) + Holdfast(adapter=True, prompts=True)",
    "Holdfast, one for ten, adapter": f"Train(lr=7.5) + LoRA() + WSD() + {KL}PromptRehearsal(per_example=0.1)"
    " + RefusalRehearsal()",
    **{
        f"Holdfast, prompts {share}%, adapter": f"Train(lr=7.5) + LoRA() + WSD() + {KL}{answers(share / 100)}"
        " + RefusalRehearsal()"
        for share in (5, 10, 25)
    },
    "Holdfast, prompts 25%": f"Train(lr=0.75) + WSD() + {KL}{answers(0.25)} + RefusalRehearsal()",
    "OnPolicySDFT": "LoRA() + OnPolicySDFT(length=64)",
    "EWC": "EWC(memory='self100', strength=100.0)",
    "FAPM": "FAPM(0.1)",
    "WiSEFT 0.5": "WiSEFT(0.5)",
    "WiSEFT 0.8": "WiSEFT(0.8)",
    "LoRA, WiSEFT 0.5": "LoRA() + WiSEFT(0.5)",
    "LoRA, WiSEFT 0.8": "LoRA() + WiSEFT(0.8)",
    "TokenForgetting": "TokenForgetting()",
    "DFT": "DFT()",
    "EAFT": "EAFT()",
}
EDITS = ("FAPM", "WiSEFT 0.5", "WiSEFT 0.8", "LoRA, WiSEFT 0.5", "LoRA, WiSEFT 0.8")
"""Recipes that edit the weights of a finished run."""
CHAT_ALONE = (
    *("LoRA, refusals 5%, KL", "LoRA, MaskTheTarget, RefusalRehearsal", "LoRA, prompts 10% and refusals, KL"),
)
"""Recipes for models that refuse."""
RATE = 2e-5
"""The rate of all recipes where all weights train; an adapter takes ten times as much."""
TWO_TASKS = ("labels", "facts")
DEFAULT, TWIN = "Holdfast, prompts, adapter", "LoRA, WSD, the default's rate"
"""The default, and the same training without what holds the model to its base."""
PAIRS = (
    *(("gemma", "labels", 0), ("gemma", "facts", 0), ("gemma", "language", 0), ("qwen", "labels", 0)),
    *(("qwen", "facts", 0), ("gemma", "labels", 1), ("gemma", "science", 0), ("qwen", "mathematics", 0)),
    *(("qwen", "tools", 0), ("qwen", "science", 0), ("gemma", "facts", 1), ("qwen", "facts", 1)),
)
"""Models, tasks and seeds of the default and its twin."""
OTHERS = {
    ("gemma", "facts"): (
        *("LoRA", "LoRA, prompts every other pass, KL"),
        *(f"Holdfast, prompts {share}%, adapter" for share in (5, 10, 25)),
    ),
    ("gemma", "language"): ("Holdfast, prompts 10%, adapter", "Holdfast, prompts 25%, adapter"),
    ("qwen", "labels"): (
        *("LoRA", "LoRA, Self 100 20%, KL", "LoRA, prompts 10% and refusals, KL", "Holdfast, prompts 25%, adapter"),
        "Holdfast, one for ten, adapter",
    ),
    ("qwen", "facts"): (
        *("plain", "LoRA", "LoRA, Self 100 20%, KL", "LoRA, MaskTheTarget", *CHAT_ALONE),
        *("Holdfast, prompts 10%, adapter", "Holdfast, prompts 25%, adapter"),
    ),
}
"""Other recipes by model and task; on Gemma's labels, of which most is lost, all run."""
RATES = {"plain": (1e-5, 5e-5), "LoRA": (1e-5, 5e-5), "LoRA, MaskTheTarget": (1e-5, 5e-5)}
"""Other rates on Gemma's labels."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of the study."""

    model: str
    task: str
    recipe: str
    dose: float = RATE
    seed: int = 0

    @property
    def place(self) -> tuple[Any, ...]:
        """Returns what tells a run from others."""
        return dataclasses.astuple(self)


def queue() -> Iterator[Job]:
    """Yields all runs, the most telling first."""
    for model, task, seed in PAIRS:
        yield from (Job(model, task, recipe, seed=seed) for recipe in (DEFAULT, TWIN))
    yield from (Job("gemma", "labels", recipe) for recipe in RECIPES if recipe not in CHAT_ALONE)
    for (model, task), recipes in OTHERS.items():
        yield from (Job(model, task, recipe) for recipe in recipes)
    for recipe, rates in RATES.items():
        yield from (Job("gemma", "labels", recipe, rate) for rate in rates)
    for recipe in ("Holdfast, prompts 25%, adapter", "Holdfast, one for ten, adapter"):
        yield Job("gemma", "labels", recipe, seed=1)


def rows() -> list[Row]:
    """Returns the rows that are written."""
    return list(read_jsonl(ROWS)) if ROWS.exists() else []


def place(row: Row) -> tuple[Any, ...]:
    """Returns what tells the run of a row from others."""
    return tuple(row[field.name] for field in dataclasses.fields(Job))


def items_of_job(model: str, task: str) -> dict[str, list[Item]]:
    """Returns the items that a run is asked, by suite, in their order."""
    chat = CHAT[model]
    by_suite = {"task": list(TASKS[task](chat).items)}
    for item in real_tasks.kept(chat, task):
        by_suite.setdefault(item.suite, []).append(item)
    return by_suite


def files(out: Path, model: str, task: str) -> Path:
    """Writes the files of a task for a model, and returns their folder."""
    folder, chat = out / "asked" / f"{model}-{task}", CHAT[model]
    if not (folder / "done").exists():
        made = TASKS[task](chat)
        write_jsonl(folder / "train.jsonl", made.rows)
        write_jsonl(folder / "test.jsonl", (item.to_dict() for item in made.items))
        write_jsonl(folder / "keep.jsonl", (item.to_dict() for item in real_tasks.kept(chat, task)))
        write_jsonl(folder / "texts.jsonl", real_tasks.texts())
        write_jsonl(folder / "old.jsonl", real_tasks.old(chat))
        (folder / "done").touch()
    return folder


def spec_of(job: Job, out: Path, models: Path) -> CompareSpec:
    """Returns the options of a run as those of a comparison of one recipe."""
    folder, written = files(out, job.model, job.task), out / "written" / job.model
    epochs = TASKS[job.task](CHAT[job.model]).epochs * EPOCHS[job.model]
    files_of = {"old": folder / "old.jsonl", **{name: written / f"{name}.jsonl" for name in (*WRITTEN, REFUSED)}}
    memories = tuple(f"{name}={path}" for name, path in files_of.items() if reads(job.recipe, name))
    return CompareSpec(
        model=str(models / MODELS[job.model]), data=str(folder / "train.jsonl"), test=str(folder / "test.jsonl"),
        keep=(str(folder / "keep.jsonl"), str(folder / "texts.jsonl")), held_out=0.0,
        memory=memories, recipes=(RECIPES[job.recipe] or "Train()",),
        doses=(job.dose,), seeds=(job.seed,), settings=f"Train(lr=1.0, epochs={epochs:g}, batch={BATCH}) + Cosine()",
        adapter_rate=ADAPTER, precision=precision(), max_length=LENGTH.get(job.task, 256), batch_size=BATCH,
        training={"save_strategy": "no"}, out=str(out / f"{job.model}-{job.task}"),
    )  # fmt: skip


def reads(recipe: str, memory: str) -> bool:
    """Returns whether a recipe reads a memory."""
    named = re.findall(r"memory='([\w,]+)'", RECIPES[recipe])
    return any(memory in names.split(",") for names in named)


def hexed(bits: Sequence[bool]) -> str:
    """Returns bits as hexadecimal digits."""
    return np.packbits(np.array(bits, dtype=bool)).tobytes().hex()


def packed(scores: Sequence[Score], suites: dict[str, list[Item]]) -> Row:
    """Returns answers by suite, a bit for each item in their order, and the nats per token of texts."""
    values = {(row.suite, row.item): row.value for row in scores}
    answers = {name: hexed([values[name, item.id] > 50 for item in own]) for name, own in suites.items()}
    nats = [round(row.value, 4) for row in scores if row.unit == "nats"]
    return {"answers": answers, "nats": nats}


def run_one(job: Job, out: Path, models: Path) -> list[Row]:
    """Makes a run, and returns its row; with the first of a task and model, the row of the base before it."""
    import torch
    from real_drift import drift_of

    from holdfast.bench.run.run import train

    torch.set_num_threads(1)
    base_folder, written = models / MODELS[job.model], out / "written" / job.model
    for name in WRITTEN:
        if reads(job.recipe, name):
            write_old_examples(base_folder, name, written)
    if reads(job.recipe, REFUSED):
        write_refusals(base_folder, written)
    planned = next(run for run in reversed(plan(spec_of(job, out, models)).runs))
    trunk = None if planned.trunk is None else folder_of(planned.trunk)
    bases = out / "bases" / f"{job.model}-{job.task}"
    if trunk is not None and not (trunk / "result.json").exists():
        raise SystemExit(f"{job}: the run that it edits is not there.")
    came = train(planned.spec, bases=bases, trained=trunk)
    suites, scores = items_of_job(job.model, job.task), read_scores(came.folder / "scores.jsonl")
    record = came.record.to_dict()
    cost, seconds = record.get("cost"), record["seconds"]
    row = {
        **dataclasses.asdict(job), "text": planned.spec.recipe, "precision": planned.spec.precision,
        "steps": record["steps"], "padded": False,
        "seconds": {name: round(seconds[name], 1) for name in ("training", "all")},
        "cost": cost and {"cpu": round(cost["cpu"], 1), "memory": round(cost["memory"] - cost["before"])},
        "trained": round(came.record.trained_parameters / came.record.parameters, 5),
        **packed(scores["after"], suites),
        "drift": drift_of(base_folder, came.folder / "model", suites, real_tasks.texts()),
    }  # fmt: skip
    base = {**dataclasses.asdict(Job(job.model, job.task, "base", 0.0)), **packed(scores["before"], suites)}
    first = next((old for old in rows() if place(old) == place(base)), base)
    if packed_of(first) != packed_of(base):  # another processor or precision rounds otherwise, and the base answers so
        row["before"] = packed_of(base)
    return [base, row]


def packed_of(row: Row) -> Row:
    """Returns the answers and texts of a row."""
    return {"answers": row["answers"], "nats": row["nats"]}


def done_and_left(only: Sequence[str]) -> tuple[set[tuple[Any, ...]], list[Job]]:
    """Returns the places of written rows, and the runs that are left, of the models and tasks that `only` names."""
    written = {place(row) for row in rows()}
    left = [job for job in dict.fromkeys(queue()) if job.place not in written]
    return written, [job for job in left if {job.model, job.task, job.recipe} >= set(only)]


def run(given: argparse.Namespace) -> None:
    """Makes the runs that are left, one after another, each in a process of its own."""
    claims = given.out / "claims"
    claims.mkdir(parents=True, exist_ok=True)
    while True:
        _, left = done_and_left(given.only)
        for job in left:
            claim = claims / "-".join(map(str, job.place)).replace(" ", "_").replace("%", "")
            try:
                claim.touch(exist_ok=False)
            except FileExistsError:
                continue
            break
        else:
            return
        print(f"{time.strftime('%H:%M:%S')} {job} ({len(left)} left)", flush=True)
        command = [sys.executable, __file__, "one", "--models", str(given.models), "--out", str(given.out), "--job"]
        log = given.out / "logs" / f"{claim.name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("w") as file:
            failed = subprocess.run(
                [*command, json.dumps(dataclasses.asdict(job))], stdout=file, stderr=file
            ).returncode
        if failed:
            print(f"  failed: see {log}", flush=True)


def one(given: argparse.Namespace) -> None:
    """Makes one run, appends its row, and deletes its model unless another run edits it."""
    job = Job(**json.loads(given.job))
    began = time.monotonic()
    made, there = run_one(job, given.out, given.models), {place(old) for old in rows()}
    with ROWS.open("a", encoding="utf-8") as file:
        for line in made:
            if place(line) not in there:  # a run may be made again for another, which edits its model
                file.write(json.dumps(line) + "\n")
    if job.recipe not in ("plain", "LoRA"):
        planned = plan(spec_of(job, given.out, given.models)).runs[-1]
        shutil.rmtree(folder_of(planned.spec) / "model")
    print(f"{time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    """Makes runs, or lists them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "one", "list"))
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache/holdfast-models")
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--only", nargs="*", default=[], help="models, tasks and recipes of the runs to make")
    parser.add_argument("--job", help="the run that `one` makes")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if given.what == "list":
        done, left = done_and_left(given.only)
        print("\n".join(map(str, left)), f"{len(done)} done, {len(left)} left", sep="\n")
        return
    {"run": run, "one": one}[given.what](given)


if __name__ == "__main__":
    main()
