"""Very small random models and batches for the tests: two layers, width 16."""

from __future__ import annotations

import itertools
import random

import torch
import transformers
from torch import nn

from holdfast.core.run import SOURCE

VOCABULARY = 61

_COMMON = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_SHAPE = {
    **_COMMON,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "initializer_range": 0.4,
}

BACKBONES = ("gpt2", "llama", "qwen3", "gemma2", "phi3", "mixtral")


def tiny(name: str = "llama", *, seed: int = 0, dtype: torch.dtype = torch.float64, **changes: object) -> nn.Module:
    """A random causal language model of a family; weights large enough that its heads' non-linearities show."""
    configs = {
        "gpt2": lambda: transformers.GPT2Config(
            **_COMMON,
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=64,
            initializer_range=0.4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            **changes,
        ),
        "llama": lambda: transformers.LlamaConfig(**{**_SHAPE, **changes}),
        "qwen3": lambda: transformers.Qwen3Config(**{**_SHAPE, "head_dim": 8, **changes}),
        "gemma2": lambda: transformers.Gemma2Config(
            **{**_SHAPE, "head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0, **changes}
        ),
        "phi3": lambda: transformers.Phi3Config(**{**_SHAPE, **changes}),
        "mixtral": lambda: transformers.MixtralConfig(
            **{**_SHAPE, "num_local_experts": 4, "num_experts_per_tok": 2, "output_router_logits": True, **changes}
        ),
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        # The grouped kernel of experts knows no float64.
        options = {"experts_implementation": "eager"} if name == "mixtral" else {}
        model = transformers.AutoModelForCausalLM.from_config(configs[name](), **options)
    return model.to(dtype)


def with_own_loss(model: nn.Module) -> nn.Module:
    """The model with another `loss_function`: three times the usual loss, and one more."""
    usual = model.loss_function
    model.loss_function = lambda *args, **kwargs: 3.0 * usual(*args, **kwargs) + 1.0
    return model


def rows(count: int, *, seed: int = 0, longest: int = 12, prompt: int = 3) -> list[dict[str, list[int]]]:
    """Random rows of 4 to `longest` tokens whose first `prompt` labels are not supervised."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        ids = [draw.randrange(3, VOCABULARY) for _ in range(draw.randint(prompt + 1, longest))]
        made.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return made


def collate(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Pads rows to the right."""
    width = max(len(row["input_ids"]) for row in batch)

    def padded(values: list[int], fill: int) -> list[int]:
        return values + [fill] * (width - len(values))

    return {
        "input_ids": torch.tensor([padded(row["input_ids"], 0) for row in batch]),
        "attention_mask": torch.tensor([padded([1] * len(row["input_ids"]), 0) for row in batch]),
        "labels": torch.tensor([padded(row["labels"], -100) for row in batch]),
    }


def tokenizer():
    """A tokenizer of the words "t0" ... "t60", with the special tokens of the tiny models."""
    import tokenizers

    words = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"t{i}": i for i in range(3, VOCABULARY)}}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="t3"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="t3"
    )


def unpacked(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The documents of a padding-free batch as padded rows."""
    starts = [*(batch["position_ids"][0] == 0).nonzero().flatten().tolist(), batch["position_ids"].shape[1]]
    cuts = list(itertools.pairwise(starts))
    made = collate([{k: batch[k][0, a:b].tolist() for k in ("input_ids", "labels")} for a, b in cuts])
    if SOURCE in batch:
        made[SOURCE] = collate(
            [{"input_ids": batch[SOURCE][0, a:b].tolist(), "labels": batch[SOURCE][0, a:b].tolist()} for a, b in cuts]
        )["input_ids"]
    return made
