"""What the trainer is told where nobody says anything."""

from __future__ import annotations

import pytest

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.arguments import ADAPTER_LR, FULL_LR, training_arguments
from holdfast.methods.adapter import Adapter
from holdfast.methods.table import METHODS
from holdfast.recipe import parse

ADAPTERS = [cls.__name__ for cls in METHODS if issubclass(cls, Adapter)]


@pytest.mark.parametrize("name", ["Cosine", "FreezeBottom", *ADAPTERS])
def test_few_numbers_learn_at_the_adapters_rate_and_whole_weights_at_theirs(tmp_path, name):
    given = "memory='old'" if name in ("LoRANull", "CorDA") else ""
    recipe = f"{name}({given})"
    spec = RunSpec(model="m", data="d", recipe=recipe)
    rate = training_arguments(spec, parse(recipe), tmp_path).learning_rate
    assert rate == (FULL_LR if name in ("Cosine", "FreezeBottom", "OSF") else ADAPTER_LR)
