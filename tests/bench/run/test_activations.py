"""What a forward saves is counted from one layer of each kind, to the byte as if every layer ran."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from holdfast.bench.run.activations import saved_bytes
from holdfast.core.mix import Mix
from holdfast.core.run import Run
from holdfast.recipe import parse

LAYERS = 6
SHAPE = {
    "vocab_size": 61, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": LAYERS, "head_dim": 8,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
GPT2 = {"n_embd": 16, "n_layer": LAYERS, "n_head": 2, "n_positions": 64}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
FAMILIES = {
    "llama": (transformers.LlamaConfig, {}, 1),
    "qwen2, sliding from the fourth": (
        transformers.Qwen2Config,
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 3},
        2,
    ),
    "qwen3": (transformers.Qwen3Config, {}, 1),
    "gemma2": (transformers.Gemma2Config, {"sliding_window": 4}, 2),
    "gemma3": (transformers.Gemma3TextConfig, {"sliding_window": 4}, 2),
    "phi3": (transformers.Phi3Config, {}, 1),
    "gpt2": (transformers.GPT2Config, GPT2, 1),
    "gpt2, scaled by layer": (transformers.GPT2Config, {**GPT2, "scale_attn_by_inverse_layer_idx": True}, LAYERS),
    "gpt_neox": (transformers.GPTNeoXConfig, {}, 1),
    "mixtral": (transformers.MixtralConfig, {"num_local_experts": 4, "num_experts_per_tok": 2}, 1),
    "qwen3_moe": (transformers.Qwen3MoeConfig, EXPERTS, 1),
    "qwen3_moe, some layers dense": (transformers.Qwen3MoeConfig, {**EXPERTS, "mlp_only_layers": [0, 1, 4]}, 2),
}
"""The class of a configuration, what is special in it, and how many kinds of layers there are."""


def count(monkeypatch, model, layers, narrow, **how):
    """The bytes that are counted, and how many layers ran."""
    ran = []
    with monkeypatch.context() as patch:
        for kind in {type(layer) for layer in layers}:
            forward = kind.forward
            patch.setattr(kind, "forward", lambda *a, _f=forward, **b: ran.append(1) or _f(*a, **b))
        return saved_bytes(model, 2, 11, narrow, **how), len(ran)


@pytest.mark.matrix(4)
@pytest.mark.parametrize("narrow", [None, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("recipe", ["Train()", "FreezeBottom(share=0.4)", "LoRA(rank=2)", "LoRA(rank=2, dropout=0.1)"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_layer_of_each_kind_counts_for_all(monkeypatch, family, recipe, narrow):
    config, changes, kinds = FAMILIES[family]
    experts = "expert" in str(changes)
    # The other implementations of experts read numbers, or know no float32 on a CPU.
    options = {"experts_implementation": "batched_mm"} if experts else {}
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            config(**{**SHAPE, **changes}), dtype=torch.float32, **options
        )
    body = model.get_decoder()
    layers = list(body.h if "gpt2" in family else body.layers)
    assert len(layers) == LAYERS
    own = parse(recipe if not experts else recipe.replace(", dropout=0.1", ""))  # which adapters of experts do not know
    shaped = own.shape_model(Run(model=model, mix=Mix(()), seed=0, total_steps=0))
    full, all_layers = count(monkeypatch, shaped, layers, narrow, every_layer=True)
    few, ran = count(monkeypatch, shaped, layers, narrow)
    assert few == full
    assert all_layers == LAYERS
    # Frozen layers, and the first above them, whose input needs no gradient, are kinds of their own.
    assert ran == kinds if recipe == "Train()" or kinds == LAYERS else kinds < ran <= 3 * kinds
    assert not any("forward" in vars(layer) for layer in layers)


class Block(nn.Module):
    """A layer that saves its input and what it makes of it."""

    def __init__(self, number, **how):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.layer_idx = number
        self.__dict__.update(how)

    def forward(self, hidden, notes):
        return self.linear(hidden).exp()


class Passing(Block):
    def forward(self, hidden, notes):
        return hidden


class Noting(Block):
    def forward(self, hidden, notes):
        notes["last"] = hidden.exp()
        return self.linear(hidden) * notes.get("first", notes["last"])


class Wide(Block):
    def forward(self, hidden, notes):
        return self.linear(hidden.repeat(self.times, 1, 1)).exp()[: len(hidden)]


class Twice(Block):
    def forward(self, hidden, notes):
        hidden = self.linear(hidden)
        return hidden, hidden.view(-1, 8)


class Body(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.embed, self.layers = nn.Embedding(61, 8), nn.ModuleList(layers)

    def get_decoder(self):
        return self

    def forward(self, input_ids, use_cache):
        hidden, notes = self.embed(input_ids), {}
        for layer in self.layers:
            hidden = layer(hidden, notes)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return hidden.sin()


def shared():
    layers = [Block(number) for number in range(LAYERS)]
    for layer in layers[1:4]:
        layer.linear.weight = layers[0].linear.weight
    return layers


@pytest.mark.parametrize(
    ("layers", "runs"),
    [
        ([Block(k) for k in range(LAYERS)], 1),
        ([Block(k) for k in range(3)] + [Passing(k) for k in range(3)], 4),
        ([Noting(k) for k in range(LAYERS)], LAYERS),
        ([Wide(k, times=1 + k % 3) for k in range(LAYERS)], LAYERS - 1),
        ([Twice(k) for k in range(LAYERS)], LAYERS),
        (shared(), 5),
        ([Block(k, unknown=object()) for k in range(LAYERS)], LAYERS),
    ],
    ids=["equal", "returning what is given", "writing into what is given", "returning a part of what it makes",
         "returning the same twice", "sharing a weight", "with unknown attributes"],
)  # fmt: skip
@pytest.mark.parametrize("narrow", [None, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_layer_runs_unless_an_equal_one_did(monkeypatch, layers, runs, narrow):
    model = Body(layers)
    full, _ = count(monkeypatch, model, layers, narrow, every_layer=True)
    few, ran = count(monkeypatch, model, layers, narrow)
    assert few == full > 0
    assert ran - runs in ((0,) if narrow is None else (0, 1))  # under autocast the first is given float32


def test_what_a_forward_raises_is_raised_and_the_layers_are_as_before():
    class Broken(Block):
        def forward(self, hidden, notes):
            return hidden[hidden > 0]

    layers = [Broken(k) for k in range(3)]
    with pytest.raises(Exception, match="nonzero"):
        saved_bytes(Body(layers), 2, 11, None)
    assert not any("forward" in vars(layer) for layer in layers)
