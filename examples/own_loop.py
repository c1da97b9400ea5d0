"""Mask-the-Target in a training loop of your own: two forwards, one line."""

import copy

import torch
import transformers

from holdfast.functional import mask_the_target

torch.manual_seed(0)
config = transformers.LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
)
model = transformers.LlamaForCausalLM(config)
base = copy.deepcopy(model).eval()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
input_ids = torch.randint(0, 64, (4, 16))
labels = input_ids.clone()
labels[:, :4] = -100  # the prompt
trained_tokens = (labels[:, 1:] != -100).sum()

for step in range(20):
    out = model(input_ids=input_ids, labels=labels)
    with torch.no_grad():
        base_logits = base(input_ids=input_ids).logits
    penalty = mask_the_target(out.logits, base_logits, labels).sum() / trained_tokens
    (out.loss + penalty).backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 5 == 0:
        print(f"step {step:2}  task {out.loss:.3f}  penalty {penalty:.3f}")
