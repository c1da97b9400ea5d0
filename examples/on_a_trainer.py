"""A recipe on an unmodified transformers.Trainer: one line before .train()."""

import tempfile

import torch
import transformers

import holdfast
from holdfast import Finch, LoRA, MaskTheTarget

torch.manual_seed(0)
config = transformers.LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
)
rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(0, 64, (32, 16)).tolist()]

with tempfile.TemporaryDirectory() as folder:
    trainer = transformers.Trainer(
        model=transformers.LlamaForCausalLM(config),
        args=transformers.TrainingArguments(
            folder, per_device_train_batch_size=8, learning_rate=1e-2, logging_steps=2, save_strategy="no"
        ),
        train_dataset=rows,
    )
    holdfast.attach(trainer, LoRA(rank=4) + MaskTheTarget() + Finch())
    trainer.train()
    print(trainer.holdfast_recipe)
