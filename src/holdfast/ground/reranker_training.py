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
from holdfast.rerank.collection import CandidateList

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
WORLDS = 2_000
"""Seed of the first world of the training; no split of a domain is drawn from these."""

MATCHING, MATCH = 2, 0.8
"""Number of layers in which a token begins by attending to its own copies, and the scale of their query weights, as a
multiple of one over the root of the width."""
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
        steps: Number of steps.
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
    steps: int = 2_000
    lists: int = 15
    documents: int = 6
    lr: float = 1e-3
    warmup: int = 150
    weight_decay: float = 0.01
    pointwise: float = 0.5


def build_tokenizer(settings: RerankerSettings, sample: int = 12) -> PreTrainedTokenizerFast:
    """Returns a tokenizer of words in lower case, trained on the domains of `sample` worlds."""
    texts: list[str] = []
    for world in range(WORLDS, WORLDS + sample):
        for domain in DOMAINS:
            drawn = draw(domain, world, most=PER_WORLD)
            texts += [query.text for query in drawn.queries.values()]
            texts += [document.content for document in drawn.documents.values()]
    words = tokenizers.Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [PAD, UNKNOWN, START, END, MASK]
    words.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=settings.vocabulary, special_tokens=special, show_progress=False)
    )
    ends = [(END, words.token_to_id(END)), (START, words.token_to_id(START))]
    words.post_processor = processors.BertProcessing(*ends)
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


def build_model(settings: RerankerSettings, tokenizer: PreTrainedTokenizerFast, seed: int) -> Any:
    """Returns the untrained float32 model; the random state of torch does not change.

    The keys of the first layers begin as copies of the queries, so that a token attends to its own copies from the
    start. Finding the words of the query in the document is what a cross-encoder must learn first.
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
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config).float()
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.mul_(3)  # what a token is counts for more than where it stands
        model.bert.embeddings.token_type_embeddings.weight.mul_(2)
        for layer in model.bert.encoder.layer[:MATCHING]:
            attention = layer.attention.self
            attention.query.weight.mul_(MATCH / 0.02 / math.sqrt(settings.hidden))
            attention.key.weight.copy_(attention.query.weight)
    return model


def lists(settings: RerankerSettings, seed: int) -> Iterator[CandidateList]:
    """Yields lists without end, each of the next domain: a relevant document first, then others of its candidates."""
    rng = rng_of(seed, "reranker lists")
    streams = [_of_domain(domain, settings, random.Random(rng.random())) for domain in GENERAL]
    while True:
        yield from (next(stream) for stream in streams)


def _of_domain(domain: str, settings: RerankerSettings, rng: random.Random) -> Iterator[CandidateList]:
    world = WORLDS
    while True:
        entries = draw(domain, world, most=PER_WORLD).lists()
        world += 1
        rng.shuffle(entries)
        for entry in entries:
            relevant = list(entry.positives)
            others = [place for place in range(len(entry.labels)) if place not in relevant]
            chosen = [rng.choice(relevant), *rng.sample(others, min(len(others), settings.documents - 1))]
            documents = tuple(entry.documents[place] for place in chosen)
            yield CandidateList(entry.query, documents, (1.0, *[0.0] * (len(chosen) - 1)))


def batch(tokenizer: PreTrainedTokenizerFast, chosen: Sequence[CandidateList]) -> tuple[dict[str, Tensor], Tensor]:
    """Returns the tokens of all pairs of some lists, and the labels, `[lists, documents]`, of lists of one length."""
    pairs = [(entry.query, document) for entry in chosen for document in entry.documents]
    tokens = tokenizer([q for q, _ in pairs], [d for _, d in pairs], padding=True, truncation=True, return_tensors="pt")
    return dict(tokens), torch.tensor([entry.labels for entry in chosen])


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
        self.stream = (entry for entry in lists(settings, seed) if len(entry.documents) == settings.documents)

    def step(self, step: int) -> float:
        """Makes one step, the first being 0, and returns its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.settings, step)
        self.model.train()
        tokens, labels_LD = batch(self.tokenizer, [next(self.stream) for _ in range(self.settings.lists)])
        scores_LD = self.model(**tokens).logits.view(labels_LD.shape)
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
