"""Run by test_run_two_processes.py under torchrun: `holdfast train` of a reranker on this process's share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from rich.console import Console

from holdfast import RunSpec
from holdfast.bench.run.run import train
from tests.rerank import encoders
from tests.two_processes import leave

CASES = {
    "all weights": "Train(lr=0.05, epochs=2, batch=8) + BaseKL() + Rehearsal('old', ratio=0.5)",
    "frozen layers": "Train(lr=0.05, epochs=2, batch=8) + FreezeBottom(share=0.5) + BaseKL()",
    "adapter": "Train(lr=0.05, epochs=2, batch=8) + LoRA(rank=2) + MaskTheTarget()",
}


def written(path: Path, count: int, seed: int) -> str:
    """Writes lists of a query's documents, and returns the path."""
    rows = [{"id": f"{path.stem}{i}", **row} for i, row in enumerate(encoders.lists(count, seed=seed))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def spec(case: str, folder: Path, out: Path) -> RunSpec:
    """The run of a case on the model and the files of a folder, with two rows in a forward pass."""
    return RunSpec(
        task="rerank",
        model=str(folder / "base"),
        data=str(folder / "new.jsonl"),
        keep=(str(folder / "keep.jsonl"),),
        memory=(f"old={folder / 'old.jsonl'}",),
        recipe=CASES[case],
        held_out=0.0,
        easy=0,
        batch_size=2,
        max_length=48,
        training={"optim": "sgd"},  # Adam would blow up the rounding of gradients that are 0, as that of a bias of keys
        name=case.replace(" ", "-"),
        out=str(out),
    )


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    for case in CASES:
        train(spec(case, folder, folder / "two"), Console(quiet=True))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
