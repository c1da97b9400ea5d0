"""A causal reranker (the logit of "yes" less that of "no") takes a recipe like any cross-encoder."""

from __future__ import annotations

import tokenizers
import torch
import transformers
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses

from holdfast import BaseKL, LoRA, MaskTheTarget, attach
from tests.rerank import encoders


def causal(folder):
    words = ["[PAD]", "[UNK]", "yes", "no", *encoders.WORDS]
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.padding_side = "left"
    config = transformers.Qwen3Config(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        initializer_range=0.4,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return CrossEncoder(str(folder), device="cpu")


def test_a_causal_reranker_is_compared_with_its_base(tmp_path):
    asked = [(row["query"], text) for row in encoders.lists(6) for text in row["documents"]]
    for recipe in (BaseKL(strength=2.0), LoRA(rank=2) + MaskTheTarget()):
        model = causal(tmp_path / "model")
        before = model.predict(asked)
        trainer = encoders.trainer(model, encoders.lists(6), tmp_path / "run", losses.ListNetLoss(model))
        attach(trainer, recipe)
        trainer.train()
        assert abs(model.predict(asked) - before).max() > 1e-4
        with trainer.holdfast_teacher.base(trainer.holdfast.model):
            torch.testing.assert_close(torch.tensor(model.predict(asked)), torch.tensor(before))
