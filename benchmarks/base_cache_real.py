"""The base cache in a real run: learned and lost, time, memory, size and error, with and without it.

    python benchmarks/base_cache_real.py MODEL --train gsm8k/train.jsonl.gz --keep wikitext2/valid.txt.gz [--bf16]
    python benchmarks/base_cache_real.py --page docs/performance.md                             (asks no model)

docs/studies/base-cache.jsonl holds a row for each model, and the second command writes the tables of all rows.

A real model learns `--rows` short answers (lines with `question` and `answer`) in `--epochs` epochs by LoRA: alone,
with MaskTheTarget whose base is read at every step, with one whose base is read in the first epoch, and by the default
for real models both ways. Each run has a process of its own, the same rows and the same order. Learned is the fall of
the loss on as many other answers, and lost the rise of the loss on texts, both in nats per token. Times are processor
seconds of one thread: of the median step of the first epoch and of those after it, of all steps of an epoch (the
default has more of them, for its old examples), and of writing old examples before. Memory is the most that the
process holds while it trains. After the training, the penalty and its gradient to the hidden states from the kept means
are compared with those from the base's logits in float64.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import frame
import torch
import transformers

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.machine.files import append_jsonl, read_jsonl
from holdfast.core.batches import collate
from holdfast.core.mix import Example
from holdfast.core.softmax import forward_kl
from holdfast.core.tokens import Tokens
from holdfast.kernels.chunked import Casts
from holdfast.kernels.means import base_means
from holdfast.probes.likelihood import document_nll
from holdfast.train.attach import attach
from holdfast.train.supervised import Call, SupervisedTokens

ARMS = {
    "LoRA alone": "LoRA()",
    "no cache": "Train(base_cache=0) + LoRA() + MaskTheTarget()",
    "cache": "Train(base_cache=1) + LoRA() + MaskTheTarget()",
    "default, no cache": "Train(base_cache=0) + Holdfast(adapter=True, prompts=True)",
    "default, cache": "Train(base_cache=1) + Holdfast(adapter=True, prompts=True)",
}
"""What trains; a cache may take one gigabyte."""
COSTS = ("first", "later", "first epoch", "later epochs", "gigabytes")
"""Columns of the tables that are ratios to LoRA alone."""
ROWS = Path(__file__).parents[1] / "docs/studies/base-cache.jsonl"


def rows_of(path: str, tokenizer: Any, count: int, longest: int) -> list[Example]:
    """Returns the first short questions with their answers, of which the answers are learned."""
    found: list[Example] = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            question = tokenizer(f"Question: {row['question']}\nAnswer:")["input_ids"]
            answer = [*tokenizer(f" {row['answer']}")["input_ids"], tokenizer.eos_token_id]
            if len(question) + len(answer) <= longest:
                found.append(Example(question + answer, [-100] * len(question) + answer))
            if len(found) == count:
                break
    return found


def texts_of(path: str, tokenizer: Any, count: int, longest: int) -> list[Example]:
    """Returns the beginnings of the first long paragraphs of a text."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [line.strip() for line in file if len(line) > 200][:count]
    cut = [tokenizer(line)["input_ids"][:longest] for line in lines]
    return [Example(ids, ids) for ids in cut]


def loss_on(model: Any, examples: list[Example], pad: int) -> float:
    """Returns the mean loss of a model on examples, in nats per token."""
    scores = document_nll(model, examples, pad_id=pad)
    return sum(score.nats for score in scores) / sum(score.tokens for score in scores)


def run(given: argparse.Namespace, arm: str) -> dict[str, Any]:
    """Trains once, and returns what it learned and lost and what it cost."""
    tokenizer = load_tokenizer(given.model)
    model = load_model(given.model, frozen=True)
    rows = rows_of(given.train, tokenizer, 2 * given.rows, given.longest)
    learn, other = rows[: given.rows], rows[given.rows :]
    keep, pad = texts_of(given.keep, tokenizer, given.rows, given.longest), tokenizer.pad_token_id
    before = [loss_on(model, examples, pad) for examples in (other, keep)]
    seconds: list[float] = []
    sizes: list[int] = []

    class Watch(transformers.TrainerCallback):
        def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
            self.began = time.process_time()

        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            seconds.append(time.process_time() - self.began)
            comparison = trainer.holdfast.forward.comparison
            kept = None if comparison is None else comparison.kept
            sizes.append(0 if kept is None else kept.store.bytes)

    with tempfile.TemporaryDirectory() as folder:
        args = transformers.TrainingArguments(
            output_dir=folder, per_device_train_batch_size=2, use_cpu=True, report_to="none", disable_tqdm=True,
            num_train_epochs=given.epochs, save_strategy="no", logging_steps=1, learning_rate=given.lr, seed=1,
            bf16=given.bf16,
        )  # fmt: skip
        trainer: Any = transformers.Trainer(
            model=model, args=args, train_dataset=learn, callbacks=[Watch()],
            data_collator=lambda few: dict(collate(few, pad)), processing_class=tokenizer,
        )  # fmt: skip
        began = time.process_time()
        attach(trainer, ARMS[arm], chunked_loss=True)
        attached = time.process_time()
        trainer.train()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    after = [loss_on(trainer.model, examples, pad) for examples in (other, keep)]
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    steps = len(seconds) // given.epochs
    found = {
        "learned": before[0] - after[0], "lost": after[1] - before[1], "losses": losses,
        "first": statistics.median(seconds[:steps]), "later": statistics.median(seconds[steps:]),
        "first epoch": sum(seconds[:steps]), "later epochs": sum(seconds[steps:]) / (given.epochs - 1),
        "writing": attached - began, "steps": steps,
        "bytes per token": max(sizes) / sum(example.supervised for example in learn), "gigabytes": memory,
    }  # fmt: skip
    if arm == "cache":
        found["errors"] = errors(trainer, learn[:4], pad)
    return found


def errors(trainer: Any, examples: list[Example], pad: int) -> dict[str, float]:
    """Returns the relative errors of the penalty and its gradient from kept means, against float64 logits."""
    forward = trainer.holdfast.forward
    inputs = dict(collate(examples, pad))
    tokens = SupervisedTokens.of(inputs, None)
    call = Call(trainer.model, inputs, tokens, bare=True)
    base = forward.comparison.features(call)
    with torch.no_grad():
        hidden = forward.head.features(call).float()
    weight, bias = forward.comparison.weights()
    means = base_means(base, tokens.labels_N, (weight, bias), Casts())
    own = hidden.clone().requires_grad_()
    tok = Tokens(
        own @ weight.float().T, tokens.labels_N, tokens.source_N, tokens.source_N, hidden_ND=own, base_means=means
    )
    value = tok.base_rest_kl_N.sum()
    value.backward()
    exact = hidden.double().requires_grad_()
    wide = weight.double()
    expected = forward_kl(exact @ wide.T, base.double() @ wide.T, tokens.labels_N).sum()
    expected.backward()
    rough = means.mean_ND.to(torch.bfloat16).double() - means.mean_ND
    return {
        "penalty": float((value - expected).abs() / expected.abs()),
        "gradient": float((own.grad - exact.grad).norm() / exact.grad.norm()),
        "gradient, had the means been bfloat16": float(rough.norm() / exact.grad.norm()),
    }


def measured(arm: str) -> dict[str, Any]:
    """Returns what a run in a process of its own found."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        subprocess.run([sys.executable, *sys.argv, "--arm", arm, "--out", str(out)], check=True)
        return json.loads(out.read_text(encoding="utf-8"))


def row_of(given: argparse.Namespace) -> dict[str, Any]:
    """Returns what all arms found, with how they were run."""
    found = {arm: measured(arm) for arm in ARMS}
    losses = {arm: run.pop("losses") for arm, run in found.items()}
    for name in ("", "default, "):
        with_cache, without = losses[f"{name}cache"], losses[f"{name}no cache"]
        found[f"{name}cache"]["loss apart"] = max(abs(a - b) for a, b in zip(with_cache, without, strict=True))
    how = {name: getattr(given, name) for name in ("rows", "epochs", "longest", "lr", "bf16")}
    return {"model": Path(given.model).name, **how, "runs": found}


def tables(rows: list[dict[str, Any]]) -> list[str]:
    """Returns the lines of the page: a table for each model, and its cache in words."""
    lines: list[str] = []
    for row in rows:
        runs, precision = row["runs"], "bf16" if row["bf16"] else "float32"
        lines += [
            f"{row['model']}, {row['rows']} rows of at most {row['longest']} tokens, {row['epochs']} epochs, rate"
            f" {row['lr']:g}, {precision}:",
            "",
            "| run | learned | lost | step, first epoch | step, later | first epoch | later epoch | memory |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for arm, run in runs.items():
            costs = (f"{run[of] / runs['LoRA alone'][of]:.2f}" for of in COSTS)
            lines.append(f"| {arm} | {run['learned']:.3f} | {run['lost']:.3f} | {' | '.join(costs)} |")
        kept, whole = runs["cache"], runs["LoRA alone"]
        off = kept["errors"]
        steps = runs["default, cache"]["steps"]
        lines += [
            "",
            *textwrap.wrap(
                f"The cache holds {kept['bytes per token']:,.0f} bytes for each token. Against float64, the penalty"
                f" from it is off by {off['penalty']:.2%} and its gradient by {off['gradient']:.2%}"
                f" ({off['gradient, had the means been bfloat16']:.2%} had the means been bfloat16). The losses of all"
                f" steps are at most {kept['loss apart']:.4f} nats from those without it"
                f" ({runs['default, cache']['loss apart']:.4f} for the default). An epoch of the default has"
                f" {steps} steps for {whole['steps']}, and writing its old examples takes"
                f" {runs['default, cache']['writing'] / whole['later epochs']:.2f} of a plain epoch.",
                120,
            ),
            "",
        ]
    return lines[:-1]


def main() -> None:
    """Trains with and without the cache, and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--train")
    parser.add_argument("--keep")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--longest", type=int, default=80)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--bf16", action="store_true", help="compute in bf16, where the processor has units for it")
    parser.add_argument("--page", type=Path, help="page whose part between the markers becomes the tables of all rows")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    if given.page:
        frame.replace(given.page, "base_cache_real", tables(list(read_jsonl(ROWS))))
    elif given.arm:
        given.out.write_text(json.dumps(run(given, given.arm)), encoding="utf-8")
    else:
        append_jsonl(ROWS, row_of(given))


if __name__ == "__main__":
    main()
