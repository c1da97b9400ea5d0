"""Cost of retention on one GPU at the shapes of real models: the step, the loss alone, and asking; in five minutes.

    python benchmarks/gpu.py --out gpu.md                    (one GPU; at most five minutes)
    python benchmarks/gpu.py --shapes tiny --device cpu      (seconds; shows that it runs)

Random weights in the shapes of Qwen3-4B and Llama-3-8B, with four of their layers, in bfloat16.

- Step: LoRA with and without a penalty to the base, and with its cache, on the ordinary trainer.
- Loss alone: task loss and KL from hidden states, against plain torch and, if it is installed, Liger's cross-entropy.
- Kernels: the loss and its gradient, and the base's means, against float64.
- Asking: choices behind a shared question, and generated tokens, against plain batches of `transformers`.

Seconds are wall seconds between synchronisations, the median of repeats after one more; memory is the most that PyTorch
held beyond what it held before. The first line names the device. What no time is left for is named. The package has no
Triton kernels yet; the chunked loss is PyTorch on every device.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from penalty_term import loss_of

from probes import plain_choices


@dataclasses.dataclass(frozen=True)
class Shape:
    """The shape of a model, and how much of it is measured."""

    kind: str
    width: int
    inner: int
    heads: int
    keys: int
    words: int
    tied: bool
    layers: int = 4
    rows: int = 4
    tokens: int = 512
    questions: int = 32


SHAPES = {
    "Qwen3-4B": Shape("qwen3", 2560, 9728, 32, 8, 151_936, True),
    "Llama-3-8B": Shape("llama", 4096, 14_336, 32, 8, 128_256, False),
    "tiny": Shape("qwen3", 64, 96, 4, 2, 512, True, layers=2, rows=2, tokens=16, questions=2),
}


def model_of(shape: Shape, device: torch.device) -> Any:
    """Returns a model of random weights in bfloat16."""
    import transformers

    config = {"qwen3": transformers.Qwen3Config, "llama": transformers.LlamaConfig}[shape.kind](
        hidden_size=shape.width, intermediate_size=shape.inner, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.keys, vocab_size=shape.words,
        tie_word_embeddings=shape.tied, head_dim=128 if shape.width > 1000 else 16, max_position_embeddings=4096,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    with device:
        return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


class Meter:
    """Measures calls on a device."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.repeats = device, repeats

    def wait(self) -> None:
        """Waits until the device has done its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def begin(self) -> float:
        """Forgets the peak of memory, and returns what is held now, in GB."""
        gc.collect()
        if self.device.type != "cuda":
            return 0.0
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device) / 1e9

    def most(self) -> float:
        """Returns the peak of memory in GB; 0 on a processor, where PyTorch does not count."""
        return torch.cuda.max_memory_allocated(self.device) / 1e9 if self.device.type == "cuda" else 0.0

    def __call__(self, way: Callable[[], Any]) -> tuple[float, float]:
        """Returns the milliseconds and GB of a call."""
        way()
        held, taken = self.begin(), []
        for _ in range(self.repeats):
            self.wait()
            began = time.perf_counter()
            way()
            self.wait()
            taken.append(time.perf_counter() - began)
        return 1000 * statistics.median(taken), self.most() - held


def stepped(model: Any, shape: Shape, recipe: str, chunked: bool, meter: Meter) -> tuple[list[float], float]:
    """Returns the milliseconds of each step of a training of two epochs, and the GB."""
    import transformers

    from holdfast.recipe import parse
    from holdfast.train.attach import attach

    steps, taken = meter.repeats + 1, list[float]()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(10, shape.words, (shape.rows * steps, shape.tokens), generator=generator).tolist()
    rows = [{"input_ids": row, "labels": row} for row in ids]

    class Clock(transformers.TrainerCallback):
        def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
            meter.wait()
            self.began = time.perf_counter()

        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            meter.wait()
            taken.append(1000 * (time.perf_counter() - self.began))

    with tempfile.TemporaryDirectory() as folder:
        args = transformers.TrainingArguments(
            output_dir=folder, per_device_train_batch_size=shape.rows, use_cpu=meter.device.type == "cpu", bf16=True,
            report_to="none", disable_tqdm=True, num_train_epochs=2, save_strategy="no", logging_steps=1000,
        )  # fmt: skip
        trainer = transformers.Trainer(model=model, args=args, train_dataset=rows, callbacks=[Clock()])
        attach(trainer, parse(recipe), chunked_loss=chunked)
        held = meter.begin()
        trainer.train()
    return taken, meter.most() - held


def steps_of(model: Any, shape: Shape, meter: Meter) -> Iterator[tuple[str, float, float]]:
    """Yields the lines of the step."""
    ways = {
        "plain": ("LoRA()", False),
        "chunked": ("LoRA()", True),
        "MaskTheTarget, no cache": ("Train(base_cache=0) + LoRA() + MaskTheTarget()", True),
        "MaskTheTarget": ("Train(base_cache=1) + LoRA() + MaskTheTarget()", True),
    }
    for name, (recipe, chunked) in ways.items():
        taken, memory = stepped(copy.deepcopy(model), shape, recipe, chunked, meter)
        half = len(taken) // 2
        if name == "MaskTheTarget":
            yield f"{name}, first epoch", statistics.median(taken[1:half]), memory
            yield f"{name}, later epochs", statistics.median(taken[half:]), memory
        else:
            yield name, statistics.median(taken[1:]), memory


def term(shape: Shape, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Returns hidden states of the model and the base, the weight of a head and labels."""
    generator = torch.Generator(device).manual_seed(0)
    tokens = shape.rows * shape.tokens
    weight = (0.05 * torch.randn(shape.words, shape.width, generator=generator, device=device)).to(dtype)
    base = torch.randn(tokens, shape.width, generator=generator, device=device)
    hidden = (base + 0.1 * torch.randn(base.shape, generator=generator, device=device)).to(dtype).requires_grad_()
    labels = torch.randint(shape.words, (tokens,), generator=generator, device=device)
    return hidden, base.to(dtype), weight, labels


def loss_lines(shape: Shape, meter: Meter) -> Iterator[tuple[str, float, float]]:
    """Yields the lines of the loss alone."""
    given = term(shape, meter.device, torch.bfloat16)
    for way in ("plain torch", "ours, base read now", "ours, from kept means"):
        of = loss_of(way, *given)
        yield way, *meter(lambda of=of: of().backward())
        del of
    hidden, _, weight, labels = given
    try:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
    except ImportError:
        return
    liger = LigerFusedLinearCrossEntropyLoss()
    yield "Liger, task loss alone", *meter(lambda: liger(weight, hidden, labels).backward())


def errors(shape: Shape, device: torch.device) -> Iterator[tuple[str, float, float]]:
    """Yields the relative errors of the loss and of its gradient against plain torch in float64."""
    few = dataclasses.replace(shape, rows=1, tokens=min(shape.tokens, 64))
    for dtype in (torch.float32, torch.bfloat16):
        hidden, base, weight, labels = term(few, device, dtype)
        exact = hidden.detach().double().requires_grad_()
        wanted = loss_of("plain torch", exact, base.double(), weight.double(), labels)()
        wanted.backward()
        for way in ("ours, base read now", "ours, from kept means"):
            hidden.grad = None
            found = loss_of(way, hidden, base, weight, labels)()
            found.backward()
            off = (hidden.grad.double() - exact.grad).norm() / exact.grad.norm()
            yield f"{way}, {str(dtype)[6:]}", float((found.double() - wanted).abs() / wanted.abs()), float(off)


def asking_lines(model: Any, shape: Shape, meter: Meter) -> Iterator[tuple[str, float, float]]:
    """Yields the lines of asking."""
    from holdfast.core.mix import Example
    from holdfast.probes.generation import continued
    from holdfast.probes.shared_prefix import group_nll

    model, generator = model.eval(), torch.Generator().manual_seed(0)

    def drawn(count: int) -> list[int]:
        return torch.randint(10, shape.words, (count,), generator=generator).tolist()

    long, short = max(shape.tokens // 2, 8), 6
    pairs = [[(context, drawn(short)) for _ in range(4)] for context in (drawn(long) for _ in range(shape.questions))]
    groups = [
        [Example(tuple(ctx + own), (*[-100] * len(ctx), *own), origin=f"{i}/{j}") for j, (ctx, own) in enumerate(group)]
        for i, group in enumerate(pairs)
    ]
    yield "choices, ours", *meter(lambda: group_nll(model, groups))
    yield "choices, one by one in batches of 8", *meter(lambda: plain_choices(model, pairs))
    prompts, most = [drawn(long) for _ in range(shape.questions)], min(shape.tokens, 64)
    ids = torch.tensor(prompts, device=meter.device)
    yield (
        f"{most} tokens for each of {len(prompts)} prompts, ours",
        *meter(lambda: continued(model, prompts, ends=(), max_new_tokens=most, temperature=0.0)),
    )

    def generate() -> None:
        for part in ids.split(8):
            options = {"max_new_tokens": most, "min_new_tokens": most, "do_sample": False}
            model.generate(input_ids=part, attention_mask=torch.ones_like(part), **options)

    yield "the same, generate() in batches of 8", *meter(generate)


def rows_of(kind: str, lines: Iterator[tuple[str, float, float]]) -> Iterator[str]:
    """Yields rows of Markdown; ratios are to the first line of the step and of the loss, of asking to the peer."""
    found = list(lines)
    for number, (name, first, second) in enumerate(found):
        if kind == "error":
            yield f"| {name} | {first:.1e} | {second:.1e} |  |"
            continue
        peer = found[number // 2 * 2 + 1] if kind == "asking" else found[0]
        yield f"| {name} | {first:.2f} | {second:.2f} | {first / peer[1]:.2f} |"


def report(names: list[str], device: torch.device, repeats: int, seconds: float) -> list[str]:
    """Returns the lines of the report; parts that the time does not reach are named."""
    began, left = time.monotonic(), list[str]()
    named = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else "a processor, which shows only that it runs"
    )
    lines = [f"Device: {named}; PyTorch {torch.__version__}; bfloat16."]
    heads = {
        "step": "| step | ms | GB | of plain |",
        "loss": "| loss and gradient | ms | GB | of plain |",
        "error": "| against float64 | loss | gradient |  |",
        "asking": "| asking | ms | GB | of the peer |",
    }
    meter = Meter(device, repeats)
    for name in names:
        shape = SHAPES[name]
        model = None
        for kind, head in heads.items():
            if time.monotonic() - began > seconds:
                left.append(f"{name}: {kind}")
                continue
            if model is None and kind in ("step", "asking"):
                model = model_of(shape, device)
            parts = {
                "step": lambda model=model, shape=shape: steps_of(model, shape, meter),
                "loss": lambda shape=shape: loss_lines(shape, meter),
                "error": lambda shape=shape: errors(shape, device),
                "asking": lambda model=model, shape=shape: asking_lines(model, shape, meter),
            }
            about = f"{name}, {shape.layers} layers, {shape.rows} x {shape.tokens} tokens"
            lines += ["", f"{about}:", "", head, "|---|---|---|---|", *rows_of(kind, parts[kind]())]
            print(f"{time.monotonic() - began:.0f} s: {name}, {kind}", file=sys.stderr, flush=True)
        del model
        meter.begin()
    return [*lines, "", f"Not measured for want of time: {', '.join(left)}." if left else "All parts are measured."]


def main() -> None:
    """Prints the report, and writes it into a file if one is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["Qwen3-4B", "Llama-3-8B"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=240.0, help="no part begins after so long")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no GPU here; --shapes tiny --device cpu shows that the script runs.")
    text = "\n".join(report(given.shapes, torch.device(given.device), given.repeats, given.seconds)) + "\n"
    print(text, end="")
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
