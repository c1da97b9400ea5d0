"""What a batch in one row saves: steps of a real model, padded and without padding, alone and by the default.

    python benchmarks/padding_free.py MODEL --task facts --bf16         (appends a row)
    python benchmarks/padding_free.py --page docs/performance.md        (asks no model)

HOLDFAST_SUITES names the folder of public sets, and docs/studies/padding-free.jsonl holds a row for each model and
task. The task is one of the study on real models, in batches of eight rows. Each of the four ways trains an adapter for
`--steps` steps in this process, from the same weights, over the same rows in the same order, on one thread. Times are
processor seconds of a step, without the first one. The time of a run counts all its steps, old examples included, and
not the writing of these.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import frame
import real_tasks
import torch
import transformers

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.machine.files import append_jsonl, read_jsonl, write_jsonl
from holdfast.bench.run.training import Collate, plain_trainer
from holdfast.core.mix import Example
from holdfast.data.examples import read
from holdfast.data.tokenization import tokenize
from holdfast.recipe import parse
from holdfast.train.attach import attach

ROWS = Path(__file__).parents[1] / "docs/studies/padding-free.jsonl"
RECIPES = {"LoRA": "LoRA() + WSD()", "the default": "Holdfast(adapter=True, prompts=True)"}


def examples_of(task: str, tokenizer: Any, longest: int) -> tuple[list[Example], float]:
    """Returns the rows of a task as examples, and its epochs."""
    made = real_tasks.TASKS[task](bool(tokenizer.chat_template))
    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(Path(folder) / "train.jsonl", made.rows)
        rows = read(f"{folder}/train.jsonl")
    return list(tokenize(rows, tokenizer, max_length=longest).examples), made.epochs


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


def run(given: argparse.Namespace, recipe: str, padded: bool) -> dict[str, Any]:
    """Trains for some steps, and returns their time, their losses, and what a step reads."""
    tokenizer = load_tokenizer(given.model)
    examples, epochs = examples_of(given.task, tokenizer, given.longest)
    torch.manual_seed(0)
    model = load_model(given.model, frozen=True)
    with tempfile.TemporaryDirectory() as folder:
        args = transformers.TrainingArguments(
            output_dir=folder, per_device_train_batch_size=8, use_cpu=True, report_to="none", disable_tqdm=True,
            num_train_epochs=epochs, save_strategy="no", logging_steps=1, learning_rate=1.5e-4, seed=0,
            bf16=given.bf16, remove_unused_columns=False,
        )  # fmt: skip
        trainer: Any = plain_trainer(model, args, examples, tokenizer, parse(RECIPES[recipe]))
        if padded:
            trainer.data_collator = Collate(trainer.data_collator.pad_id)
        sizes: list[int] = []
        watch, collate = Watch(given.steps), trainer.data_collator

        def counted(few: list[Example]) -> dict[str, Any]:
            batch = collate(few)
            sizes.append(batch["input_ids"].numel())
            return batch

        trainer.data_collator = counted
        trainer.add_callback(watch)
        attach(trainer, RECIPES[recipe], chunked_loss=True)
        sizes.clear()
        trainer.train()
    return {
        "recipe": recipe, "padded": padded, "all steps": int(trainer.state.max_steps),
        "seconds": sum(watch.seconds[1:]) / (len(watch.seconds) - 1),
        "positions": sum(sizes[: given.steps]) / given.steps,
        "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
    }  # fmt: skip


def row_of(given: argparse.Namespace) -> dict[str, Any]:
    """Returns what the four ways found, with how they ran."""
    found = [run(given, recipe, padded) for recipe in RECIPES for padded in (True, False)]
    apart = 0.0
    for one, other in zip(found[::2], found[1::2], strict=True):
        pairs = zip(one.pop("losses"), other.pop("losses"), strict=True)
        apart = max(apart, *(abs(a - b) for a, b in pairs))
    how = {name: getattr(given, name) for name in ("task", "steps", "bf16")}
    return {"model": Path(given.model).name, **how, "loss apart": apart, "runs": found}


def tables(rows: list[dict[str, Any]]) -> list[str]:
    """Returns the lines of the page: all rows in one table."""
    lines = [
        "| model, task | run | steps | positions of a step | step | run | losses apart, nats |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = row["runs"][0]
        for one in row["runs"]:
            step = one["seconds"] / first["seconds"]
            whole = step * one["all steps"] / first["all steps"]
            name = f"{one['recipe']}, {'padded' if one['padded'] else 'in one row'}"
            cells = [f"{row['model']}, {row['task']}", name, str(one["all steps"]), f"{one['positions']:.0f}"]
            cells += [f"{step:.2f}", f"{whole:.2f}", "" if one["padded"] else f"{row['loss apart']:.3f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Trains the four ways, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--task", choices=real_tasks.TASKS, default="facts")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--longest", type=int, default=256)
    parser.add_argument("--bf16", action="store_true", help="compute in bf16, where the processor has units for it")
    parser.add_argument("--page", type=Path, help="page whose part between the markers becomes the table of all rows")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.page:
        frame.replace(given.page, "padding_free", tables(list(read_jsonl(ROWS))))
    else:
        append_jsonl(ROWS, row_of(given))


if __name__ == "__main__":
    main()
