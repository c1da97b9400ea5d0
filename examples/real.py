"""What a real model learns and loses: python examples/real.py MODEL [--data FILE --test FILE] [--keep SUITE]."""

import argparse
import tempfile
from pathlib import Path

import holdfast

HERE = Path(__file__).parent
PLAIN = "Train(lr=3e-4, epochs=3, batch=8) + LoRA() + Cosine()"
RECIPES = {"plain": PLAIN, "held": f"{PLAIN} + BaseKL(on='memory') + SelfRehearsal(ratio=0.2, count=100)"}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="a folder, or an id of the hub, such as Qwen/Qwen2.5-Coder-0.5B-Instruct")
parser.add_argument("--data", default=str(HERE / "lamps.jsonl"), help="examples to learn (a shop's 20 lamps)")
parser.add_argument("--test", default=str(HERE / "lamps-test.jsonl"), help="items that ask them in other words")
parser.add_argument("--keep", default="general:300", help="what the model must not get worse at")
given = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    shared = {"model": given.model, "data": given.data, "test": given.test, "keep": (given.keep,), "out": folder}
    settings = {"precision": "bf16", "max_length": 128, "training": {"save_strategy": "no"}}
    runs = {
        name: holdfast.fine_tune(**shared, **settings, recipe=recipe, name=name).record
        for name, recipe in RECIPES.items()
    }

for name, run in runs.items():
    learned, *kept = run.suites
    lost, worst = -sum(suite.change for suite in kept) / len(kept), min(kept, key=lambda suite: suite.change)
    print(f"{name}: learned {learned.change:.0f} points ({learned.before:.0f} to {learned.after:.0f}% right),")
    print(f"  lost {lost:.1f} points on average, {-worst.change:.0f} of {worst.name},")
    print(f"  in {run.cost.seconds / 60:.1f} minutes of training with {run.cost.memory_mib / 1024:.1f} GiB")
