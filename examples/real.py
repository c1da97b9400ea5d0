"""What a real model learns and loses: python examples/real.py MODEL [--data FILE --test FILE] [--keep SUITE]."""

import argparse
import concurrent.futures
import multiprocessing
import tempfile
from pathlib import Path

import holdfast

HERE = Path(__file__).parent
PLAIN = "Train(lr=3e-4, epochs=5, batch=8) + LoRA() + Cosine()"
RECIPES = {"plain": PLAIN, "held": f"{PLAIN} + BaseKL(on='memory') + RefusalRehearsal() + PromptRehearsal(0.1, 0)"}


def run(options):
    return holdfast.fine_tune(**options).record


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a folder, or an id of the hub, such as Qwen/Qwen2.5-Coder-0.5B-Instruct")
    parser.add_argument("--data", default=str(HERE / "lamps.jsonl"), help="examples to learn (a shop's 20 lamps)")
    parser.add_argument("--test", default=str(HERE / "lamps-test.jsonl"), help="items that ask them in other words")
    parser.add_argument("--keep", nargs="+", default=["general:300"], help="what the model must not get worse at")
    shared = {**vars(parser.parse_args()), "precision": "auto", "max_length": 128, "training": {"save_strategy": "no"}}
    fresh = {"mp_context": multiprocessing.get_context("spawn"), "max_tasks_per_child": 1}  # each counts its own memory
    with tempfile.TemporaryDirectory() as out, concurrent.futures.ProcessPoolExecutor(1, **fresh) as process:
        runs = [{**shared, "out": out, "recipe": recipe, "name": name} for name, recipe in RECIPES.items()]
        for name, record in zip(RECIPES, process.map(run, runs), strict=True):
            learned, *kept = record.suites
            mean, worst = sum(suite.change for suite in kept) / len(kept), min(kept, key=lambda suite: suite.change)
            print(f"{name}: learned {learned.change:.0f} points ({learned.before:.0f} to {learned.after:.0f}% right),")
            print(f"  elsewhere {mean:+.1f} points on average, {worst.change:+.0f} in {worst.name},")
            print(f"  in {record.cost.seconds / 60:.1f} minutes, with {record.cost.memory_mib / 1024:.1f} GiB")


if __name__ == "__main__":
    main()
