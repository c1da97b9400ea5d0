"""Run by test_two_processes.py on two processes: trains each case on this process's share and saves the weights."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import datasets
import torch

from holdfast.core.mix import Example
from holdfast.train.attach import attach
from tests import tiny
from tests.acting import Acting
from tests.train.retrace import arguments, trainer_for
from tests.train.watching import watching
from tests.two_processes import leave

MEMORY = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(7, seed=3)]

# Two to a packed row and sixteen rows: a last batch that does not fill both processes would be filled up by accelerate.
PAIRS = [row for row in tiny.rows(600, seed=1) if len(row["input_ids"]) == 12][:32]

CASES = {
    "leash and finch": ("llama", "MaskTheTarget() + Finch()"),
    "lora": ("llama", "LoRA(rank=2) + BaseKL(strength=0.5) + Finch()"),
    "rehearsal": ("llama", "Rehearsal('old', ratio=0.3) + MaskTheTarget(on='new') + Finch()"),
    "every hook": ("llama", Acting()),
    "tied head": ("gpt2", "BaseKL() + Cosine()"),
    "soft-capped head": ("gemma2", "MaskTheTarget() + Finch()"),
    "cached base": ("llama", "Train(teacher='cache') + MaskTheTarget()"),
    "packed": ("llama", "MaskTheTarget() + Finch()"),
}

ALONE = [
    "FLOW(level='token')",
    "TALR() + LowPerplexity(threshold=60)",
    "TokenForgetting()",
    "BaseL2() + EWC(memory='old')",
    "AGEM('old', samples=2) + MoFO()",
    "OrthogonalProjection('old')",
    "ConflictDecay('old', every=1)",
    "LISA(layers=1, interval=1) + EMA(decay=0.5)",
    "LoRANull('old', rank=2) + TokenQuality()",
    "OnPolicySDFT(length=6, skip=0, rate=0.3)",
    "SelfRehearsal(count=6, length=8, ratio=0.5)",
    "Train(base_cache=1, epochs=2) + LoRA(rank=2) + MaskTheTarget()",
]
"""Recipes that look at more than a step's batch: compared with the same trainer in one process."""


def build(case, folder, accumulate):
    backbone, recipe = CASES.get(case, ("llama", case))
    model = tiny.tiny(backbone)
    if case == "packed":
        import trl

        args = trl.SFTConfig(
            **{
                **{k: getattr(arguments(folder), k) for k in ("output_dir", "use_cpu", "learning_rate", "seed")},
                **{"lr_scheduler_type": "constant", "optim": "sgd", "report_to": "none", "save_strategy": "no"},
                **{"per_device_train_batch_size": 2, "gradient_accumulation_steps": accumulate, "bf16": False},
                **{"max_length": 24, "packing": True, "num_train_epochs": 1, "disable_tqdm": True, "logging_steps": 1},
            }
        )
        trainer = trl.SFTTrainer(
            model=model,
            args=args,
            train_dataset=datasets.Dataset.from_list(PAIRS),
            processing_class=tiny.tokenizer(),
        )
    else:
        trainer = trainer_for(model, folder, tiny.rows(24), micro=2, accumulate=accumulate)
        trainer.processing_class = tiny.tokenizer()
    return attach(trainer, recipe, memories={"old": MEMORY})


def guarded(folder, accumulate):
    """A trainer whose guard goes back at some looks and not at others."""
    trainer = trainer_for(
        tiny.tiny("llama"), folder, tiny.rows(24), micro=2, accumulate=accumulate, num_train_epochs=4, learning_rate=0.4
    )
    return attach(trainer, "MaskTheTarget(strength=0.1)", **watching(MEMORY, nll=0.02, every=1))


def steered(folder, accumulate):
    """A trainer that a controller steers, by the penalty, the share of old examples and the rate."""
    trainer = trainer_for(
        tiny.tiny("llama"), folder, tiny.rows(24), micro=2, accumulate=accumulate, num_train_epochs=2, learning_rate=0.1
    )
    recipe = "Rehearsal('old', ratio=0.3) + BaseKL(on='memory')"
    watched = watching(MEMORY, nll=0.2, every=2, on_spent="steer")
    return attach(trainer, recipe, memories={"old": MEMORY}, **watched)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    for case in (*CASES, *ALONE):
        gc.freeze()  # a trainer collects garbage at its start, all that is imported included
        trainer = build(case, out / "run", accumulate=2)
        trainer.train()
        if trainer.args.process_index == 0:
            logs = [row["task_loss"] for row in trainer.state.log_history if "task_loss" in row]
            torch.save({"weights": trainer.model.state_dict(), "logs": logs}, out / f"{case}.pt")
    for case, make in (("guarded", guarded), ("steered", steered)):
        trainer = make(out / "run", accumulate=2)
        trainer.train()
        summary = {**trainer.holdfast_guard.summary(), "seconds": 0}
        process = trainer.args.process_index
        torch.save({"weights": trainer.model.state_dict(), "summary": summary}, out / f"{case} {process}.pt")
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
