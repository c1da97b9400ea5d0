"""What a leash costs: step time and peak memory of a training step with a base-comparing term, against without.

    python benchmarks/leash.py [--repeats 7] [--tokens 1024] [--row 256] [--vocabulary 32000]
    python benchmarks/leash.py --model ~/.cache/holdfast-models/gemma-270m --tokens 640 --row 128 [--bf16]

Every variant takes its steps in turn within one run, so that times are ratios of the same minutes; they are seconds of
processor time, which other programs disturb least. Peak memory is read in a process of its own per variant. The limit
that a leash can reach is one more forward without gradients. `--bf16` trains under autocast, as a trainer with
`bf16=True` does; on a processor without bfloat16 instructions that is far slower than float32, for every variant.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from holdfast.core.method import chain
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.methods.selection.lora import LoRA
from holdfast.train.base import make_teacher
from holdfast.train.forward import Forward

VARIANTS = ("plain", "plain, chunked", "one more forward", "BaseKL", "MaskTheTarget")


def model_of(folder: str | None, vocabulary: int) -> torch.nn.Module:
    """The model of a folder, or a Llama of 8 layers and width 384, with an adapter on every linear layer."""
    torch.manual_seed(0)
    if folder:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return LoRA(rank=16).shape_model(Run(model, Mix(()), 0, 0, _nothing, _nothing))
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=6,
        num_key_value_heads=6,
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    return LoRA(rank=16).shape_model(Run(model, Mix(()), 0, 0, _nothing, _nothing))


def _nothing(*_: object) -> None:
    return None


def step_of(variant: str, model: torch.nn.Module, batch: dict[str, torch.Tensor], bf16: bool) -> Callable[[], None]:
    """Returns one training step: forward, loss, backward, update."""
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-4)
    methods = {"BaseKL": [BaseKL()], "MaskTheTarget": [MaskTheTarget()]}.get(variant, [])
    owned = Forward(model, chain(*methods), teacher=make_teacher(model)) if methods or "chunked" in variant else None

    def autocast() -> contextlib.AbstractContextManager[None]:
        return torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()

    def step() -> None:
        if variant == "one more forward":
            with torch.no_grad(), autocast():
                model(input_ids=batch["input_ids"], use_cache=False)
        with autocast():
            if owned is not None:
                loss = owned(model, batch, None, {}).loss / batch["labels"].numel()
            else:
                loss = model(**batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def batch_of(tokens: int, row: int, vocabulary: int) -> dict[str, torch.Tensor]:
    """Rows of random tokens, all supervised."""
    ids = torch.randint(0, vocabulary, (tokens // row, row), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": ids}


def peak(variant: str, given: argparse.Namespace) -> int:
    """Peak resident bytes that a first step adds to a process that holds model and batch (Linux)."""
    model = model_of(given.model, given.vocabulary)
    batch = batch_of(given.tokens, given.row, model.config.get_text_config().vocab_size)
    step = step_of(variant, model, batch, given.bf16)
    Path("/proc/self/clear_refs").write_text("5")  # lets the high-water mark start anew
    start = _status("VmRSS")
    step()
    return _status("VmHWM") - start


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--row", type=int, default=256, help="tokens of a row")
    parser.add_argument("--vocabulary", type=int, default=32000, help="of the random model")
    parser.add_argument("--model", help="folder of a model, in the place of the random one")
    parser.add_argument("--bf16", action="store_true", help="train under autocast to bfloat16")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="which to measure, with commas; plain first")
    parser.add_argument("--peak", choices=VARIANTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print(json.dumps(peak(given.peak, given)))
        return
    variants = [one for one in VARIANTS if one in given.variants.split(",") or one == "plain"]
    model = model_of(given.model, given.vocabulary)
    vocabulary = model.config.get_text_config().vocab_size
    batch = batch_of(given.tokens, given.row, vocabulary)
    steps = {variant: step_of(variant, model, batch, given.bf16) for variant in variants}
    seconds: dict[str, list[float]] = {variant: [] for variant in variants}
    for repeat in range(given.repeats + 1):
        for variant, step in steps.items():
            started = time.process_time()
            step()
            if repeat:
                seconds[variant].append(time.process_time() - started)
    common = ["--tokens", str(given.tokens), "--row", str(given.row), "--vocabulary", str(given.vocabulary)]
    common += (["--model", given.model] if given.model else []) + (["--bf16"] if given.bf16 else [])
    peaks = {
        variant: int(subprocess.check_output([sys.executable, __file__, "--peak", variant, *common]))
        for variant in variants
    }
    what = Path(given.model).name if given.model else "8 layers, width 384"
    print(
        f"LoRA rank 16, {what}, vocabulary {vocabulary}, {given.tokens} tokens per step in rows of {given.row},"
        f" {'autocast to bfloat16' if given.bf16 else 'float32'}, {torch.get_num_threads()} thread(s).\n"
    )
    print("| step | time / plain (median, range) | memory added by the step / plain |\n|---|---|---|")
    for variant in variants:
        ratios = [own / plain for own, plain in zip(seconds[variant], seconds["plain"], strict=True)]
        time_text = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {variant} | {time_text} | {peaks[variant] / peaks['plain']:.2f} ({peaks[variant] / 2**20:.0f} MiB) |")


if __name__ == "__main__":
    main()
