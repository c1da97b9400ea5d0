"""A tiny model, what it learns and what it keeps, for trials of a few steps."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def trial_room(tmp_path_factory):
    """A folder with a model, rows to learn, and items to test with and to keep, of which the model answers many."""
    from holdfast.bench.given.loading import load_model
    from tests import tiny
    from tests.bench.heal.test_heal import answered, written

    room = tmp_path_factory.mktemp("trials")
    base, other = (tiny.tiny("llama", seed=seed).float() for seed in (0, 1))
    tokenizer = tiny.tokenizer()
    for name, model in (("base", base), ("other", other)):
        model.save_pretrained(room / name)
        tokenizer.save_pretrained(room / name)
    written(room / "keep.jsonl", answered("old", load_model(str(room / "base")), tokenizer))
    written(room / "test.jsonl", answered("new", load_model(str(room / "other")), tokenizer))
    written(room / "rows.jsonl", [{"prompt": f"t{n} t21", "completion": f"t{n + 1}"} for n in range(20, 44)])
    return room


@pytest.fixture
def shared(trial_room, tmp_path):
    """Makes the shared options of trials, with changes."""
    from holdfast.bench.given.specs import RunSpec

    def make(**changes):
        fields = {
            "model": str(trial_room / "base"),
            "data": str(trial_room / "rows.jsonl"),
            "test": str(trial_room / "test.jsonl"),
            "keep": (str(trial_room / "keep.jsonl"),),
            "budget": {"points": 20, "every": 2},
            "batch_size": 4,
            "max_length": 32,
            "out": str(tmp_path / "runs"),
        }
        return RunSpec(**{**fields, **changes})

    return make
