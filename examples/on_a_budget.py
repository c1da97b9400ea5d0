"""A budget on an unmodified transformers.Trainer: it goes back when too much of what is to be kept is lost."""

import tempfile

import torch
import transformers

import holdfast
from holdfast.core.mix import Example

torch.manual_seed(0)
config = transformers.LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
)
rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(0, 32, (64, 16)).tolist()]
old = [Example(ids, ids) for ids in torch.randint(32, 64, (20, 16)).tolist()]

with tempfile.TemporaryDirectory() as folder:
    trainer = transformers.Trainer(
        model=transformers.LlamaForCausalLM(config),
        args=transformers.TrainingArguments(
            folder, per_device_train_batch_size=8, learning_rate=1e-2, num_train_epochs=3, save_strategy="no"
        ),
        train_dataset=rows,
    )
    # With your own model: keep="questions.jsonl" and points=2, percent of right answers.
    holdfast.attach(trainer, budget=holdfast.Budget(nll=0.1), keep=old, guard=holdfast.Guard(every=4))
    trainer.train()
    for look in trainer.holdfast_guard.summary()["looks"]:
        print(f"step {look['step']}: {look['nats_lost']:+.3f} nats per token")
