"""Writing old examples: a thousand documents of the base against 100 training steps of the same model.

    python benchmarks/writing.py [--model ground:base] [--documents 128] [--steps 4] [--rows 16]

The base writes documents of at most 128 tokens as `SelfRehearsal()` does; a step trains all weights with AdamW on 16
rows of 128 tokens, in plain PyTorch. Both are measured on fewer and scaled up to a thousand and to 100: they grow in
proportion, because documents are written in batches of 64. Fewer than 64 documents, or fewer rows, are a small sample
of a large model: its batches are smaller, so that its figure is rough. Processor seconds, in turn in one process.

The computed limit counts products alone: a written token costs a forward, a trained one a forward and a backward of
twice that. A document of the mean length L costs 1000 L to 3 * 100 * 16 * 128.
"""

from __future__ import annotations

import argparse
from typing import Any

import frame
import torch
from frame import Figure

ROWS, LENGTH = 16, 128


def figures(
    model_name: str = "ground:base", count: int = 128, steps: int = 4, repeats: int = 1, rows: int = ROWS
) -> list[Figure]:
    """Returns the line of writing."""
    from holdfast.bench.given.loading import load_model, load_tokenizer
    from holdfast.probes.composition import documents

    tokenizer, model = load_tokenizer(model_name), load_model(model_name)
    learner: Any = load_model(model_name)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-6)
    words = model.config.get_text_config().vocab_size
    ids = torch.randint(10, words, (rows, LENGTH), generator=torch.Generator().manual_seed(0))
    written: list[list[int]] = []

    def write() -> None:
        written[:] = documents(model, tokenizer, count, max_tokens=LENGTH)

    def train() -> None:
        learner.train()
        for _ in range(steps):
            learner(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    time_of = frame.seconds({"write": write, "train": train}, repeats)
    ratio = time_of["write"] * (1000 / count) / (time_of["train"] * (100 / steps) * (ROWS / rows))
    mean = sum(map(len, written)) / len(written)
    limit = 1000 * mean / (3 * 100 * ROWS * LENGTH)
    name = f"writing 1000 documents (scaled from {count}), {model_name.rsplit('/', 1)[-1]}"
    return [Figure(name, f"100 steps of {ROWS} x {LENGTH} tokens (from {steps} of {rows})", ratio, 1.0, limit)]


def main() -> None:
    """Prints the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ground:base")
    parser.add_argument("--documents", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of a step that is measured")
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("\n".join(frame.table(figures(given.model, given.documents, given.steps, given.repeats, given.rows))))


if __name__ == "__main__":
    main()
