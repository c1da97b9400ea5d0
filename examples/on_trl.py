"""A script for TRL: the trainer is TRL's own, and one line adds old examples, a penalty to the base and a guard."""

import tempfile

import datasets
import torch
import trl

import holdfast
from holdfast import BaseKL, Budget, Guard, LoRA, Rehearsal
from holdfast.bench.given.loading import load_model, load_tokenizer

new = datasets.Dataset.from_list([{"text": f"Lomir is the town of the lamp {n}."} for n in range(24)])
old = "ground:instructions/memory"  # or a file, or a name on the hub
precision = {} if torch.cuda.is_available() else {"use_cpu": True, "bf16": False}
kept = "ground:facts/cut"  # or general, or a file of questions

with tempfile.TemporaryDirectory() as folder:
    trainer = trl.SFTTrainer(
        model=load_model("ground:base"),  # or the name of a model
        processing_class=load_tokenizer("ground:base"),
        train_dataset=new,
        args=trl.SFTConfig(
            folder, max_steps=4, per_device_train_batch_size=4, logging_steps=1, report_to="none", **precision
        ),
    )
    recipe = LoRA(rank=8) + Rehearsal(old, ratio=0.5) + BaseKL(on="memory")
    guard = Guard(every=2, items=40, on_spent="rewind")
    holdfast.attach(trainer, recipe, budget=Budget(points=2), keep=kept, guard=guard)
    trainer.train()
    print(trainer.holdfast_guard.summary())
