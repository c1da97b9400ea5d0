"""How long a product with a frozen head takes if its input is a strided view, and if it is a copy.

    python benchmarks/strided_head.py

A model that keeps the last positions of its states gives its head a view `[rows, 1, width]`. Both products are those of
one thread, in one run; report the ratio.
"""

from __future__ import annotations

import time

import torch

from holdfast.core.teacher import unstrided

VOCABULARY, WIDTH, LENGTH = 151_936, 896, 64
"""The head of Qwen2.5 0.5B, and the positions of each row."""


def seconds(x: torch.Tensor, weight: torch.Tensor) -> float:
    """Returns the time of one product."""
    began = time.perf_counter()
    torch.nn.functional.linear(x, weight)
    return time.perf_counter() - began


@torch.no_grad()
def main() -> None:
    """Prints a line for each format and number of rows."""
    torch.set_num_threads(1)
    for dtype in (torch.float32, torch.bfloat16):
        weight = torch.randn(VOCABULARY, WIDTH).to(dtype)
        for rows in (1, 8):
            view = torch.randn(rows, LENGTH, WIDTH).to(dtype)[:, -1:]
            copy = unstrided(view)
            seconds(copy, weight)
            strided, copied = seconds(view, weight), seconds(copy, weight)
            print(f"{dtype}, {rows} rows: view {strided:.3f} s, copy {copied:.3f} s, {strided / copied:.0f} times")


if __name__ == "__main__":
    main()
