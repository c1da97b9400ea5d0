"""Is the estimate of memory right? What a run is said to hold, beside the most that PyTorch held in two of its steps.

    python benchmarks/memory.py ground:base                     (a minute on one core)
    python benchmarks/memory.py MODEL --rows 4 --length 160     (a minute for each recipe on one core)

Each recipe runs in a process of its own, on rows of random tokens. What is measured is the greatest sum of what
PyTorch's allocator had given out, weights included, from the events of its profiler: Python, the libraries and what
the system's allocator keeps besides are in neither figure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RECIPES = (
    "Train()",
    "MaskTheTarget()",
    "LoRA()",
    "LoRA() + MaskTheTarget()",
    "FreezeBottom()",
    "FreezeBottom() + BaseKL()",
    "BaseL2()",
    "DFT()",
)


def one(model_name: str, recipe: str, rows: int, length: int, training: dict[str, Any]) -> dict[str, Any]:
    """Returns the estimate by its parts, and the peak that was measured, in MiB."""
    import torch
    from transformers import Trainer, default_data_collator

    import holdfast
    from holdfast.bench.given.loading import config_of, load_model
    from holdfast.bench.given.specs import RunSpec
    from holdfast.bench.run.arguments import training_arguments
    from holdfast.bench.run.estimate import estimate
    from holdfast.recipe import parse

    torch.set_num_threads(1)
    torch.manual_seed(0)
    chain = parse(recipe)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"max_steps": 2, "save_strategy": "no", "logging_steps": 1, **training}
        spec = RunSpec(model=model_name, data="none", recipe=recipe, batch_size=rows, training=settings)
        arguments = training_arguments(spec, chain, Path(folder))
        config = config_of(model_name)
        said = estimate(model_name, config, chain, arguments, length)
        words = config.get_text_config().vocab_size
        model: Any = load_model(model_name, frozen=said.frozen)
        held = sum({one.data_ptr(): one.nbytes for one in model.state_dict().values()}.values())
        ids = torch.randint(5, words, (2 * rows, length)).tolist()
        data = [{"input_ids": row, "labels": row} for row in ids]
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            trainer = Trainer(model=model, args=arguments, train_dataset=data, data_collator=default_data_collator)
            holdfast.attach(trainer, chain)
            trainer.train()
    events = profile.profiler.kineto_results.events()
    most = held
    for _, size in sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"):
        held += size
        most = max(most, held)
    parts = {name: round(size / 2**20, 1) for name, size in said.parts.items()}
    figures = {"estimated": round(said.total / 2**20, 1), "measured": round(most / 2**20, 1)}
    return {"recipe": recipe, **figures, "ratio": round(said.total / most, 3), "parts": parts}


def main() -> None:
    """Prints a line of JSON for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--training", type=json.loads, default={}, help="e.g. '{\"gradient_checkpointing\": true}'")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for recipe in given.recipes:
        if given.here:
            print(json.dumps(one(given.model, recipe, given.rows, given.length, given.training)), flush=True)
        else:
            words = [sys.executable, __file__, given.model, "--recipes", recipe, "--here"]
            words += ["--rows", str(given.rows), "--length", str(given.length)]
            subprocess.run([*words, "--training", json.dumps(given.training)], check=True)


if __name__ == "__main__":
    main()
