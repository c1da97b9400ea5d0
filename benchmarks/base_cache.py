"""Time and memory of a training step with a penalty to the base: before, while the base is read, and from its cache.

    python benchmarks/base_cache.py [--layers 6] [--tokens 64] [--steps 3] [--out docs/performance.md]

A model of random weights in the shape of Qwen2.5-0.5B (width 896, vocabulary 151,936, tied head) with `--layers` layers
learns two rows of random tokens a step, all supervised, under LoRA, in float32 on one thread. Each arm is a process of
its own. Seconds are processor seconds, the median of the steps of an arm; memory is the peak of the process less what
it held before training (Linux). Figures are ratios to plain training by the trainer's own loss in the same run.

The computed limit counts products alone: those of the layers (L parameters) and of the head (H), once for a forward and
once for a backward, which under an adapter passes gradients on to inputs only:

    plain                                2 (L + H)
    a penalty without a cache            3 (L + H)          one more forward
    first epoch, means are kept          3 (L + H) + H      and one more product: mu = p_base W
    later epochs                         2 (L + H)

`--results FILE` keeps what is measured, so that an interrupted run continues, and a finished one only writes its table.
`--src FOLDER` measures another checkout with the arms that it has (`plain`, `chunked`, and penalties without a cache).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import frame
from frame import Figure

PENALTIES = {"MaskTheTarget": "MaskTheTarget()", "BaseKL": "BaseKL()"}
WIDTH, INNER, VOCABULARY = 896, 4864, 151_936
LAYER = 2 * WIDTH * WIDTH + 2 * WIDTH * 128 + 3 * WIDTH * INNER
"""Parameters of a layer."""


def make_model(layers: int, folder: Path) -> None:
    """Writes a model of random weights in the shape of Qwen2.5-0.5B."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=layers, num_attention_heads=14,
        num_key_value_heads=2, vocab_size=VOCABULARY, tie_word_embeddings=True,
    )  # fmt: skip
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder)


def held() -> int:
    """Returns the peak memory of this process in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def one(given: argparse.Namespace) -> None:
    """Trains one arm, and prints the seconds of each step and the memory in MiB."""
    import torch
    import transformers

    from holdfast.recipe import parse
    from holdfast.train.attach import attach

    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32)
    name, _, way = given.arm.partition(" ")
    kept = way == "cached"
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(10, VOCABULARY, (2 * given.steps, given.tokens), generator=generator).tolist()
    rows = [{"input_ids": row, "labels": row} for row in ids]
    recipe = "LoRA()" + (f" + {PENALTIES[name]}" if name in PENALTIES else "")
    if not given.src and name in PENALTIES:
        recipe = f"Train(base_cache={int(kept)}) + {recipe}"
    seconds: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
            self.began = time.process_time()

        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            seconds.append(time.process_time() - self.began)

    with tempfile.TemporaryDirectory() as folder:
        args = transformers.TrainingArguments(
            output_dir=folder, per_device_train_batch_size=2, use_cpu=True, report_to="none", disable_tqdm=True,
            num_train_epochs=2 if kept else 1, save_strategy="no", logging_steps=1000,
        )  # fmt: skip
        trainer = transformers.Trainer(model=model, args=args, train_dataset=rows, callbacks=[Clock()])
        attach(trainer, parse(recipe), chunked_loss=name != "plain")
        model.eval()(torch.arange(4)[None])  # so that all weights are in memory
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        before = held()
        trainer.train()
    memory = (held() - before) / 1024
    print(json.dumps({"seconds": seconds, "memory": memory}))


def measured(arms: list[str], given: argparse.Namespace, model: Path) -> dict[str, dict[str, Any]]:
    """Returns the result of each arm."""
    path = None if given.results is None else Path(given.results)
    found = {} if path is None or not path.exists() else json.loads(path.read_text(encoding="utf-8"))
    env = dict(os.environ) | ({"PYTHONPATH": given.src} if given.src else {})
    for arm in arms:
        if arm in found:
            continue
        if not (model / "config.json").exists():
            make_model(given.layers, model)
        command = [sys.executable, __file__, "--arm", arm, "--model", str(model)]
        command += ["--tokens", str(given.tokens), "--steps", str(given.steps)]
        command += ["--src", given.src] if given.src else []
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        if done.returncode:
            sys.exit(done.stderr)
        found[arm] = json.loads(done.stdout.splitlines()[-1])
        print(arm, found[arm], file=sys.stderr, flush=True)
        if path is not None:
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return {arm: found[arm] for arm in arms}


def table(found: dict[str, dict[str, Any]], given: argparse.Namespace) -> list[str]:
    """Returns the lines of the table."""
    body, head = given.layers * LAYER, WIDTH * VOCABULARY
    plain, plain_memory = statistics.median(found["plain"]["seconds"]), found["plain"]["memory"]
    limits = {"": 1.0, "off": 1.5, "first": 1.5 + head / (2 * (body + head)), "later": 1.0}
    lines = ["| step | time | computed limit | memory |", "|---|---|---|---|"]
    for arm, result in found.items():
        name, _, way = arm.partition(" ")
        seconds, memory = result["seconds"], result["memory"] / plain_memory
        parts = {"off": seconds} if way == "off" else {"": seconds}
        if way == "cached":
            parts = {"first": seconds[: given.steps], "later": seconds[given.steps :]}
        says = {"": name, "off": f"{name}, no cache", "first": f"{name}, first epoch", "later": f"{name}, later epochs"}
        for part, values in parts.items():
            time_ = statistics.median(values) / plain
            lines.append(f"| {says[part]} | {time_:.2f} | {limits[part]:.2f} | {memory:.2f} |")
    return lines


def figures(layers: int = 2, tokens: int = 32, steps: int = 2) -> list[Figure]:
    """Returns the lines of a step with a penalty, against a plain step, for the table of all benchmarks."""
    given = argparse.Namespace(layers=layers, tokens=tokens, steps=steps, results=None, src="")
    with tempfile.TemporaryDirectory() as folder:
        found = measured(["plain", "chunked", "MaskTheTarget off", "MaskTheTarget cached"], given, Path(folder))
    body, head = layers * LAYER, WIDTH * VOCABULARY
    plain = statistics.median(found["plain"]["seconds"])
    cached = found["MaskTheTarget cached"]
    first, later = (statistics.median(part) / plain for part in (cached["seconds"][:steps], cached["seconds"][steps:]))
    chunked = statistics.median(found["chunked"]["seconds"]) / plain
    off = statistics.median(found["MaskTheTarget off"]["seconds"]) / plain
    most = (1.5 + head / (2 * (body + head))) / 1.5
    return [
        Figure("step, our loss", "step, the trainer's loss", chunked, 1.0, 1.0),
        Figure("step with a penalty, no cache", "plain step + one forward", off / 1.5, 1.05, 1.0),
        Figure("step with a penalty, first epoch", "plain step + one forward", first / 1.5, 1.05, most),
        Figure("step with a penalty, later epochs", "plain step", later, 1.03, 1.0),
        Figure("step with a penalty: memory", "plain step", cached["memory"] / found["plain"]["memory"], 1.0),
    ]


def main() -> None:
    """Measures all arms, and prints or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a row")
    parser.add_argument("--steps", type=int, default=3, help="steps of an epoch")
    parser.add_argument("--penalties", nargs="+", choices=sorted(PENALTIES), default=list(PENALTIES))
    parser.add_argument("--out", help="file whose part between the markers is replaced by the table")
    parser.add_argument("--results", help="file of the measured arms, as JSON")
    parser.add_argument("--src", default="", help="folder with another version of the package")
    parser.add_argument("--arm", help="measure one arm, in this process")
    parser.add_argument("--model")
    given = parser.parse_args()
    if given.arm:
        one(given)
        return
    ways = ["off"] if given.src else ["off", "cached"]
    arms = ["plain", "chunked", *(f"{name} {way}" for name in given.penalties for way in ways)]
    with tempfile.TemporaryDirectory() as folder:
        lines = table(measured(arms, given, Path(folder)), given)
    print("\n".join(lines))
    if given.out:
        about = f"{given.layers} layers, 2 rows of {given.tokens} tokens a step, {given.steps} steps, float32"
        write(Path(given.out), "base_cache", lines, about)


def write(path: Path, mark: str, lines: list[str], about: str) -> None:
    """Replaces the part of a page between two markers by a table and how it was measured."""
    frame.replace(path, mark, [f"{about}, one thread of {platform.machine()}:", "", *lines])


if __name__ == "__main__":
    main()
