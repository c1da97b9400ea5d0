"""Asking a model: choices and generated answers, against lm-eval's HFLM and `transformers`' generate, item by item.

    python benchmarks/probes.py [--model ground:base] [--suite ground:facts] [--items 60]

Both sides get the same model and the same token ids, in float32 on one thread, in turn in one process. HFLM
(`lm_eval.models.huggingface`) reads each choice behind its context, in batches of 8; without lm-eval installed, its way
is written here in PyTorch. Generation is that of HFLM's `generate_until`: padded batches of 8 that go on until the last
row ends or has its most tokens. Picks are compared; a different one is an error.

The computed limit counts the tokens that must pass the model: shared beginnings once against once for each choice.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import frame
import torch
from frame import Figure

BATCH = 8


def plain_choices(model: Any, groups: Sequence[Sequence[tuple[list[int], list[int]]]]) -> list[list[float]]:
    """Returns the log-likelihood of each choice behind its context, in batches of rows of similar length."""
    flat = sorted(
        ((i, j, ctx, own) for i, group in enumerate(groups) for j, (ctx, own) in enumerate(group)),
        key=lambda row: -len(row[2]) - len(row[3]),
    )
    found = [[0.0] * len(group) for group in groups]
    device = next(model.parameters()).device
    for batch in (flat[k : k + BATCH] for k in range(0, len(flat), BATCH)):
        width = max(len(ctx) + len(own) for *_, ctx, own in batch) - 1
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        for row, (*_, ctx, own) in enumerate(batch):
            ids[row, : len(ctx) + len(own) - 1] = torch.tensor((ctx + own)[:-1])
        with torch.no_grad():
            log_p = model(input_ids=ids.to(device)).logits.log_softmax(-1).cpu()
        for row, (i, j, ctx, own) in enumerate(batch):
            at = torch.arange(len(ctx) - 1, len(ctx) + len(own) - 1)
            found[i][j] = float(log_p[row, at, torch.tensor(own)].sum())
    return found


def hflm(model: Any, tokenizer: Any) -> tuple[str, Callable[..., list[list[float]]]]:
    """Returns the name of the peer, and its scoring of groups of (context, choice)."""
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        return "choices one by one, as HFLM reads them", lambda groups: plain_choices(model, groups)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH, device="cpu")

    def scored(groups: Sequence[Sequence[tuple[list[int], list[int]]]]) -> list[list[float]]:
        rows = [(("", f"{i}/{j}"), *pair) for i, group in enumerate(groups) for j, pair in enumerate(group)]
        flat = iter(lm._loglikelihood_tokens(rows, disable_tqdm=True))
        return [[float(next(flat)[0]) for _ in group] for group in groups]

    return "lm-eval's HFLM", scored


def of_choices(model: Any, tokenizer: Any, source: str, count: int, repeats: int) -> list[Figure]:
    """Returns the line of choices."""
    from holdfast.probes.choice import _examples, choose
    from holdfast.suites.named import items_of

    items = [item for item in items_of(source) or () if item.choices][:count]
    groups = []
    for item in items:
        rows = _examples(item, tokenizer, False, False)
        start = [next(k for k, label in enumerate(row.labels) if label != -100) for row in rows]
        groups.append([(list(row.input_ids[:k]), list(row.input_ids[k:])) for row, k in zip(rows, start, strict=True)])
    peer, scored = hflm(model, tokenizer)
    found: dict[str, list[int]] = {}

    def ours() -> None:
        costs = choose(model, tokenizer, items)
        found["ours"] = [min(range(len(one.nats)), key=one.nats.__getitem__) for one in costs]

    def theirs() -> None:
        values = scored(groups)
        found["theirs"] = [max(range(len(one)), key=one.__getitem__) for one in values]

    time_of = frame.seconds({"ours": ours, "theirs": theirs}, repeats)
    if found["ours"] != found["theirs"]:
        raise SystemExit(f"{source}: the two pick other choices.")
    every = [len(ctx) + len(own) for group in groups for ctx, own in group]
    once = [len(group[0][0]) + sum(len(own) for _, own in group) for group in groups]
    name = f"{len(items)} items of choices, {source}"
    return [Figure(name, peer, time_of["ours"] / time_of["theirs"], 0.33, sum(once) / sum(every))]


def of_generation(model: Any, tokenizer: Any, source: str, count: int, repeats: int) -> list[Figure]:
    """Returns the line of generated answers."""
    from holdfast.data.tokenization import ids_of_prompts
    from holdfast.probes.generation import _ends, answered, generate_counted
    from holdfast.suites.named import items_of

    items = [item for item in items_of(source) or () if item.check][:count]
    turns, most = [item.turns for item in items], 48
    rows = [answered(one, "A", "item") for one in turns]
    prompts = ids_of_prompts(rows, tokenizer)
    ends, pad = sorted(_ends(model, tokenizer, rows[0], False)), int(tokenizer.pad_token_id or 0)
    tokens: dict[str, int] = {}

    def ours() -> None:
        answers = generate_counted(model, tokenizer, turns, max_new_tokens=most)
        tokens["ours"] = sum(one.tokens for one in answers)

    def theirs() -> None:
        tokens["theirs"] = 0
        order = sorted(prompts, key=len, reverse=True)
        for batch in itertools.batched(order, BATCH) if hasattr(itertools, "batched") else _batched(order):
            width = max(map(len, batch))
            ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in batch])
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch])
            out = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False, eos_token_id=ends,
                pad_token_id=pad,
            )  # fmt: skip
            for row in out[:, width:].tolist():
                tokens["theirs"] += next((k for k, token in enumerate(row) if token in ends), len(row))

    time_of = frame.seconds({"ours": ours, "theirs": theirs}, repeats)
    name = f"{len(items)} generated answers, {source} ({tokens['ours']} and {tokens['theirs']} tokens)"
    return [Figure(name, "generate() in HFLM's batches", time_of["ours"] / time_of["theirs"], 0.33)]


def _batched(rows: Sequence[Any]) -> list[Sequence[Any]]:
    return [rows[k : k + BATCH] for k in range(0, len(rows), BATCH)]


def figures(
    model_name: str = "ground:base", choices: str = "ground:facts", written: str = "ground:open", count: int = 60,
    repeats: int = 2,
) -> list[Figure]:  # fmt: skip
    """Returns the lines of asking."""
    from holdfast.bench.given.loading import load_model, load_tokenizer

    model, tokenizer = load_model(model_name).eval(), load_tokenizer(model_name)
    lines = of_choices(model, tokenizer, choices, count, repeats) if choices else []
    return lines + (of_generation(model, tokenizer, written, count, repeats) if written else [])


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ground:base")
    parser.add_argument("--choices", default="ground:facts", help="suite with choices; empty for none")
    parser.add_argument("--written", default="ground:open", help="suite with generated answers; empty for none")
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("\n".join(frame.table(figures(given.model, given.choices, given.written, given.items, given.repeats))))


if __name__ == "__main__":
    main()
