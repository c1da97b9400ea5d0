"""A method of your own: predictions that are sure of themselves cost more, on an unmodified transformers.Trainer."""

import dataclasses
import tempfile

import torch
import transformers

import holdfast
from holdfast import Finch, setting


def confidence_penalty(entropy_N):
    """Returns minus the entropy of each prediction, `[N]` nats."""
    return -entropy_N


@dataclasses.dataclass(frozen=True, repr=False)
class ConfidencePenalty(holdfast.Method):
    """Subtracts the entropy of each prediction from its loss (Pereyra et al. 2017, arXiv 1701.06548)."""

    strength: float = setting(0.1, unit="1", low=0.0, search=(0.01, 1.0), log=True, role="strength")

    def token_loss(self, state, tok):
        """Returns `strength * confidence_penalty`."""
        return self.strength * confidence_penalty(tok.entropy_N)


torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=64, **sizes))
rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(0, 64, (32, 16)).tolist()]
with tempfile.TemporaryDirectory() as folder:
    args = transformers.TrainingArguments(folder, learning_rate=1e-2, logging_steps=2, save_strategy="no")
    trainer = transformers.Trainer(model=model, args=args, train_dataset=rows)
    holdfast.attach(trainer, ConfidencePenalty() + Finch())
    trainer.train()
    print(trainer.holdfast_recipe)
