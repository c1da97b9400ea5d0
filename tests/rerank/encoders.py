"""Very small random cross-encoders, rows for them, and trainers of sentence-transformers."""

from __future__ import annotations

import functools
import random
import tempfile
from pathlib import Path

import tokenizers
import torch
import transformers
from datasets import Dataset
from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from torch import nn

WORDS = [f"w{i}" for i in range(40)]


@functools.cache
def folder(seed: int = 0, dropout: float = 0.0) -> str:
    """The files of a random cross-encoder: two layers of width 16."""
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=48,
        initializer_range=0.4,
        num_labels=1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.BertForSequenceClassification(config)
    into = tempfile.mkdtemp()
    model.save_pretrained(into)
    tokenizer.save_pretrained(into)
    return into


def encoder(*, seed: int = 0, dropout: float = 0.0, double: bool = True) -> CrossEncoder:
    made = CrossEncoder(folder(seed, dropout), device="cpu", max_length=48)
    return made.double() if double else made


def text(draw: random.Random, longest: int = 6) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(2, longest)))


def pairs(count: int, *, seed: int = 0) -> list[dict]:
    draw = random.Random(seed)
    return [{"query": text(draw), "document": text(draw), "label": float(i % 3 == 0)} for i in range(count)]


def lists(count: int, *, seed: int = 0, documents: int = 4) -> list[dict]:
    draw = random.Random(seed)
    made = []
    for i in range(count):
        size = documents - i % 2  # of two lengths
        labels = [float(j == i % size) for j in range(size)]
        made.append({"query": text(draw), "documents": [text(draw) for _ in labels], "labels": labels})
    return made


def triples(count: int, *, seed: int = 0) -> list[dict]:
    draw = random.Random(seed)
    return [{"query": text(draw), "right": text(draw), "wrong": text(draw)} for _ in range(count)]


def trainer(model: CrossEncoder, rows: list[dict], out: Path, loss: nn.Module | None = None, **settings):
    settings = {
        "report_to": "none",
        "use_cpu": True,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.05,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "num_train_epochs": 1,
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "bf16": False,
        **settings,
    }
    return CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(output_dir=str(out), **settings),
        train_dataset=Dataset.from_list(rows),
        loss=loss,
    )


class WideListLoss(nn.Module):
    """Softmax cross-entropy over each list in the precision of the model; the library's own cast to float32."""

    def __init__(self, model: CrossEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs, labels, prompt=None, task=None):
        queries, documents = inputs
        asked = [(query, one) for query, several in zip(queries, documents, strict=True) for one in several]
        scores = self.model(self.model.preprocess(asked, prompt=prompt, task=task))["scores"].view(-1)
        parts = scores.split([len(several) for several in documents])
        losses = [-(z.log_softmax(0) * (y > 0)).sum() for z, y in zip(parts, labels, strict=True)]
        return torch.stack(losses).mean()


class WidePairLoss(nn.Module):
    """Binary cross-entropy of each pair in the precision of the model."""

    def __init__(self, model: CrossEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs, labels, prompt=None, task=None):
        scores = self.model(self.model.preprocess(list(zip(*inputs, strict=True)), prompt=prompt, task=task))["scores"]
        return nn.functional.binary_cross_entropy_with_logits(scores.view(-1), labels.to(scores.dtype))
