"""Plain training by the trainer's own loss, and by the equal chunked loss that `holdfast train` takes.

    python benchmarks/chunked_loss.py MODEL [--recipe 'LoRA()'] [--rows 8] [--tokens 64] [--learned 4 32 64] [--steps 6]

Rows of random tokens, of which the last `--learned` are supervised: 4 as a label, 64 as a whole text. Both losses train
the same rows, in bf16 and on one thread, each in a process of its own. Processor seconds of a step are the median of
all but the first; memory is the peak of the process less what it held before training. Figures are ratios to the
trainer's own loss.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any


def one(given: argparse.Namespace) -> None:
    """Trains with one of the losses, and prints the seconds of a step and the memory in MiB."""
    import torch
    import transformers

    from holdfast.bench.given.loading import load_model
    from holdfast.recipe import parse
    from holdfast.train.attach import attach

    torch.set_num_threads(1)
    model = load_model(given.model, frozen="LoRA" in given.recipe)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(10, 20_000, (given.rows * given.steps, given.tokens), generator=generator)
    labels = ids.clone()
    labels[:, : given.tokens - given.learned[0]] = -100
    rows = [{"input_ids": a, "labels": b} for a, b in zip(ids.tolist(), labels.tolist(), strict=True)]
    seconds: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
            self.began = time.process_time()

        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            seconds.append(time.process_time() - self.began)

    with tempfile.TemporaryDirectory() as folder:
        args = transformers.TrainingArguments(
            output_dir=folder, per_device_train_batch_size=given.rows, bf16=True, use_cpu=True, report_to="none",
            num_train_epochs=1, save_strategy="no", disable_tqdm=True, logging_steps=1000,
        )  # fmt: skip
        trainer = transformers.Trainer(model=model, args=args, train_dataset=rows, callbacks=[Clock()])
        attach(trainer, parse(given.recipe), chunked_loss=given.loss == "chunked")
        assert trainer.holdfast.owns_forward == (given.loss == "chunked")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        trainer.train()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps([statistics.median(seconds[1:]), memory]))


def main() -> None:
    """Prints a line for each number of supervised tokens."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--recipe", default="LoRA()")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--learned", type=int, nargs="+", default=[4, 32, 64])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--loss", choices=("own", "chunked"), help="train with one of the two, in this process")
    given = parser.parse_args()
    if given.loss:
        one(given)
        return
    for learned in given.learned:
        came = {}
        for loss in ("own", "chunked"):
            command = [*sys.argv, "--loss", loss, "--learned", str(learned)]
            done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
            came[loss] = json.loads(done.stdout.splitlines()[-1])
        (time_own, memory_own), (time_chunked, memory_chunked) = came["own"], came["chunked"]
        print(
            f"{learned:3d} of {given.tokens} tokens learned: time {time_chunked / time_own:.2f}x, memory"
            f" {memory_chunked / memory_own:.2f}x ({memory_own:.0f} to {memory_chunked:.0f} MiB)",
            flush=True,
        )


if __name__ == "__main__":
    main()
