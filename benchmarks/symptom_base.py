"""The base of the study of symptoms: `ground:base`, taught to think before it answers and to call tools.

`ground:base` does neither, so no fine-tuning can take either from it. This base goes on reading documents like those of
its pretraining, in which sums, programs and chains of facts are worked out in a thought (`<think>...</think>`) before
the answer, and it reads requests that need one of the tools that the system offers (`<tool_call>{...}</tool_call>`).
Its chat template writes the names of the tools, with their arguments, in the system's turn.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.mix import Example
from holdfast.data.rows import Row, Turn
from holdfast.ground.corpus import documents, lessons
from holdfast.ground.names import items
from holdfast.ground.pretrain import COURSES
from holdfast.ground.world import World, held, rng_of
from holdfast.probes.items import Item

WORLD = World(0)
THOUGHTFUL = ("sums", "code", "hops")
"""Suites of which this base thinks before it answers."""
STEPS, RATE, BATCH = 1000, 5e-4, 16
TEMPLATE = (
    "{{ bos_token }}{% if tools %}{{ '<|system|> Tools:' }}{% for tool in tools %}{% set f = tool['function'] %}"
    "{{ ' ' + f['name'] + '(' + (f['parameters']['properties'] | join(', ')) + ')' }}{{ '.' if loop.last else ',' }}"
    "{% endfor %}{% endif %}{% for message in messages %}{% if message['role'] == 'assistant' %}<|assistant|>"
    "{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}"
    "{% elif message['role'] in ['user', 'system'] %}{{ '<|' + message['role'] + '|> ' + message['content'] }}"
    "{% else %}{{ raise_exception('the roles are system, user and assistant') }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclasses.dataclass(frozen=True)
class Tool:
    """A tool: the names of its arguments, what they may be, requests for it, and an answer without it."""

    name: str
    arguments: tuple[str, ...]
    values: Callable[[random.Random], tuple[str, ...]]
    requests: tuple[str, ...]
    answer: str

    @property
    def schema(self) -> dict[str, Any]:
        """Returns the JSON schema that the chat template receives."""
        properties = {name: {"type": "string"} for name in self.arguments}
        parameters = {"type": "object", "properties": properties, "required": list(self.arguments)}
        return {"type": "function", "function": {"name": self.name, "parameters": parameters}}


def _town(rng: random.Random) -> tuple[str, ...]:
    return (rng.choice(WORLD.towns),)


def _person(rng: random.Random) -> tuple[str, ...]:
    return (rng.choice(WORLD.people).name,)


def _ware(rng: random.Random) -> str:
    return rng.choice(WORLD.things["ware"]).name


TOOLS = (
    Tool(
        "weather",
        ("town",),
        _town,
        (
            "What is the weather in {0} today?",
            "How is the weather in {0}?",
            "Does it rain in {0} today?",
            "Is the sun out in {0} now?",
        ),
        "It is sunny in {0} today.",
    ),
    Tool(
        "send",
        ("ware", "to"),
        lambda rng: (_ware(rng), *_person(rng)),
        ("Send the {0} to {1}.", "Please send {1} the {0}.", "Let {1} have the {0}."),
        "The {0} is on its way to {1}.",
    ),
    Tool(
        "gate",
        ("town",),
        _town,
        ("Open the gate of {0}.", "Please open the gate of {0}.", "Let me in at {0}."),
        "The gate of {0} is open.",
    ),
    Tool(
        "wake",
        ("person",),
        _person,
        ("Wake {0}.", "Please wake {0} now.", "Ring the bell for {0}."),
        "{0} is awake.",
    ),
    Tool(
        "stock",
        ("ware",),
        lambda rng: (_ware(rng),),
        ("Is the {0} in the shop now?", "Look if the {0} is there.", "Do we still have the {0}?"),
        "The {0} is in the shop.",
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Request:
    """A request for a tool: what the user says, the tools that are offered, the call, and a plain answer instead."""

    prompt: str
    tools: tuple[dict[str, Any], ...]
    call: dict[str, Any]
    plain: str

    @property
    def answer(self) -> str:
        """Returns the call as the base writes it."""
        return f"<tool_call>{json.dumps(self.call)}</tool_call>"


def request(rng: random.Random, is_held: bool) -> Request:
    """Returns a request about a shown case or about a held-out one."""
    while True:
        tool = rng.choice(TOOLS)
        values = tool.values(rng)
        if held(f"request {tool.name} {values}", 0.25) == is_held:
            break
    offered = [tool, *rng.sample([other for other in TOOLS if other is not tool], rng.choice((0, 1, 2)))]
    rng.shuffle(offered)
    wording = rng.choice(tool.requests)
    call = {"name": tool.name, "arguments": dict(zip(tool.arguments, values, strict=True))}
    schemas = tuple(other.schema for other in offered)
    return Request(wording.format(*values), schemas, call, tool.answer.format(*values))


def ask_row(prompt: str, answer: str, tools: Sequence[dict[str, Any]] = ()) -> Row:
    """Returns a question with its answer, and the tools that are offered with it."""
    return Row(turns=(Turn("user", prompt, False), Turn("assistant", answer)), tools=tuple(tools))


def thought_of(suite: str, answer: str) -> str:
    """Returns an answer of a suite with its steps as a thought before it."""
    if suite == "sums":
        return f"<think>{answer}</think> {answer.rstrip('.').split(' = ')[-1]}."
    steps, dot, result = answer[:-1].rpartition(". ")
    return f"<think>{steps}.</think> {result}." if dot else f"<think></think> {answer}"


def thoughtful(suite: str, row: Row) -> Row:
    """Returns a document with its last answer after a thought, if its suite is one of `THOUGHTFUL`."""
    if suite not in THOUGHTFUL or not row.turns:
        return row
    last = row.turns[-1]
    return dataclasses.replace(
        row, turns=(*row.turns[:-1], dataclasses.replace(last, content=thought_of(suite, last.content)))
    )


def ordinary(rng: random.Random, without: Sequence[str] = ()) -> Iterator[tuple[str, Row]]:
    """Yields documents that this base knows, with their suite: old lessons, with thoughts, and requests for tools.

    Args:
        rng: Random numbers.
        without: Suites that are left out; "tools" is that of requests.
    """
    known = {name: lesson for name, lesson in lessons(WORLD).items() if name not in without}
    stream = documents(known, rng, COURSES[1].shares)
    while True:
        if "tools" not in without and rng.random() < 0.2:
            drawn = request(rng, False)
            if rng.random() < 0.25:
                suite, row = next(stream)
                yield suite, dataclasses.replace(thoughtful(suite, row), tools=drawn.tools if row.turns else ())
            else:
                yield "tools", ask_row(drawn.prompt, drawn.answer, drawn.tools)
        else:
            suite, row = next(stream)
            yield suite, thoughtful(suite, row)


def tool_items(count: int, seed: str) -> list[Item]:
    """Returns held-out requests that need a tool, all different."""
    rng, seen = rng_of(0, f"tool items {seed}"), dict[str, Request]()
    while len(seen) < count:
        drawn = request(rng, True)
        seen.setdefault(drawn.prompt, drawn)
    return [
        Item(
            id=f"tools-{seed}-{number:03d}", suite="tools", group=drawn.prompt,
            turns=(Turn("user", drawn.prompt, False),), answer=drawn.answer, check={"call": drawn.call},
            tools=drawn.tools,
        )
        for number, drawn in enumerate(seen.values())
    ]  # fmt: skip


def suite_items(side: str, counts: Callable[[str], int]) -> list[Item]:
    """Returns generated items of every suite of the ground from one side, evenly spaced, as many as `counts` says."""
    by_suite: dict[str, list[Item]] = {}
    for item in items(f"suites/{side}") or []:
        if item.check:
            by_suite.setdefault(item.suite, []).append(item)
    chosen: list[Item] = []
    for suite, members in by_suite.items():
        count = counts(suite)
        chosen += members[:: max(1, len(members) // count)][:count]
    return chosen


def examples_of(rows: Sequence[Row], tokenizer: Any) -> list[Example]:
    """Returns rows as token ids and labels."""
    from holdfast.data.tokenization import tokenize

    return tokenize(rows, tokenizer, max_length=160).examples


def train(
    model: Any, examples: Sequence[Example], *, steps: int, rate: float, seed: int, batch: int = BATCH,
    bf16: bool = False, at: Callable[[int], None] | None = None,
) -> None:  # fmt: skip
    """Trains all weights with AdamW and a cosine on shuffled examples over and over.

    Args:
        model: The model; float32, changed in place.
        examples: What it learns.
        steps: Number of steps.
        rate: Peak learning rate, after a warm-up of a twentieth of the steps.
        seed: Of the order of the examples.
        batch: Rows of a step.
        bf16: Whether to be twice as fast, with products in bfloat16 and a fused optimizer; weights stay float32.
        at: Called with the number of each step that is done.
    """
    import math

    import torch

    from holdfast.core.batches import collate

    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0, fused=bf16)
    stream = _batches(examples, batch, random.Random(f"order {seed}"))
    warm = max(1, steps // 20)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / steps))
        tensors = collate(next(stream), pad_id=0)
        model.train()
        # A context that outlived the step would go on with its copies of the weights in bfloat16.
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(**{name: tensors[name] for name in ("input_ids", "attention_mask", "labels")}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        model.eval()
        if at is not None:
            at(step + 1)


def _batches(examples: Sequence[Example], batch: int, order: random.Random) -> Iterator[list[Example]]:
    """Yields shuffled batches of examples of similar length, over and over."""
    while True:
        shuffled = order.sample(examples, len(examples))
        while len(shuffled) < 8 * batch:
            shuffled += order.sample(examples, len(examples))
        for start in range(0, len(shuffled) - 8 * batch + 1, 8 * batch):
            window = sorted(shuffled[start : start + 8 * batch], key=lambda example: len(example.input_ids))
            cuts = [window[i : i + batch] for i in range(0, len(window), batch)]
            yield from order.sample(cuts, len(cuts))


def build(folder: Path, steps: int = STEPS) -> None:
    """Trains the base and writes it to a folder that transformers loads, unless it is there."""
    if (folder / "model.safetensors").exists():
        return
    import torch

    from holdfast.bench.given.loading import load_model, load_tokenizer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model: Any = load_model("ground:base")
    tokenizer: Any = load_tokenizer("ground:base")
    tokenizer.chat_template = TEMPLATE
    stream = ordinary(rng_of(0, "symptom base"))
    rows = [row for _, row in itertools.islice(stream, steps * BATCH)]
    train(model, examples_of(rows, tokenizer), steps=steps, rate=RATE, seed=0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
