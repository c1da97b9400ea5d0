"""Run by test_two_processes.py on two processes: trains rerankers on this process's share and saves the weights."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import holdfast
from tests.rerank import encoders
from tests.two_processes import leave

CASES = {
    "lists": ("lists", "BaseKL(strength=2.0)"),
    "old lists": ("lists", "BaseKL() + Rehearsal('old', ratio=0.5)"),
    "finch": ("lists", "BaseKL() + Finch()"),
    "pairs": ("pairs", "BaseMSE(strength=0.5)"),
    "adapter": ("lists", "LoRA(rank=2) + MaskTheTarget()"),
}
LOSSES = {"lists": encoders.WideListLoss, "pairs": encoders.WidePairLoss}


def build(case, folder, accumulate):
    """A trainer with a recipe, on sixteen rows, eight of them in a step of all processes."""
    form, recipe = CASES[case]
    model = encoders.encoder()
    # With several processes, the trainer of sentence-transformers drops the last incomplete batch of an epoch.
    steps = {"max_steps": 3} if "old" in case else {}
    how = {
        **steps,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": accumulate,
        "seed": 42,
        "ddp_find_unused_parameters": False,
    }
    trainer = encoders.trainer(model, getattr(encoders, form)(16), folder, LOSSES[form](model), **how)
    memories = {"old": encoders.lists(8, seed=5)} if "old" in case else None
    return holdfast.attach(trainer, recipe, memories=memories)


def guarded(folder, accumulate):
    """A trainer with a guard that looks at a few lists after every step."""
    model, rows = encoders.encoder(), encoders.lists(16)
    how = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": accumulate,
        "seed": 42,
        "ddp_find_unused_parameters": False,
    }
    trainer = encoders.trainer(model, rows, folder, encoders.WideListLoss(model), num_train_epochs=2, **how)
    path = Path(folder) / "keep.jsonl"
    return holdfast.attach(
        trainer,
        "BaseKL()",
        budget=holdfast.Budget(points=1),
        guard=holdfast.Guard(every=1, on_spent="rewind"),
        keep=[str(path)],
    )


def main(out: Path) -> None:
    torch.set_num_threads(1)
    for case in CASES:
        trainer = build(case, out / "run", accumulate=2)
        trainer.train()
        if trainer.args.process_index == 0:
            torch.save(trainer.model.state_dict(), out / f"{case}.pt")
    trainer = guarded(out, accumulate=2)
    trainer.train()
    summary = {**trainer.holdfast_guard.summary(), "seconds": 0}
    torch.save(
        {"weights": trainer.model.state_dict(), "summary": summary}, out / f"guarded {trainer.args.process_index}.pt"
    )
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
