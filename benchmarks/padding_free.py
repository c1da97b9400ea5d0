"""What a batch in one row saves: steps of a real model, padded and without padding, alone and by the default.

    python benchmarks/padding_free.py MODEL --task facts --bf16         (appends a row)
    python benchmarks/padding_free.py MODEL --count                     (the padding of each task; asks no model)
    python benchmarks/padding_free.py --page docs/performance.md        (asks no model)

HOLDFAST_SUITES names the folder of public sets, and docs/studies/padding-free.jsonl holds a row for each model and
task. The task is one of the study on real models, in batches of eight rows. Each way trains an adapter for `--steps`
steps in this process, from the same weights, on one thread: TRL's SFTTrainer with LoRA and its own loss, and LoRA and
the default as `holdfast train` runs them, with padded batches and without padding, over the same rows in the same
order. Times are processor seconds of a step, without the first one. The time of a run counts all its steps, old
examples included, and not the writing of these.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import datasets
import frame
import real_tasks
import torch
import transformers
import trl
from real import LENGTH

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.machine.files import append_jsonl, read_jsonl, write_jsonl
from holdfast.bench.run.training import Collate, plain_trainer
from holdfast.core.mix import Example, Mix
from holdfast.data.examples import read
from holdfast.data.order import order
from holdfast.data.tokenization import tokenize
from holdfast.recipe import parse
from holdfast.train.attach import attach

ROWS = Path(__file__).parents[1] / "docs/studies/padding-free.jsonl"
RECIPES = {"LoRA": "LoRA() + WSD()", "the default": "Holdfast(adapter=True, prompts=True)"}
TRL = "TRL's SFTTrainer, LoRA"


def examples_of(task: str, tokenizer: Any, longest: int) -> tuple[list[Example], float]:
    """Returns the rows of a task as examples, and its epochs."""
    made = real_tasks.TASKS[task](bool(tokenizer.chat_template))
    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(Path(folder) / "train.jsonl", made.rows)
        rows = read(f"{folder}/train.jsonl")
    return list(tokenize(rows, tokenizer, max_length=longest).examples), made.epochs


def padding_of(task: str, tokenizer: Any, longest: int) -> float:
    """Returns the share of padding in the positions of an epoch of a task, in padded batches of eight rows."""
    examples, _ = examples_of(task, tokenizer, longest)
    lengths = [len(examples[i].input_ids) for i in order(Mix(tuple(examples)), epochs=1, seed=0)[0]]
    batches = [lengths[i : i + 8] for i in range(0, len(lengths), 8)]
    return 1 - sum(lengths) / sum(len(batch) * max(batch) for batch in batches)


class Watch(transformers.TrainerCallback):
    """Takes the processor time of steps, and ends the training after some."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.seconds: list[float] = []

    def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """Notes the time."""
        self.began = time.process_time()

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        """Adds the time of a step."""
        self.seconds.append(time.process_time() - self.began)
        control.should_training_stop = len(self.seconds) >= self.steps


def run(given: argparse.Namespace, recipe: str, padded: bool = True) -> dict[str, Any]:
    """Trains for some steps, and returns their time, their losses, and what a step reads."""
    tokenizer = load_tokenizer(given.model)
    examples, epochs = examples_of(given.task, tokenizer, given.longest)
    torch.manual_seed(0)
    model = load_model(given.model, frozen=True)
    text = RECIPES.get(recipe, RECIPES["LoRA"])
    how: dict[str, Any] = {
        "per_device_train_batch_size": 8, "use_cpu": True, "report_to": "none", "disable_tqdm": True, "seed": 0,
        "num_train_epochs": epochs, "save_strategy": "no", "logging_steps": 1, "learning_rate": 1.5e-4,
        "bf16": given.bf16,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        if recipe == TRL:
            rows = [{"input_ids": list(e.input_ids), "labels": list(e.labels)} for e in examples]
            args: Any = trl.SFTConfig(output_dir=folder, max_length=None, gradient_checkpointing=False, **how)
            data = datasets.Dataset.from_list(rows)
            trainer: Any = trl.SFTTrainer(model=model, args=args, train_dataset=data, processing_class=tokenizer)
        else:
            args = transformers.TrainingArguments(output_dir=folder, remove_unused_columns=False, **how)
            trainer = plain_trainer(model, args, examples, tokenizer, parse(text))
            if padded:
                trainer.data_collator = Collate(trainer.data_collator.pad_id)
        watch, sizes, collate = Watch(given.steps), list[int](), trainer.data_collator

        def counted(few: list[Any]) -> dict[str, Any]:
            batch: dict[str, Any] = collate(few)
            sizes.append(batch["input_ids"].numel())
            return batch

        trainer.data_collator = counted
        trainer.add_callback(watch)
        attach(trainer, text, chunked_loss=recipe != TRL)
        sizes.clear()
        trainer.train()
    return {
        "run": recipe if recipe == TRL else f"{recipe}, {'padded' if padded else 'without padding'}",
        "all steps": int(trainer.state.max_steps),
        "seconds": sum(watch.seconds[1:]) / (len(watch.seconds) - 1),
        "positions": sum(sizes[: given.steps]) / given.steps,
        "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
    }  # fmt: skip


def row_of(given: argparse.Namespace) -> dict[str, Any]:
    """Returns what the ways found, with how they ran."""
    found = [run(given, TRL), *(run(given, recipe, padded) for recipe in RECIPES for padded in (True, False))]
    losses = [one.pop("losses") for one in found]
    for place in (2, 4):
        pairs = zip(losses[place - 1], losses[place], strict=True)
        found[place]["loss apart"] = max(abs(a - b) for a, b in pairs)
    how = {name: getattr(given, name) for name in ("task", "steps", "bf16")}
    return {"model": Path(given.model).name, **how, "runs": found}


def tables(rows: list[dict[str, Any]]) -> list[str]:
    """Returns the lines of the page: all rows in one table."""
    lines = [
        "| model, task | run | steps | positions of a step | time of a step | time of a run | loss apart, nats |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = row["runs"][0]
        for one in row["runs"]:
            step = one["seconds"] / first["seconds"]
            whole = step * one["all steps"] / first["all steps"]
            apart = f"{one['loss apart']:.3f}" if "loss apart" in one else ""
            cells = [f"{row['model']}, {row['task']}", one["run"], str(one["all steps"]), f"{one['positions']:.0f}"]
            lines.append(f"| {' | '.join([*cells, f'{step:.2f}', f'{whole:.2f}', apart])} |")
    return lines


def main() -> None:
    """Trains the four ways, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--task", choices=real_tasks.TASKS, default="facts")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--longest", type=int, default=256)
    parser.add_argument("--bf16", action="store_true", help="compute in bf16, where the processor has units for it")
    parser.add_argument("--count", action="store_true", help="count the padding of each task that the model learns")
    parser.add_argument("--page", type=Path, help="page whose part between the markers becomes the table of all rows")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.page:
        frame.replace(given.page, "padding_free", tables(list(read_jsonl(ROWS))))
    elif given.count:
        tokenizer = load_tokenizer(given.model)
        for task in real_tasks.TASKS:
            if tokenizer.chat_template or task not in real_tasks.ONLY_CHAT:
                share = padding_of(task, tokenizer, LENGTH.get(task, given.longest))
                print(f"{task}: {share:.0%} of the positions are padding")
    else:
        append_jsonl(ROWS, row_of(given))


if __name__ == "__main__":
    main()
