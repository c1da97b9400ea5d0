"""Trains the reranker that comes with the package: a small BERT cross-encoder on the general domains of many worlds."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from holdfast.ground.retrieval import DOMAINS, GENERAL, draw
from holdfast.ground.world import rng_of

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
WORLDS = 2_000
"""Seed of the first world of the training; no split of a domain is drawn from these."""

TOGETHER = 30
"""Number of pairs of similar lengths in a forward pass."""
PER_WORLD = 200
"""Most queries of a domain in one world; a new world has other names."""


@dataclasses.dataclass(frozen=True)
class RerankerSettings:
    """The shape and training settings of the reranker.

    Attributes:
        vocabulary: Number of tokens.
        hidden: Width.
        layers: Number of layers.
        heads: Number of heads.
        intermediate: Width of the feed-forward parts.
        positions: Most tokens of a pair.
        steps: Number of steps of the schedule of the learning rate.
        until: Number of steps after which to stop: earlier than the schedule, so that scores leave room both ways.
        lists: Number of queries of a step.
        documents: Number of documents of a query: one that is relevant, the others not.
        lr: Highest learning rate.
        warmup: Number of steps of its linear rise; a cosine falls to a twentieth behind it.
        weight_decay: Decay of the matrices.
        pointwise: Weight of the binary cross-entropy beside the listwise loss; it keeps scores comparable over queries.
    """

    vocabulary: int = 2_000
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    intermediate: int = 256
    positions: int = 192
    steps: int = 1_400
    until: int = 700
    lists: int = 15
    documents: int = 6
    lr: float = 1e-3
    warmup: int = 60
    weight_decay: float = 0.01
    pointwise: float = 0.5


def build_tokenizer(settings: RerankerSettings, sample: int = 12) -> PreTrainedTokenizerFast:
    """Returns a tokenizer of words in lower case, trained on the domains of `sample` worlds; a function of these."""
    texts: list[str] = []
    for world in range(WORLDS, WORLDS + sample):
        for domain in DOMAINS:
            drawn = draw(domain, world, most=PER_WORLD)
            texts += [query.text for query in drawn.queries.values()]
            texts += [document.content for document in drawn.documents.values()]
    trained = _words(models.WordPiece(unk_token=UNKNOWN))
    # The trainer numbers the letters inside words in the order of a hash map, which differs from run to run, and ties
    # between merges follow these numbers. Letters that are given to it keep their order.
    special = [PAD, UNKNOWN, START, END, MASK]
    letters = sorted({letter for text in texts for letter in text.lower() if not letter.isspace()})
    trained.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=settings.vocabulary,
            special_tokens=[*special, *(f"##{letter}" for letter in letters)],
            show_progress=False,
        ),
    )
    words = _words(models.WordPiece(trained.get_vocab(), unk_token=UNKNOWN))
    words.post_processor = processors.BertProcessing((END, special.index(END)), (START, special.index(START)))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=START,
        sep_token=END,
        mask_token=MASK,
        model_max_length=settings.positions,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _words(model: models.WordPiece) -> tokenizers.Tokenizer:
    words = tokenizers.Tokenizer(model)
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return words


def build_model(settings: RerankerSettings, tokenizer: PreTrainedTokenizerFast, seed: int) -> Any:
    """Returns the untrained float32 model; the random state of torch does not change.

    The keys of the first layer begin as copies of the queries, so that a token attends to its own copies at once.
    Finding the words of the query in the document is what a cross-encoder must learn first.
    """
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.intermediate,
        max_position_embeddings=settings.positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=settings.hidden**-0.5,  # with BERT's 0.02, made for 768, attention would add next to nothing
        id2label={0: "LABEL_0"},  # one score
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config).float()
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.mul_(3)  # what a token is counts for more than where it stands
        model.bert.embeddings.token_type_embeddings.weight.mul_(2)
        attention = model.bert.encoder.layer[0].attention.self
        attention.key.weight.copy_(attention.query.weight)
    return model


def lists(settings: RerankerSettings, seed: int) -> Iterator[tuple[str, ...]]:
    """Yields lists without end, each of the next domain: a query, a relevant document, and others of its candidates."""
    rng = rng_of(seed, "reranker lists")
    streams = [_of_domain(domain, settings, random.Random(rng.random())) for domain in GENERAL]
    while True:
        yield from (next(stream) for stream in streams)


def _of_domain(domain: str, settings: RerankerSettings, rng: random.Random) -> Iterator[tuple[str, ...]]:
    world = WORLDS
    while True:
        entries = draw(domain, world, most=PER_WORLD).lists()
        world += 1
        rng.shuffle(entries)
        for entry in entries:
            others = [place for place, label in enumerate(entry.labels) if label == 0]
            if len(others) >= settings.documents - 1:
                places = [rng.choice(entry.positives), *rng.sample(others, settings.documents - 1)]
                yield entry.query, *(entry.documents[place] for place in places)


def scores_of(model: Any, tokenizer: PreTrainedTokenizerFast, chosen: Sequence[tuple[str, ...]]) -> Tensor:
    """Returns the scores of lists, `[lists, documents]`; pairs of similar lengths are read together."""
    pairs = [(query, document) for query, *documents in chosen for document in documents]
    ids = tokenizer([query for query, _ in pairs], [document for _, document in pairs], truncation=True)
    order = sorted(range(len(pairs)), key=lambda place: len(ids["input_ids"][place]))
    scores: list[Tensor] = []
    for start in range(0, len(order), TOGETHER):
        rows = {name: [values[place] for place in order[start : start + TOGETHER]] for name, values in ids.items()}
        scores.append(model(**tokenizer.pad(rows, return_tensors="pt", verbose=False)).logits.squeeze(-1))
    return torch.cat(scores)[torch.tensor(order).argsort()].view(len(chosen), -1)


def loss_of(scores_LD: Tensor, labels_LD: Tensor, pointwise: float) -> Tensor:
    """Returns the listwise cross-entropy of the relevant document, plus `pointwise` times the binary one of each."""
    listwise = -(torch.log_softmax(scores_LD, dim=-1) * labels_LD).sum(-1).mean()
    return listwise + pointwise * F.binary_cross_entropy_with_logits(scores_LD, labels_LD)


def rate(settings: RerankerSettings, step: int) -> float:
    """Returns the learning rate of a step, from 0: a linear rise, then a cosine to a twentieth."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.lr * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


class Training:
    """The training of a reranker with AdamW in float32; the same seed gives the same weights on the same machine.

    Attributes:
        model: The model, trained in place.
    """

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerFast, settings: RerankerSettings, seed: int) -> None:
        """Prepares the optimizer and the stream of lists."""
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        matrices = [p for p in model.parameters() if p.dim() >= 2]
        vectors = [p for p in model.parameters() if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=True)
        self.stream = lists(settings, seed)

    def step(self, step: int) -> float:
        """Makes one step, the first being 0, and returns its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.settings, step)
        self.model.train()
        chosen = [next(self.stream) for _ in range(self.settings.lists)]
        scores_LD = scores_of(self.model, self.tokenizer, chosen)
        labels_LD = torch.zeros_like(scores_LD)
        labels_LD[:, 0] = 1.0
        loss = loss_of(scores_LD, labels_LD, self.settings.pointwise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.model.eval()
        return loss.item()

    def save(self, folder: Path, step: int) -> None:
        """Writes the weights, both moments of each and the step to one file, completely or not at all."""
        tensors = {f"weight.{name}": p.detach() for name, p in self.model.named_parameters()}
        for name, p in self.model.named_parameters():
            state = self.optimizer.state[p]
            tensors |= {f"first.{name}": state["exp_avg"], f"second.{name}": state["exp_avg_sq"]}
        partial = folder / "checkpoint.partial"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, {"step": str(step)})
        partial.rename(folder / "checkpoint.safetensors")

    def resume(self, folder: Path) -> int:
        """Loads weights and optimizer from the checkpoint of a folder, and returns its step; 0 without one."""
        path = folder / "checkpoint.safetensors"
        if not path.exists():
            return 0
        with safe_open(path, "pt") as file, torch.no_grad():
            step = int(file.metadata()["step"])
            for name, p in self.model.named_parameters():
                p.copy_(file.get_tensor(f"weight.{name}"))
                self.optimizer.state[p] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": file.get_tensor(f"first.{name}"),
                    "exp_avg_sq": file.get_tensor(f"second.{name}"),
                }
        for _ in range(step * self.settings.lists):  # what was trained on does not come again
            next(self.stream)
        return step
