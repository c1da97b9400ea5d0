"""Pretraining of a base: a small Llama on an endless stream of a world's documents, determined by the seed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from holdfast.ground.corpus import documents
from holdfast.ground.lesson import Lesson
from holdfast.ground.tokenizer import encode
from holdfast.ground.world import rng_of

Progress = Callable[[int, int, float], None]
"""Callback after every step: receives the step (from 1), the number of steps and the loss in nats per token."""


@dataclasses.dataclass(frozen=True)
class Course:
    """A part of the training with its own schedule; the optimizer state carries over to the next part.

    Attributes:
        steps: Number of steps.
        lr: Peak learning rate of AdamW.
        warmup: Steps of the linear rise of the rate.
        decay: Steps of the linear fall to zero at the end.
        shares: Shares of lessons, by suite, that replace the lessons' own shares.
    """

    steps: int
    lr: float
    warmup: int
    decay: int
    shares: Mapping[str, float] = dataclasses.field(default_factory=dict)


COURSES = (
    Course(steps=6800, lr=2e-3, warmup=200, decay=4100),
    Course(
        steps=3200,
        lr=1e-3,
        warmup=50,
        decay=3150,
        shares={
            "lists": 30, "compare": 26, "code": 14, "facts": 8, "translate-into": 7, "translate-from": 6, "sums": 6,
            "laws": 6, "hops": 5, "format": 5, "recall": 4, "open": 3, "harmless": 3, "summary": 3, "refuse": 2,
            "agreement": 2, "text": 2,
        },
    ),
)  # fmt: skip
"""First all lessons in proportion, then mostly those that take longest: lists, comparisons and programs."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The shape of a base and its training.

    Attributes:
        vocabulary: Number of tokens of the tokenizer.
        hidden: Width of the hidden states.
        layers: Number of layers.
        heads: Number of attention heads.
        intermediate: Width of the feed-forward layers.
        window: Tokens in a training row, which holds whole documents.
        batch: Rows in a step.
        weight_decay: Weight decay of the matrices.
        prompts: Loss weight of the tokens outside the assistant's turns; the assistant's tokens have weight 1.
        courses: The parts of the training.
    """

    vocabulary: int = 1536
    hidden: int = 256
    layers: int = 3
    heads: int = 4
    intermediate: int = 704
    window: int = 128
    batch: int = 16
    weight_decay: float = 0.05
    prompts: float = 0.1
    courses: tuple[Course, ...] = COURSES

    @property
    def steps(self) -> int:
        """Returns the total number of steps."""
        return sum(course.steps for course in self.courses)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Returns the settings from the output of `dataclasses.asdict`."""
        return cls(**{**values, "courses": tuple(Course(**course) for course in values["courses"])})

    def at(self, step: int) -> tuple[Course, int]:
        """Returns the course of a step (from 0), and the step's number in the course."""
        for course in self.courses:
            if step < course.steps:
                return course, step
            step -= course.steps
        raise ValueError(f"there are only {self.steps} steps")


def build_model(settings: Settings, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Returns the untrained float32 model; the random state of torch does not change."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        intermediate_size=settings.intermediate,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: LlamaForCausalLM = LlamaForCausalLM(config).float()
    return model


def rows(
    known: Mapping[str, Lesson], tokenizer: PreTrainedTokenizerFast, settings: Settings, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Returns the tokens and loss weights of one step, `[B, T]`, int64 and float32; a function of the arguments.

    Each document goes whole into the first row with room for it.
    """
    ids_BT = torch.full((settings.batch, settings.window), int(tokenizer.pad_token_id))
    weights_BT = torch.zeros(settings.batch, settings.window)
    used = [0] * settings.batch
    stream = documents(known, rng_of(seed, f"step {step}"), settings.at(step)[0].shares)
    for ids, is_assistant in _encoded(stream, tokenizer):
        row = next((i for i, taken in enumerate(used) if taken + len(ids) <= settings.window), None)
        if row is None:
            if len(ids) <= settings.window // 3:  # The step is full if even a short document does not fit.
                break
            continue
        place = slice(used[row], used[row] + len(ids))
        ids_BT[row, place] = torch.tensor(ids)
        weights_BT[row, place] = torch.where(torch.tensor(is_assistant), 1.0, settings.prompts)
        weights_BT[row, place.start] = 0.0  # The start of a document does not follow from the previous one.
        used[row] += len(ids)
    return ids_BT, weights_BT


def _encoded(stream: Iterator[Any], tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[list[int], list[bool]]]:
    while True:
        yield from encode(tokenizer, [next(stream)[1] for _ in range(64)])


def rate(settings: Settings, step: int) -> float:
    """Returns the learning rate of a step (from 0): in each course, a linear rise, a plateau and a linear fall."""
    course, place = settings.at(step)
    rise, fall = (place + 1) / max(1, course.warmup), (course.steps - place) / max(1, course.decay)
    return course.lr * min(1.0, rise, fall)


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    known: Mapping[str, Lesson],
    settings: Settings,
    seed: int,
    *,
    folder: Path | None = None,
    every: int = 100,
    until: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Trains `model` in place with AdamW in float32; the same seed gives the same weights.

    Args:
        model: The model; float32.
        tokenizer: The tokenizer of the model.
        known: The lessons of the world.
        settings: Shape and courses.
        seed: Determines the documents.
        folder: Folder of the last checkpoint and `log.jsonl`, from which training resumes; nothing is written if None.
        every: Steps between two checkpoints.
        until: Number of steps of the schedule after which to stop; all if None.
        progress: Callback after every step.
    """
    optimizer = _optimizer(model, settings)
    start = 0 if folder is None else _resume(folder, model, optimizer)
    model.train()
    for step in range(start, settings.steps if until is None else until):
        for group in optimizer.param_groups:
            group["lr"] = rate(settings, step)
        ids_BT, weights_BT = rows(known, tokenizer, settings, seed, step)
        logits_BTV = model(input_ids=ids_BT, use_cache=False).logits
        weights_N = weights_BT[:, 1:].flatten()
        nll_N = F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none")
        loss = (nll_N * weights_N).sum() / weights_N.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if progress is not None:
            progress(step + 1, settings.steps, loss.item())
        if folder is not None:
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps({"step": step + 1, "loss": round(loss.item(), 5)}) + "\n")
            if (step + 1) % every == 0:
                _save(folder, model, optimizer, step + 1)
    model.eval()


def _optimizer(model: LlamaForCausalLM, settings: Settings) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.courses[0].lr, betas=(0.9, 0.98), fused=True)


def _save(folder: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Writes the weights, both moments of each and the step to one file, completely or not at all."""
    tensors = {f"weight.{name}": p.detach() for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        state = optimizer.state[p]
        tensors |= {f"first.{name}": state["exp_avg"], f"second.{name}": state["exp_avg_sq"]}
    partial = folder / "checkpoint.partial"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, {"step": str(step)})
    partial.rename(folder / "checkpoint.safetensors")


def _resume(folder: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> int:
    """Loads the weights and the optimizer from the checkpoint, and returns its step; 0 without a checkpoint."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(file.get_tensor(f"weight.{name}"))
                optimizer.state[p] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": file.get_tensor(f"first.{name}"),
                    "exp_avg_sq": file.get_tensor(f"second.{name}"),
                }
    log = folder / "log.jsonl"
    if log.exists():
        kept = log.read_text(encoding="utf-8").splitlines(keepends=True)[:step]
        log.write_text("".join(kept), encoding="utf-8")
    return step
