"""The auxiliary loss of experts is weighted and scaled as each trainer does it."""

from __future__ import annotations

import copy
import types

import pytest
import torch
import transformers
from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.train.attach import attach
from holdfast.train.experts import aux_share
from tests import tiny
from tests.train.retrace import trainer_for

# Equal rows, so that a mean over micro-batches of means is the mean over tokens.
SAID = list(range(10, 17))
ROWS = [{"input_ids": [3 + i, *SAID], "labels": [-100, *SAID]} for i in range(16)]


def furthest(one, other):
    return max(float((p - q).abs().max()) for p, q in zip(one.parameters(), other.parameters(), strict=True))


def experts(accepts):
    model = tiny.tiny("mixtral", router_aux_loss_coef=0.5)
    if accepts is not None:
        model.accepts_loss_kwargs = accepts
    return model


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("accepts", [None, True, False])
def test_a_trainer_s_steps_are_those_without_a_recipe(tmp_path, accepts, accumulate):
    start = experts(accepts)
    settings = {"gradient_accumulation_steps": accumulate, "per_device_train_batch_size": 2, "max_steps": 2}
    plain = trainer_for(copy.deepcopy(start), tmp_path / "plain", ROWS, **settings)
    plain.train()
    ours = attach(trainer_for(copy.deepcopy(start), tmp_path / "ours", ROWS, **settings), "BaseKL(strength=1e-300)")
    assert ours.holdfast.owns_forward
    ours.train()
    assert furthest(plain.model, start) > 1e-3
    assert furthest(plain.model, ours.model) < 1e-6  # transformers takes its losses in float32


def test_without_router_logits_there_is_no_auxiliary_loss(tmp_path):
    start = tiny.tiny("mixtral", output_router_logits=False)
    plain = trainer_for(copy.deepcopy(start), tmp_path / "plain", ROWS, max_steps=2)
    plain.train()
    ours = attach(trainer_for(copy.deepcopy(start), tmp_path / "ours", ROWS, max_steps=2), "BaseKL(strength=1e-300)")
    ours.train()
    assert furthest(plain.model, ours.model) < 1e-6


def vision_of_experts():
    text = {
        "vocab_size": tiny.VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 24,
        "moe_intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "router_aux_loss_coef": 0.5,
        "output_router_logits": True,
        "initializer_range": 0.4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
        "pad_token_id": 0,
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    special = {"image_token_id": 57, "video_token_id": 58, "vision_start_token_id": 59, "vision_end_token_id": 60}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.Qwen3VLMoeConfig(text_config=text, vision_config=vision, **special)
        return transformers.Qwen3VLMoeForConditionalGeneration._from_config(config, experts_implementation="eager")


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_vision_model_of_experts_trains_as_without_a_recipe(tmp_path, accumulate):
    start = vision_of_experts()
    assert not start.accepts_loss_kwargs
    settings = {"gradient_accumulation_steps": accumulate, "per_device_train_batch_size": 2, "max_steps": 2}
    plain = trainer_for(copy.deepcopy(start), tmp_path / "plain", ROWS, **settings)
    plain.train()
    ours = attach(trainer_for(copy.deepcopy(start), tmp_path / "ours", ROWS, **settings), "BaseKL(strength=1e-30)")
    ours.train()
    assert furthest(plain.model, start) > 1e-3
    assert furthest(plain.model, ours.model) < 2e-5


class Own(nn.Module):
    """A model that keeps its share, as most do."""

    def __init__(self, share):
        super().__init__()
        self.router_aux_loss_coef = share


def test_the_share_is_the_one_that_the_model_itself_takes():
    one, other = types.SimpleNamespace(router_aux_loss_coef=0.02), types.SimpleNamespace(aux_loss_coef=0.01)
    assert aux_share(one) == 0.02
    assert aux_share(other) == 0.01
    assert aux_share(one, Own(0.3)) == 0.3
    assert aux_share(one, types.SimpleNamespace(get_base_model=lambda: Own(0.4))) == 0.4
    assert aux_share(types.SimpleNamespace(text_config=one, router_aux_loss_coef=9.0), nn.Linear(1, 1)) == 0.02
    assert aux_share(types.SimpleNamespace(get_text_config=lambda: other), nn.Linear(1, 1)) == 0.01
    with pytest.raises(HoldfastError, match="has no router_aux_loss_coef, and the model has an auxiliary loss"):
        aux_share(types.SimpleNamespace(text_config=types.SimpleNamespace()), nn.Linear(1, 1))
