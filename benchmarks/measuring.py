"""What measuring costs: peak memory and time on a model with a large vocabulary, and those of one step of training.

    python benchmarks/measuring.py MODEL --texts wikitext2/valid.txt.gz        (some minutes on one core)

Each thing is done in a process of its own, with one thread: 47 short texts, 65 windows of texts (about 6,000 tokens),
the divergence of the model from itself on those windows, and one step of training (all weights, and LoRA) on a batch of
8 rows of 80 tokens. The peak is what the operating system says that the process held at most, weights included.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STEPS = {"step of Train()": "Train(batch=8)", "step of LoRA()": "Train(batch=8) + LoRA()"}
KINDS = ("47 short texts", "65 windows", "drift on 65 windows", *STEPS)
ROWS, LENGTH = 8, 80


def examples_of(kind: str, texts: Path, tokenizer: Any) -> list[Any]:
    """Returns the examples: short texts whole, windows of 93 tokens of long ones, or rows of a batch."""
    from holdfast.core.mix import Example

    with gzip.open(texts, "rt", encoding="utf-8") as file:
        lines = [line.strip() for line in file if len(line) > 40]
    if kind == "47 short texts":
        short = [line for line in lines if 300 <= len(line) <= 700][:47]
        rows = [tokenizer(line)["input_ids"] for line in short]
    else:
        count, size = (65, 93) if kind.endswith("windows") else (ROWS, LENGTH)
        long = [ids for line in lines[: 4 * count] if len(ids := tokenizer(line)["input_ids"]) >= size]
        rows = [ids[:size] for ids in long[:count]]
    return [Example(tuple(ids), tuple(ids), origin=f"{number}") for number, ids in enumerate(rows)]


def one(kind: str, model_name: str, texts: Path) -> dict[str, Any]:
    """Does one thing and returns what it cost."""
    import torch

    from holdfast.bench.given.loading import load_model, load_tokenizer
    from holdfast.probes.drift import drift
    from holdfast.probes.likelihood import document_nll

    torch.set_num_threads(1)
    tokenizer = load_tokenizer(model_name)
    examples = examples_of(kind, texts, tokenizer)
    model = load_model(model_name)
    loaded, started, used, value = _held(), time.monotonic(), time.process_time(), 0.0
    if kind in STEPS:
        value = _step(model, tokenizer, examples, STEPS[kind])
    else:
        pad = {"pad_id": int(tokenizer.pad_token_id)}
        scores = drift(model, model, examples, **pad) if "drift" in kind else document_nll(model, examples, **pad)
        value = sum(score.nats for score in scores) / sum(score.tokens for score in scores)
    return {
        "what": kind,
        "tokens": sum(len(example.input_ids) for example in examples),
        "nats_per_token": round(value, 4),
        "seconds": round(time.monotonic() - started, 1),
        "processor_seconds": round(time.process_time() - used, 1),
        "held_once_loaded_gb": round(loaded, 2),
        "peak_gb": round(_held(), 2),
    }


def _step(model: Any, tokenizer: Any, examples: list[Any], recipe: str) -> float:
    import tempfile

    import transformers

    import holdfast

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            max_steps=1,
            per_device_train_batch_size=ROWS,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            logging_steps=1,
        )
        rows = [{"input_ids": list(e.input_ids), "labels": list(e.labels)} for e in examples]
        trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
        trainer.data_collator = transformers.default_data_collator
        holdfast.attach(trainer, recipe)
        trainer.train()
        return next(float(line["loss"]) for line in trainer.state.log_history if "loss" in line)


def _held() -> float:
    """Returns the most memory that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> None:
    """Does each thing in a process of its own, and prints a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for kind in given.only:
        if given.here:
            print(json.dumps(one(kind, given.model, given.texts)), flush=True)
        else:
            words = [sys.executable, __file__, given.model, "--texts", str(given.texts), "--only", kind, "--here"]
            subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
