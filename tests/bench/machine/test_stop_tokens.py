"""A shipped model stops where its answers end."""

from __future__ import annotations

import json

import pytest
from transformers import GenerationConfig

from holdfast.bench.machine.stop_tokens import add_stop_tokens


class Model:
    """What has a generation_config, or none."""

    def __init__(self, **settings: object) -> None:
        self.generation_config = GenerationConfig(**settings) if settings else None


@pytest.mark.parametrize(
    ("given", "ends", "wanted"),
    [(2, {4}, [2, 4]), ([2, 3], {3, 4}, [2, 3, 4]), (2, {2}, 2), (2, set(), 2), ([2], {2}, [2])],
)
def test_the_tokens_that_end_an_answer_are_added_behind_those_there(given, ends, wanted):
    model = Model(eos_token_id=given, pad_token_id=0)
    assert add_stop_tokens(model, ends) == (model.generation_config.eos_token_id != given)
    assert model.generation_config.eos_token_id == wanted


def test_a_model_that_stops_nowhere_is_made_to_stop_and_one_without_settings_is_left():
    model = Model(pad_token_id=0)
    assert add_stop_tokens(model, {4})
    assert model.generation_config.eos_token_id == 4
    assert not add_stop_tokens(Model(), {4})


def test_a_base_whose_template_ends_a_turn_with_another_token_is_shipped_to_stop_at_it(tmp_path):
    """Plain `generate` reads generation_config.json and nothing else."""
    import transformers

    import holdfast
    from holdfast.bench.given.specs import RunSpec
    from holdfast.bench.run.run import train

    base = f"{holdfast.__path__[0]}/ground/base"
    made = tmp_path / "base"
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = tokenizer.chat_template.replace("+ eos_token", "+ '<|system|>'")
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
    data = tmp_path / "d.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"Is {n} odd?", "completion": "Yes."}) + "\n" for n in range(4)))
    spec = RunSpec(model=str(made), data=str(data), held_out=0.0, recipe="Train(epochs=1)", out=str(tmp_path / "runs"))
    folder = train(spec).folder / "model"
    shipped = json.loads((folder / "generation_config.json").read_text())
    turn = tokenizer.convert_tokens_to_ids("<|system|>")
    assert shipped["eos_token_id"] == [tokenizer.eos_token_id, turn]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert turn in loaded.generation_config.eos_token_id
