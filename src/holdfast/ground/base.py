"""The base of the demo: a very small Llama that has read the invented world, trained here in about a minute.

The base is a folder in the usual layout (model, tokenizer) with one more file, `base.json`, that says how it was made
and how well it knows what was held out of its training.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from holdfast.core.errors import HoldfastError
from holdfast.ground import sentences
from holdfast.ground.ask import ask
from holdfast.ground.sentences import World

Progress = Callable[[int, int, float], None]
"""Called after every step with the step (from 1), the number of steps and the step's loss in nats per token."""

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "base.json")
"""The files that a complete base has at least."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the base is made: the world it reads, its tokenizer, its shape and its training."""

    world: sentences.Settings = dataclasses.field(default_factory=sentences.Settings)
    vocabulary: int = 768
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    intermediate: int = 384
    window: int = 64
    batch: int = 32
    steps: int = 380
    lr: float = 5e-3
    warmup: float = 0.05
    decay: float = 0.05
    scored: int = 128


def build_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Returns a byte-level BPE tokenizer trained on `texts`; digits stand alone, and every text starts with BOS."""
    bpe = tokenizers.Tokenizer(models.BPE())
    splits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    bpe.pre_tokenizer = pre_tokenizers.Sequence(splits)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    start = (BOS, bpe.token_to_id(BOS))
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[start]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=BOS, eos_token=EOS, pad_token=PAD)


def build_model(settings: Settings, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Returns the untrained float32 model; leaves torch's random state as it was."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        intermediate_size=settings.intermediate,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: LlamaForCausalLM = LlamaForCausalLM(config).float()
    return model


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Returns the ids of each text, between BOS and EOS."""
    return [[*ids, int(tokenizer.eos_token_id)] for ids in tokenizer(list(texts))["input_ids"]]


def windows(documents: Sequence[Sequence[int]], length: int, pad: int, rng: random.Random) -> Iterator[torch.Tensor]:
    """Yields windows of `length` ids for ever: whole documents in shuffled order, the rest filled with `pad`."""
    order = list(range(len(documents)))
    row: list[int] = []
    while True:
        rng.shuffle(order)
        for index in order:
            document = documents[index][:length]
            if len(row) + len(document) > length:
                yield torch.tensor(row + [pad] * (length - len(row)))
                row = []
            row += document


def train(
    model: LlamaForCausalLM,
    documents: Sequence[Sequence[int]],
    settings: Settings,
    seed: int,
    progress: Progress | None = None,
    until: int | None = None,
) -> None:
    """Trains `model` in place on `documents` (token ids with BOS and EOS): AdamW, warm-up, cosine to zero.

    Args:
        model: The model; float32.
        documents: Token ids of each text.
        settings: Length, batch, steps and learning rate.
        seed: Decides the order of the documents.
        progress: Told of every step.
        until: Stops after this many steps of the schedule; all of them if None.
    """
    pad: Any = model.config.pad_token_id
    stream = windows(documents, settings.window, pad, random.Random(f"holdfast base {seed}"))
    vectors = [p for p in model.parameters() if p.dim() < 2]
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": settings.decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=True)
    warm = max(1, round(settings.warmup * settings.steps))
    model.train()
    for step in range(settings.steps if until is None else until):
        share = (step - warm) / max(1, settings.steps - warm)
        factor = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * factor
        ids_BT = torch.stack([next(stream) for _ in range(settings.batch)])
        logits_BTV = model(input_ids=ids_BT, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten(), ignore_index=pad)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if progress is not None:
            progress(step + 1, settings.steps, loss.item())
    model.eval()


def load_or_build(
    folder: str | Path, seed: int = 0, progress: Progress | None = None, settings: Settings | None = None
) -> Path:
    """Returns `folder`, which holds the base of this seed and these settings: as found, or built now.

    The base is written beside `folder` and moved into place once it is whole, so that a build that is interrupted
    leaves nothing that could be taken for a base. A base of another seed or other settings is replaced.

    Args:
        folder: Where the base is or is to be; its parent folders are made.
        seed: Decides the world, the first weights and the order of the texts.
        progress: Told of every training step; not called when the base is there already.
        settings: Size and training; those of the demo if None.

    Raises:
        HoldfastError: If `folder` holds something that is not a base, which is then left alone.
    """
    target, wanted = Path(folder), settings or Settings()
    key = fingerprint(wanted, seed)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        about = _about(target)
        if about is None:
            raise HoldfastError(f"{target}: holds something that is not a base of the demo; give another folder.")
        if about.get("key") == key and all((target / name).is_file() for name in FILES):
            return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        made, old = Path(scratch, "new"), Path(scratch, "old")
        _build(made, wanted, seed, key, progress)
        if target.exists():
            target.rename(old)
        made.rename(target)
    return target


def fingerprint(settings: Settings, seed: int) -> str:
    """Returns a hash of all that decides what the base knows: settings, seed and the texts it is trained on."""
    said = [dataclasses.asdict(settings), seed, World(seed, settings.world).pretraining()]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _about(folder: Path) -> dict[str, Any] | None:
    """Returns what `base.json` in `folder` says, or None where there is none that can be read."""
    try:
        about = json.loads((folder / "base.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


def _build(folder: Path, settings: Settings, seed: int, key: str, progress: Progress | None) -> None:
    world = World(seed, settings.world)
    texts = world.pretraining()
    tokenizer = build_tokenizer(texts, settings.vocabulary)
    model = build_model(settings, tokenizer, seed)
    train(model, encode(tokenizer, texts), settings, seed, progress)
    about = {
        "key": key,
        "seed": seed,
        "settings": dataclasses.asdict(settings),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "parameters": model.num_parameters(),
        "held_out": scores(model, tokenizer, world, settings.scored),
    }
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "base.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def scores(model: Any, tokenizer: Any, world: World, most: int) -> dict[str, dict[str, float]]:
    """Returns how well a model knows what is held out: up to `most` rows of each keep file and of the task's test.

    Under each name: `rows` asked, `nats` per supervised token and, where there is an answer to give, `exact_match`.
    """
    found: dict[str, dict[str, float]] = {}
    for name, rows in {**world.keep(), "new": world.task(sentences.TEST_WORDINGS)}.items():
        asked = random.Random(f"holdfast scores {name}").sample(rows, min(most, len(rows)))
        answers = ask(model, tokenizer, asked)
        found[name] = {"rows": len(asked), "nats": round(answers.mean_nats, 4)}
        if "prompt" in rows[0]:
            found[name]["exact_match"] = round(answers.exact_match, 4)
    return found
