"""Whether a model keeps the documents of a row apart is measured on it."""

from __future__ import annotations

import peft
import pytest
import torch
import transformers

from holdfast.probes.apart import keeps_apart
from tests import tiny

_SIZE = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2}
MIXING = {
    "bloom": transformers.BloomConfig(vocab_size=61, hidden_size=16, n_layer=2, n_head=2),
    "mpt": transformers.MptConfig(vocab_size=61, d_model=16, n_layers=2, n_heads=2, max_seq_len=64),
    "opt": transformers.OPTConfig(**_SIZE, num_attention_heads=2, ffn_dim=24, word_embed_proj_dim=16, pad_token_id=0),
    "falcon": transformers.FalconConfig(**_SIZE, num_attention_heads=2),
    "mamba": transformers.MambaConfig(**_SIZE, state_size=4),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("backbone", tiny.BACKBONES)
def test_models_with_a_block_diagonal_mask_keep_documents_apart(backbone, dtype):
    model = tiny.tiny(backbone, dtype=dtype).train()
    assert keeps_apart(model)
    assert model.training


@pytest.mark.parametrize("kind", MIXING)
def test_models_that_read_on_from_one_document_to_the_next_do_not(kind):
    torch.manual_seed(0)
    assert not keeps_apart(transformers.AutoModelForCausalLM.from_config(MIXING[kind]))


def test_adapters_that_act_on_whole_rows_do_not():
    prompts = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    assert not keeps_apart(peft.get_peft_model(tiny.tiny(dtype=torch.float32), prompts))
    behind = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], alora_invocation_tokens=[5])
    assert not keeps_apart(peft.get_peft_model(tiny.tiny(dtype=torch.float32), behind))
    usual = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])
    assert keeps_apart(peft.get_peft_model(tiny.tiny(dtype=torch.float32), usual))


def test_a_model_that_cannot_be_asked_does_not():
    model = tiny.tiny(dtype=torch.float32)
    model.forward = lambda **_given: (_ for _ in ()).throw(TypeError("no position_ids"))
    assert not keeps_apart(model)
    assert not keeps_apart(tiny.tiny(dtype=torch.float32, vocab_size=8, pad_token_id=0))


def test_a_model_that_classifies_does_not():
    config = transformers.BertConfig(**_SIZE, num_attention_heads=2, intermediate_size=24, num_labels=3)
    assert not keeps_apart(transformers.BertForSequenceClassification(config))
