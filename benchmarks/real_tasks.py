"""Tasks and kept suites of the study on real models, made of public sets in the folder that HOLDFAST_SUITES names.

A task is a list of rows to learn and a list of items that show what was learned, in questions that no row asks in the
same words. A model with a chat template reads a question; a model without one continues "Question: ... Answer:".
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from holdfast.general.names import KINDS
from holdfast.general.names import items as general_items
from holdfast.probes.items import Item, item_of
from holdfast.suites.named import items_of

Record = dict[str, Any]
LANGUAGE = "isl_Latn"
"""Icelandic, of which a small English model knows little."""
INTENTS, EACH = 40, 12
"""Intents of the task of labels, and rows of each."""
KIND_ITEMS = 40
"""Items of each kind of `general`."""
TEXT_CHARACTERS = 600


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of the study.

    Attributes:
        rows: Rows to learn: `prompt` and `completion`, or `messages` and `tools`.
        items: Items that show what was learned.
        epochs: Passes over the rows.
    """

    rows: Sequence[Record]
    items: Sequence[Item]
    epochs: int


def folder() -> Path:
    """Returns the folder of public sets."""
    return Path(os.environ["HOLDFAST_SUITES"])


def records(name: str) -> list[Record]:
    """Returns the records of a file of the folder: lines of JSON, in gzip or not."""
    path = folder() / name
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def in_hash_order(values: Iterable[Any], key: Callable[[Any], str] = str) -> list[Any]:
    """Returns values in the order of a hash, the same on every machine."""
    return sorted(values, key=lambda value: hashlib.blake2b(key(value).encode(), digest_size=8).digest())


def asked(question: str, chat: bool) -> str:
    """Returns a question as a model reads it in a row."""
    return question if chat else f"Question: {question}\nAnswer:"


def row(question: str, answer: str, chat: bool) -> Record:
    """Returns a row that teaches an answer."""
    return {"prompt": asked(question, chat), "completion": answer if chat else f" {answer}"}


def question(suite: str, name: str, text: str, group: str = "", **how: Any) -> Item:
    """Returns an item in both forms: for a chat model, and for one that continues a text."""
    plain = asked(text, chat=False)
    record = {"id": name, "suite": suite, "group": group or name, "prompt": text, "plain": plain, **how}
    return item_of(record, suite)


def facts(chat: bool) -> Task:
    """Invented authors (TOFU): 200 questions of ten authors, asked again in other words, six choices."""
    perturbed = [record for record in records("tofu/forget10_perturbed.jsonl.gz") if record["id"] >= 3800]
    rows = [row(record["question"], record["answer"], chat) for record in perturbed]
    items = [
        question("facts", str(record["id"]), record["paraphrased_question"],
                 choices=[record["paraphrased_answer"], *record["perturbed_answer"]])
        for record in perturbed
    ]  # fmt: skip
    return Task(rows, items, epochs=4)


def labels(chat: bool) -> Task:
    """Intents of short messages (CLINC150): 40 labels that the model writes."""
    with gzip.open(folder() / "clinc150/data_full.json.gz", "rt", encoding="utf-8") as file:
        sets = json.load(file)
    intents = in_hash_order({label for _, label in sets["train"]})[:INTENTS]

    def some(part: str, count: int) -> list[tuple[str, str]]:
        by_label: dict[str, list[str]] = {label: [] for label in intents}
        for text, label in sets[part]:
            if label in by_label:
                by_label[label].append(text)
        return [(text, label) for label in intents for text in in_hash_order(by_label[label])[:count]]

    def ask(text: str) -> str:
        return f"What is the intent of this message? Answer with the name of the intent.\n{text}"

    rows = [row(ask(text), label.replace("_", " "), chat) for text, label in some("train", EACH)]
    items = [
        question("labels", f"{label}/{place}", ask(text), answer=label.replace("_", " "),
                 check={"exact": label.replace("_", " ")}, max_tokens=8)
        for place, (text, label) in enumerate(some("test", 5))
    ]  # fmt: skip
    return Task(rows, items, epochs=2)


def science(chat: bool) -> Task:
    """Questions of biomedical papers (PubMedQA) with the end of the abstract: yes, no or maybe."""

    def ask(record: Record) -> str:
        return f"{record['contexts'][-1][-TEXT_CHARACTERS:]}\n{record['question']} Answer yes, no or maybe."

    chosen = in_hash_order(records("pubmedqa/pqa_labeled.jsonl.gz"), lambda record: str(record["pmid"]))
    learned, tested = chosen[:240], chosen[240:480]
    rows = [row(ask(record), record["answer"], chat) for record in learned]
    items = [
        question("science", str(record["pmid"]), ask(record),
                 choices=[record["answer"], *(word for word in ("yes", "no", "maybe") if word != record["answer"])])
        for record in tested
    ]  # fmt: skip
    return Task(rows, items, epochs=2)


def language(chat: bool) -> Task:
    """English into Icelandic (FLORES-200): which of four sentences is the translation?"""
    pairs = in_hash_order(records("flores200/dev.jsonl.gz"), lambda record: str(record["eng_Latn"]))
    learned, tested = pairs[:240], pairs[240:400]

    def ask(record: Record) -> str:
        return f"Translate into Icelandic: {record['eng_Latn']}"

    rows = [row(ask(record), record[LANGUAGE], chat) for record in learned]
    items = []
    for place, record in enumerate(tested):
        near = sorted(tested, key=lambda other: abs(len(other[LANGUAGE]) - len(record[LANGUAGE])))
        wrong = [other[LANGUAGE] for other in near if other is not record][:3]
        items.append(question("language", str(place), ask(record), choices=[record[LANGUAGE], *wrong]))
    return Task(rows, items, epochs=2)


def mathematics(chat: bool) -> Task:
    """Problems in words with worked answers (GSM8K)."""
    learned = in_hash_order(records("gsm8k/train.jsonl.gz"), lambda record: str(record["question"]))[:240]
    rows = [row(record["question"], record["answer"], chat) for record in learned]
    items = [dataclasses.replace(item, suite="mathematics", max_tokens=160) for item in items_of("gsm8k:100") or []]
    return Task(rows, items, epochs=2)


def tools(chat: bool) -> Task:
    """Calls of tools with a schema (Seal-Tools), for a model whose chat template takes tools."""

    def short(name: str) -> list[Record]:
        one_call = [r for r in records(name) if len(r["messages"]) == 2 and len(r["messages"][1]["tool_calls"]) == 1]
        return in_hash_order((r for r in one_call if len(json.dumps(r["tools"])) < 2400), lambda r: str(r["id"]))

    rows = [{"messages": r["messages"], "tools": r["tools"]} for r in short("tools/seal_train.jsonl.gz")[:120]]
    items = []
    for record in short("tools/seal_test.jsonl.gz")[:80]:
        call = record["messages"][1]["tool_calls"][0]["function"]
        asks = {"prompt": record["messages"][0]["content"], "tools": record["tools"], "max_tokens": 80}
        check = {"call": {"name": call["name"], "arguments": call["arguments"]}}
        items.append(
            item_of({"id": record["id"], "suite": "tools", "group": record["id"], "check": check, **asks}, "tools")
        )
    return Task(rows, items, epochs=1)


TASKS: dict[str, Callable[[bool], Task]] = {
    "facts": facts,
    "labels": labels,
    "science": science,
    "mathematics": mathematics,
    "language": language,
    "tools": tools,
}
ONLY_CHAT = ("mathematics", "tools")
"""Tasks for a model with a chat template alone; the other model does nothing of them."""


def kept(chat: bool, task: str) -> list[Item]:
    """Returns the items whose loss is measured; `general/tools` is not kept where tools are the task."""
    items = [
        item
        for kind in KINDS
        if kind != task
        for item in in_hash_order(general_items(kind), lambda item: item.id)[:KIND_ITEMS]
    ]
    names = ["arc_easy:100", "hellaswag:50", "blimp:200", "lambada:150", "truthfulqa_mc1:40"]
    if chat:
        names = ["arc_easy:100", "hellaswag:40", "blimp:200", "lambada:80", "truthfulqa_mc1:30", "xstest:60"]
    for name in names:
        items += items_of(name) or []
    if chat:
        # lm-eval lets an answer run to 1,280 tokens; the instructions that need many words are left out.
        short = [item for item in items_of("ifeval") or [] if "words" not in json.dumps(dict(item.check))]
        items += [dataclasses.replace(item, max_tokens=160) for item in in_hash_order(short, lambda i: i.id)[:20]]
    return items


def texts() -> list[Record]:
    """Returns paragraphs of Wikipedia whose likelihood is measured."""
    with gzip.open(folder() / "wikitext2/valid.txt.gz", "rt", encoding="utf-8") as file:
        paragraphs = [line.strip() for line in file if len(line) > TEXT_CHARACTERS // 2]
    return [{"text": text[:TEXT_CHARACTERS]} for text in in_hash_order(paragraphs)[:30]]


def old(chat: bool) -> list[Record]:
    """Returns general instructions that people wrote (Dolly): old examples to rehearse."""
    chosen = [record for record in records("instruct/dolly_4997.jsonl.gz") if not record["context"]]
    short = [record for record in chosen if len(record["response"]) < TEXT_CHARACTERS]
    ordered = in_hash_order(short, lambda record: str(record["instruction"]))[:500]
    return [row(record["instruction"], record["response"], chat) for record in ordered]
