"""How long a model with frozen 16-bit weights writes in float32, if it widens them for each product, and once.

    python benchmarks/widened.py FOLDER [--prompts 1 8 32]

A float32 run keeps the frozen weights of an adapter's model in the 16 bits of their file. Both ways take turns in one
process, on one thread; the figure is the ratio of processor seconds.
"""

from __future__ import annotations

import argparse
import time
from unittest import mock

import torch

from holdfast.bench.given.loading import load_model
from holdfast.core import precision
from holdfast.core.precision import computing_in
from holdfast.probes.generation import continued

TOKENS, LENGTH = 16, 32
"""Tokens that each prompt is continued by, and those of a prompt."""


def seconds(model: torch.nn.Module, count: int, free: int) -> tuple[float, list[list[int]]]:
    """Returns the processor seconds of writing for `count` prompts, with so much free memory, and what was written."""
    prompts = [[100 + row * LENGTH + place for place in range(LENGTH)] for row in range(count)]
    with mock.patch.object(precision, "free_memory", return_value=(free, "in memory")):
        began = time.process_time()
        with computing_in(model, "fp32"):
            said = continued(model, prompts, ends=(), max_new_tokens=TOKENS, temperature=0.0)
    return time.process_time() - began, said


def main() -> None:
    """Prints a line for each number of prompts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a model whose file has 16-bit weights")
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 8, 32])
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(given.model, frozen=True)
    seconds(model, 1, 2**60)
    for count in given.prompts:
        (each, said), (once, same) = seconds(model, count, 0), seconds(model, count, 2**60)
        assert said == same
        print(f"{count} prompts: widened once {once:.1f} s, for each product {each:.1f} s, ratio {once / each:.2f}")


if __name__ == "__main__":
    main()
