"""Drawing tokens at large vocabularies: `holdfast.probes.sampling.drawn` against the plain way, which sorts all tokens.

    python benchmarks/drawing.py [--rows 8] [--vocabulary 262144] [--out docs/performance.md]

Logits have the shape of a language model's (the logit of the token of rank r falls as 1.6 log r, with noise), or are
nearly flat, which is the worst case. Both ways get the same logits in float32 and the same random numbers, and must
draw the same tokens. The plain way takes a float64 softmax over all tokens, sorts it for a nucleus, and cumulates it.
Processor seconds, in turn in one process, on one thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import frame
import torch
from frame import Figure
from torch.nn import functional as F

MARK = "drawing"


def plain(logits_BV: torch.Tensor, temperature: float, top_p: float, sources: Any) -> torch.Tensor:
    """Returns a token for each row, with all tokens sorted."""
    wide_BV = logits_BV.double()
    p_BV = ((wide_BV - wide_BV.max(-1, keepdim=True).values) / temperature).softmax(-1)
    if top_p < 1:
        sorted_BV, token_BV = p_BV.sort(dim=-1, descending=True, stable=True)
        before_BV = F.pad(sorted_BV.cumsum(-1)[:, :-1], (1, 0))
        p_BV = torch.zeros_like(p_BV).scatter(-1, token_BV, sorted_BV * (before_BV < top_p))
    cumulated_BV = p_BV.cumsum(-1)
    random_B1 = torch.cat([torch.rand(1, 1, generator=source, dtype=torch.float64) for source in sources])
    return torch.searchsorted(cumulated_BV, random_B1 * cumulated_BV[:, -1:], right=True)[:, 0]


def figures(rows: int = 8, words: int = 262_144, repeats: int = 3) -> list[Figure]:
    """Returns a line for each kind of logits and each nucleus."""
    from holdfast.probes.sampling import Sampling, drawn, source_of

    draw = torch.Generator().manual_seed(0)
    ranks_V = torch.arange(1, words + 1).log()
    noise_BV = torch.randn(rows, words, generator=draw)
    places_BV = torch.stack([torch.randperm(words, generator=draw) for _ in range(rows)])
    kinds = {"a language model's logits": (noise_BV - 1.6 * ranks_V).gather(1, places_BV), "flat logits": noise_BV}
    lines = []
    for kind, logits_BV in kinds.items():
        for temperature, top_p in ((1.0, 1.0), (1.0, 0.95), (0.7, 0.9)):
            found = {}

            def ours(logits_BV: Any = logits_BV, given: Any = (temperature, top_p), found: Any = found) -> None:
                found["ours"] = drawn(logits_BV, Sampling(*given), [source_of(0, row) for row in range(rows)])

            def theirs(logits_BV: Any = logits_BV, given: Any = (temperature, top_p), found: Any = found) -> None:
                found["theirs"] = plain(logits_BV, *given, [source_of(0, row) for row in range(rows)])

            time_of = frame.seconds({"ours": ours, "theirs": theirs}, repeats)
            if not torch.equal(found["ours"], found["theirs"]):
                raise SystemExit(f"{kind}, temperature {temperature}, top_p {top_p}: the two draw other tokens.")
            name = f"{rows} tokens of {words:,}, {kind}, temperature {temperature:g}, top_p {top_p:g}"
            lines.append(Figure(name, "float64, all tokens sorted", time_of["ours"] / time_of["theirs"], None))
    return lines


def main() -> None:
    """Prints the lines, and writes them into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=262_144)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", help="page whose table is replaced")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = [f"| {'tokens drawn':s} | time |", "|---|---|"]
    lines += [f"| {one.name} | {one.ratio:.2f} |" for one in figures(given.rows, given.vocabulary, given.repeats)]
    print("\n".join(lines))
    if given.out:
        from base_cache import write

        write(Path(given.out), MARK, lines, f"{given.repeats} repeats, float32 logits")


if __name__ == "__main__":
    main()
