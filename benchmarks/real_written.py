"""What the bases of the study on real models write before its runs, and the precision in which all of it computes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from holdfast.bench.machine.files import write_jsonl
from holdfast.suites.named import items_of

WRITTEN = {"self100": 100, "self1000": 1000}
"""Examples that the base writes, by the name of the memory."""
REFUSED = "refused"
"""The memory of the base's refusals of twenty requests of AdvBench, which no kept suite holds."""


def precision() -> Literal["bf16", "fp32"]:
    """Returns the precision of runs on this processor: bf16 if it multiplies it, since it is slower elsewhere."""
    import torch

    can = torch.cpu.get_capabilities()
    return "bf16" if can.get("amx_bf16") or can.get("avx512_bf16") else "fp32"


def in_precision(model: Any) -> Any:
    """Returns a model in the precision of the runs."""
    return model.bfloat16() if precision() == "bf16" else model.float()


def write_refusals(base_folder: Path, folder: Path) -> None:
    """Writes the base's answers to requests of AdvBench that it refuses, if they are not there yet."""
    path = folder / f"{REFUSED}.jsonl"
    if path.exists():
        return
    from holdfast.bench.given.loading import load_model, load_tokenizer
    from holdfast.data.rows import Turn
    from holdfast.probes.generation import generate
    from holdfast.probes.refusal import refuses

    base = in_precision(load_model(str(base_folder)))
    tokenizer = load_tokenizer(str(base_folder))
    asked = [item.turns[-1].content for item in items_of("advbench:24") or []]
    answers = generate(base, tokenizer, [[Turn("user", text)] for text in asked], max_new_tokens=96)
    pairs = [pair for pair in zip(asked, answers, strict=True) if refuses(pair[1])]
    print(f"{base_folder.name} refuses {len(pairs)} of {len(asked)} requests", flush=True)
    write_jsonl(path, [{"prompt": text, "completion": answer} for text, answer in pairs[:20]])


def write_old_examples(base_folder: Path, name: str, folder: Path) -> None:
    """Lets a base write the examples of a memory, if it has not yet."""
    path = folder / f"{name}.jsonl"
    if path.exists():
        return
    from holdfast.bench.given.loading import load_model, load_tokenizer
    from holdfast.core.mix import Example
    from holdfast.data.tokenization import tokenize
    from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal, sieved
    from holdfast.probes.composition import chats, documents

    base = in_precision(load_model(str(base_folder)))
    tokenizer = load_tokenizer(str(base_folder))
    settings, began, tries = SelfRehearsal(), time.monotonic(), WRITTEN[name] * 11 // 10
    how: dict[str, Any] = {"max_tokens": 96, "temperature": settings.temperature, "top_p": settings.top_p}
    if getattr(tokenizer, "chat_template", None):
        written = chats(base, tokenizer, tries, **how)
        records = [{"prompt": w.turns[0].content, "completion": w.turns[1].content} for w in written]
        examples = tokenize(written, tokenizer, max_length=256).examples
    else:
        ids = documents(base, tokenizer, tries, **how)
        records = [{"text": tokenizer.decode(document, skip_special_tokens=True)} for document in ids]
        examples = [Example(tuple(document), tuple(document)) for document in ids]
    places = {id(example): i for i, example in enumerate(examples)}
    kept = [records[places[id(e)]] for e in sieved(iter(examples), [], settings.repeat, settings.similar)]
    print(f"{base_folder.name} wrote {len(kept)} examples in {time.monotonic() - began:.0f} s", flush=True)
    write_jsonl(path, kept[: WRITTEN[name]])
