"""Trains a general cross-encoder from a sentence encoder, for the study of rerankers (`benchmarks/rerank.py`).

    python benchmarks/rerank_base.py [--steps 200] [--lists 4] [--out ~/.cache/holdfast-models/minilm-reranker]

It reads the encoder `minilm` of $HOLDFAST_MODELS (22 M parameters; by default below ~/.cache/holdfast-models), and the
questions of `rerank/squad_train` in $HOLDFAST_SUITES. A training row is a question with one relevant paragraph, two of
its best 20 by BM25 and a random one, each cut to a window of 48 words (around the answer, where it has one). The loss
of a row is the cross-entropy of the relevant paragraph among its four, plus the mean binary cross-entropy of the four.
The embeddings stay frozen. 200 steps take about 13 minutes of one core (AVX2, no other load).

Resumable: it saves its state every 20 steps, and a second call continues from there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import time
from pathlib import Path
from typing import Any

import bm25s
import safetensors.torch
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

HOME = Path.home() / ".cache" / "holdfast-models"
WORDS, HARD, LONGEST, EVERY, SEED = 48, 20, 96, 20, 0
RATE, WARM = 1.5e-4, 30


def rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a compressed file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def window(text: str, answer: str, draw: random.Random) -> str:
    """Returns at most `WORDS` words of a text in a row, which contain the answer if the text does."""
    words = text.split()
    spare = len(words) - WORDS
    if spare <= 0:
        return text
    at = text.find(answer) if answer else -1
    low, high = 0, spare
    if at >= 0:
        first = len(text[:at].split())
        last = first + len(answer.split())
        low, high = max(0, min(last + 1 - WORDS, spare)), min(spare, max(0, first - 1))
    start = draw.randint(min(low, high), max(low, high))
    return " ".join(words[start : start + WORDS])


class Lists:
    """The training rows: questions with their paragraphs, drawn by step."""

    def __init__(self, folder: Path) -> None:
        """Reads the collection and searches each question with BM25."""
        corpus = rows(folder / "corpus.jsonl.gz")
        self.queries = rows(folder / "queries.jsonl.gz")
        self.texts = [f"{row['title']} {row['text']}".strip() for row in corpus]
        place = {row["_id"]: i for i, row in enumerate(corpus)}
        lines = (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]
        self.relevant = {query: place[document] for query, document, _ in (line.split("\t") for line in lines)}
        search = bm25s.BM25()
        search.index(bm25s.tokenize(self.texts, stopwords="en", show_progress=False), show_progress=False)
        asked = bm25s.tokenize([row["text"] for row in self.queries], stopwords="en", show_progress=False)
        self.best = search.retrieve(asked, k=HARD, show_progress=False).documents.tolist()
        self.order = list(range(len(self.queries)))
        random.Random(SEED).shuffle(self.order)

    def of_step(self, step: int, count: int) -> list[tuple[str, list[str]]]:
        """Returns `count` questions, each with four paragraphs, the relevant one first."""
        draw, found = random.Random(SEED * 1_000_003 + step), []
        for i in range(step * count, (step + 1) * count):
            number = self.order[i % len(self.order)]
            query = self.queries[number]
            right = self.relevant[query["_id"]]
            hard = draw.sample([document for document in self.best[number] if document != right], 2)
            documents = [right, *hard, draw.choice([i for i in draw.sample(range(len(self.texts)), 4) if i != right])]
            texts = [
                window(self.texts[document], query["answer"] if document == right else "", draw)
                for document in documents
            ]
            found.append((query["text"], texts))
        return found


def save(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Writes the state of the training, each file whole."""
    folder.mkdir(parents=True, exist_ok=True)
    moments = {
        f"{i}.{name}": value for i, state in optimizer.state_dict()["state"].items() for name, value in state.items()
    }
    for name, tensors in (("model", dict(model.state_dict())), ("optimizer", moments)):
        apart = folder / f"{name}-{step}.tmp"
        safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, apart)
        os.replace(apart, folder / f"{name}-{step}.safetensors")
    apart = folder / "step.tmp"
    apart.write_text(json.dumps({"step": step}), encoding="utf-8")
    os.replace(apart, folder / "step.json")
    for old in folder.glob("*.safetensors"):
        if not old.stem.endswith(f"-{step}"):
            old.unlink()


def resume(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Reads a saved state; returns the number of finished steps."""
    if not (folder / "step.json").exists():
        return 0
    step = int(json.loads((folder / "step.json").read_text(encoding="utf-8"))["step"])
    model.load_state_dict(safetensors.torch.load_file(folder / f"model-{step}.safetensors"))
    state: dict[int, dict[str, Any]] = {}
    for key, value in safetensors.torch.load_file(folder / f"optimizer-{step}.safetensors").items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return step


def main() -> None:
    """Trains, and saves a cross-encoder."""
    told = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    told.add_argument("--steps", type=int, default=200)
    told.add_argument("--lists", type=int, default=4, help="questions of a step")
    told.add_argument("--out", type=Path, default=HOME / "minilm-reranker")
    told.add_argument("--base", type=Path, default=Path(os.environ.get("HOLDFAST_MODELS", HOME)) / "minilm")
    told.add_argument(
        "--data", type=Path, default=Path(os.environ.get("HOLDFAST_SUITES", ".")) / "rerank" / "squad_train"
    )
    given = told.parse_args()
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(given.base)
    model = AutoModelForSequenceClassification.from_pretrained(given.base, num_labels=1, dtype=torch.float32)
    model.base_model.embeddings.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01)
    lists, folder = Lists(given.data), given.out.with_name(given.out.name + "-training")
    begun = resume(folder, model, optimizer)
    model.train()
    losses, right, since = [], [], time.time()
    for step in range(begun, given.steps):
        torch.manual_seed(SEED * 1_000_003 + step)  # so that a resumed run draws the same dropout
        for group in optimizer.param_groups:
            share = (step - WARM) / max(given.steps - WARM, 1)
            group["lr"] = RATE * ((step + 1) / WARM if step < WARM else 0.5 * (1 + math.cos(math.pi * share)))
        asked = lists.of_step(step, given.lists)
        pairs = [(query, text) for query, texts in asked for text in texts]
        batch = tokenizer(
            *map(list, zip(*pairs, strict=True)), truncation=True, max_length=LONGEST, padding=True, return_tensors="pt"
        )
        scores_QD = model(**batch).logits.view(given.lists, 4)
        wanted_QD = torch.zeros_like(scores_QD)
        wanted_QD[:, 0] = 1.0
        loss = torch.nn.functional.cross_entropy(scores_QD, torch.zeros(given.lists, dtype=torch.int64))
        loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(scores_QD, wanted_QD)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        right.append(float((scores_QD.argmax(-1) == 0).float().mean()))
        if (step + 1) % EVERY == 0 or step + 1 == given.steps:
            save(folder, model, optimizer, step + 1)
            print(
                f"step {step + 1}: loss {sum(losses) / len(losses):.3f}, relevant first {sum(right) / len(right):.2f},"
                f" {time.process_time():.0f} CPU s, {time.time() - since:.0f} s",
                flush=True,
            )
            losses, right = [], []
    model.save_pretrained(folder / "whole")
    tokenizer.save_pretrained(folder / "whole")
    from sentence_transformers import CrossEncoder

    CrossEncoder(str(folder / "whole"), max_length=256, device="cpu").save_pretrained(str(given.out))
    print(f"saved {given.out}", flush=True)


if __name__ == "__main__":
    main()
