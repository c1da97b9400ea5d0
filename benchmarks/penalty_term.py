"""Time and memory of the loss alone, task loss and KL to the base from hidden states, against plain torch and TRL.

    python benchmarks/penalty_term.py [--tokens 64] [--repeats 3] [--out docs/performance.md]

At the width and vocabulary of Qwen2.5-0.5B (896 and 151,936), float32, one thread. Each way gets the hidden states of
the model and of the base and the frozen head, and returns the loss with its gradient to the hidden states. Seconds are
processor seconds, the median of the repeats after one more; memory is the peak of the process less what it held before.
Each way is a process of its own; figures are ratios to plain torch in the same run. TRL's function
(`trl.kernels.chunked_divergence`, its fallback in torch: Triton has no processors) computes the divergence without the
task loss, and so does the line of ours that is compared with it. Liger's fused losses need Triton and do not run here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from base_cache import VOCABULARY, WIDTH, held, write
from frame import Figure
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, linear

from holdfast.core.tokens import Tokens
from holdfast.kernels.chunked import Casts, Logits, chunked_loss
from holdfast.kernels.means import base_means

PLAIN, PLAIN_KL = "plain torch", "plain torch, divergence alone"
WAYS = {
    PLAIN: 3, "ours, base read now": 3, "ours, from kept means": 2,
    PLAIN_KL: 3, "TRL, divergence alone": 3, "ours, divergence alone": 3,
}  # fmt: skip
"""Each way with the products with the head that it cannot do without: one for each side's logits, one back."""


def loss_of(way: str, hidden: Tensor, base: Tensor, weight: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """Returns the function that computes the loss of a way, summed over the tokens."""
    if "plain torch" in way:

        def plain() -> Tensor:
            logits = linear(hidden, weight)
            with torch.no_grad():
                target = linear(base, weight).log_softmax(-1)
            kl = kl_div(logits.log_softmax(-1), target, log_target=True, reduction="sum")
            return kl if way == PLAIN_KL else kl + cross_entropy(logits, labels, reduction="sum")

        return plain
    if way.startswith("TRL"):
        from trl.trainer.distillation_trainer import _chunked_divergence_loss

        mask = torch.ones(1, len(labels))
        return lambda: _chunked_divergence_loss(hidden[None], base[None], weight, weight, mask, 0.0, 1)[0]
    casts = Casts()
    means = base_means(base, labels, (weight, None), casts) if "means" in way else None

    def ours() -> Tensor:
        logits = None if means is not None else Logits(base, (weight, None), casts)

        def chunk_loss(rows: slice, features: Tensor, chunk: Tensor) -> Tensor:
            tok = Tokens(
                chunk, labels[rows], labels[rows], labels[rows], hidden_ND=features,
                base_logits_NV=None if logits is None else logits[rows],
                base_means=None if means is None else means[rows],
            )  # fmt: skip
            return (tok.base_kl_N if "divergence alone" in way else tok.nll_N + tok.base_kl_N).sum()

        return chunked_loss(chunk_loss, hidden, weight, casts=casts)

    return ours


def one(way: str, tokens: int, repeats: int) -> None:
    """Measures one way, and prints the seconds, the memory in MiB and the loss."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    weight = 0.05 * torch.randn(VOCABULARY, WIDTH, generator=generator)
    base = torch.randn(tokens, WIDTH, generator=generator)
    hidden = (base + 0.1 * torch.randn(tokens, WIDTH, generator=generator)).requires_grad_()
    labels = torch.randint(VOCABULARY, (tokens,), generator=generator)
    loss = loss_of(way, hidden, base, weight, labels)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, seconds, value = held(), [], 0.0
    for _ in range(repeats + 1):
        hidden.grad, began = None, time.process_time()
        found = loss()
        found.backward()
        seconds.append(time.process_time() - began)
        value = float(found.detach())
    norm = 0.0 if hidden.grad is None else float(hidden.grad.norm())
    print(json.dumps([statistics.median(seconds[1:]), (held() - before) / 1024, value, norm]))


def measured(tokens: int, repeats: int, path: Path | None = None) -> dict[str, list[float]]:
    """Returns the seconds, memory, loss and gradient of each way, those in a file as they are."""
    found = {} if path is None or not path.exists() else json.loads(path.read_text(encoding="utf-8"))
    for way in WAYS:
        if way in found:
            continue
        words = ["--tokens", str(tokens), "--repeats", str(repeats), "--way", way]
        done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
        found[way] = json.loads(done.stdout.splitlines()[-1])
        print(way, found[way], file=sys.stderr, flush=True)
        if path is not None:
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def figures(tokens: int = 32, repeats: int = 2) -> list[Figure]:
    """Returns the lines of the loss alone for the table of all benchmarks."""
    found = measured(tokens, repeats)
    pairs = {"ours, base read now": PLAIN, "ours, from kept means": PLAIN, "ours, divergence alone": PLAIN_KL}
    lines = [
        Figure(f"loss: {way}", peer, found[way][0] / found[peer][0], 0.6, WAYS[way] / WAYS[peer])
        for way, peer in pairs.items()
    ]
    trl, ours = "TRL, divergence alone", "ours, divergence alone"
    lines.append(Figure(f"loss: {ours}", "TRL, without Triton", found[ours][0] / found[trl][0], 1.0, 1.0))
    return lines + [
        Figure(f"loss: {way}: memory", peer, found[way][1] / found[peer][1], 0.1) for way, peer in pairs.items()
    ]


def main() -> None:
    """Measures all ways, and prints or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", help="file whose part between the markers is replaced by the table")
    parser.add_argument("--results", help="file of what is measured, as JSON, so that an interrupted run continues")
    parser.add_argument("--way", help="measure one way, in this process")
    given = parser.parse_args()
    if given.way:
        one(given.way, given.tokens, given.repeats)
        return
    found = measured(given.tokens, given.repeats, None if given.results is None else Path(given.results))
    seconds, memory = found[PLAIN][:2]
    lines = ["| loss and its gradient | time | computed limit | memory |", "|---|---|---|---|"]
    for way, (time_, peak, _, _) in ((way, found[way]) for way in WAYS):
        lines.append(f"| {way} | {time_ / seconds:.2f} | {WAYS[way] / 3:.2f} | {peak / memory:.2f} |")
    print("\n".join(lines))
    if given.out:
        write(Path(given.out), "penalty_term", lines, f"{given.tokens} tokens, {given.repeats} repeats, float32")


if __name__ == "__main__":
    main()
