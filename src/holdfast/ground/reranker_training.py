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
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from holdfast.ground.retrieval import DOMAINS, GENERAL, Told, draw
from holdfast.ground.world import World, rng_of

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
WORLDS = 2_000
"""Seed of the first world of the training; no split of a domain is drawn from these."""

MATCHING, MATCH = 2, 0.8
"""Number of layers in which a token begins by attending to its own copies, and the scale of their query weights, as a
multiple of one over the root of the width."""
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
        steps: Number of steps.
        lists: Number of queries of a step.
        documents: Number of documents of a query: one that is relevant, the others not.
        lr: Highest learning rate.
        warmup: Number of steps of its linear rise; a cosine falls to a twentieth behind it.
        weight_decay: Decay of the matrices.
        pointwise: Weight of the binary cross-entropy beside the listwise loss; it keeps scores comparable over queries.
        tags: Weight of the auxiliary loss of `read`; its head is not part of the reranker.
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
    tags: float = 2.0


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


@dataclasses.dataclass(frozen=True)
class Lesson:
    """A query to train on: its documents, the relevant one first, and what their sentences say.

    Attributes:
        query: The query.
        documents: The documents.
        says: For each document and each of its sentences, whether it is about the right thing, and whether it states
            the right relation.
    """

    query: str
    documents: tuple[str, ...]
    says: tuple[tuple[tuple[bool, bool], ...], ...]


def lessons(settings: RerankerSettings, seed: int) -> Iterator[Lesson]:
    """Yields lessons without end, each of the next domain."""
    rng = rng_of(seed, "reranker lessons")
    streams = [_of_domain(domain, settings, random.Random(rng.random())) for domain in GENERAL]
    while True:
        yield from (next(stream) for stream in streams)


def _of_domain(domain: str, settings: RerankerSettings, rng: random.Random) -> Iterator[Lesson]:
    world = WORLDS
    while True:
        drawn = rng_of(world, f"rerank {domain}")
        told = Told(domain, World(world), drawn)
        world += 1
        asked = told.asked(drawn, False, PER_WORLD)
        for query in rng.sample(asked.judged, len(asked.judged)):
            relevant = sorted(asked.relevant(query))
            others = [at for at in asked.candidates[query] if at not in relevant]
            if len(others) < settings.documents - 1:
                continue
            chosen = [rng.choice(relevant), *rng.sample(others, settings.documents - 1)]
            thing, relation = told.facts[int(query.rpartition("q")[2])]
            says = [tuple((name == thing.name, of == relation) for name, of in told.said[at]) for at in chosen]
            texts = tuple(told.documents[at].content for at in chosen)
            yield Lesson(asked.queries[query].text, texts, tuple(says))


@dataclasses.dataclass(frozen=True)
class Read:
    """What the model makes of some lessons.

    Attributes:
        scores_LD: The scores of all documents, `[lessons, documents]`.
        tags: The auxiliary loss.
    """

    scores_LD: Tensor
    tags: Tensor


def read(model: Any, tagger: nn.Linear, tokenizer: PreTrainedTokenizerFast, chosen: Sequence[Lesson]) -> Read:
    """Returns the scores of lessons and the loss of their tags; pairs of similar lengths are read together.

    The tags say of each token of a document whether its sentence is about the thing, states the relation, and both.
    They teach where to look; scores alone taught nothing in hundreds of steps, because a document is relevant by two
    conditions together.
    """
    pairs = [
        (lesson.query, text, says)
        for lesson in chosen
        for text, says in zip(lesson.documents, lesson.says, strict=True)
    ]
    ids = tokenizer([query for query, _, _ in pairs], [text for _, text, _ in pairs], truncation=True)
    order = sorted(range(len(pairs)), key=lambda place: len(ids["input_ids"][place]))
    stop = tokenizer.convert_tokens_to_ids(".")
    scores, tags, count = list[Tensor](), list[Tensor](), 0
    for start in range(0, len(order), TOGETHER):
        places = order[start : start + TOGETHER]
        rows = tokenizer.pad(
            {name: [values[place] for place in places] for name, values in ids.items()},
            return_tensors="pt",
            verbose=False,
        )
        hidden_BTD = model.bert(**rows).last_hidden_state
        scores.append(model.classifier(model.bert.pooler(hidden_BTD)).squeeze(-1))
        wanted_BT3 = torch.zeros(*rows["input_ids"].shape, 3)
        in_text_BT = rows["token_type_ids"].bool() & rows["attention_mask"].bool()
        sentence_BT = ((rows["input_ids"] == stop) & in_text_BT).cumsum(-1).roll(1, -1)
        for row, place in enumerate(places):
            for number, (thing, relation) in enumerate(pairs[place][2]):
                at = in_text_BT[row] & (sentence_BT[row] == number)
                wanted_BT3[row, at] = torch.tensor([thing, relation, thing and relation]).float()
        found = tagger(hidden_BTD[in_text_BT])
        tags.append(F.binary_cross_entropy_with_logits(found, wanted_BT3[in_text_BT], reduction="sum"))
        count += found.numel()
    back = torch.tensor(order).argsort()
    return Read(torch.cat(scores)[back].view(len(chosen), -1), torch.stack(tags).sum() / count)


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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.tagger = nn.Linear(settings.hidden, 3)
        self.tag_loss = 0.0
        matrices = [p for _, p in self._named() if p.dim() >= 2]
        vectors = [p for _, p in self._named() if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=True)
        self.stream = lessons(settings, seed)

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        """Returns all trained parameters with their names."""
        return [*self.model.named_parameters(), *(("tagger." + name, p) for name, p in self.tagger.named_parameters())]

    def step(self, step: int) -> float:
        """Makes one step, the first being 0, and returns its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.settings, step)
        self.model.train()
        chosen = [next(self.stream) for _ in range(self.settings.lists)]
        seen = read(self.model, self.tagger, self.tokenizer, chosen)
        labels_LD = torch.zeros_like(seen.scores_LD)
        labels_LD[:, 0] = 1.0
        loss = loss_of(seen.scores_LD, labels_LD, self.settings.pointwise)
        (loss + self.settings.tags * seen.tags).backward()
        self.tag_loss = seen.tags.item()
        torch.nn.utils.clip_grad_norm_([p for _, p in self._named()], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.model.eval()
        return loss.item()

    def save(self, folder: Path, step: int) -> None:
        """Writes the weights, both moments of each and the step to one file, completely or not at all."""
        tensors = {f"weight.{name}": p.detach() for name, p in self._named()}
        for name, p in self._named():
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
            for name, p in self._named():
                p.copy_(file.get_tensor(f"weight.{name}"))
                self.optimizer.state[p] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": file.get_tensor(f"first.{name}"),
                    "exp_avg_sq": file.get_tensor(f"second.{name}"),
                }
        for _ in range(step * self.settings.lists):  # what was trained on does not come again
            next(self.stream)
        return step
