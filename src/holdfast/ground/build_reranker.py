"""`python -m holdfast.ground.build_reranker`: builds the reranker of the package from scratch, with its log and card.

The build runs in a separate folder, `FOLDER.partial`, which keeps the last checkpoint: the same command continues from
there. The finished folder is then renamed to `FOLDER`. It takes about six minutes of one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from holdfast.core.errors import HoldfastError
from holdfast.ground.reranker_training import RerankerSettings, Training, build_model, build_tokenizer
from holdfast.ground.retrieval import CONTRACTS, DOMAINS, collection
from holdfast.rerank.first_stage import by_bm25
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.metrics import MAIN
from holdfast.rerank.suite import RerankSuite

EVERY = 50
"""Number of steps between two checkpoints."""


def build(folder: Path, settings: RerankerSettings | None = None, seed: int = 0, *, tell: bool = False) -> Path:
    """Builds the reranker, or continues an interrupted build, and returns its folder.

    Args:
        folder: Folder of the reranker; must not exist.
        settings: Shape and training settings; those of the package if None.
        seed: Determines the documents and the initial weights.
        tell: Whether to print a line at every checkpoint.

    Raises:
        HoldfastError: `folder` exists, or the interrupted build has other settings.
    """
    settings = settings or RerankerSettings()
    if folder.exists():
        raise HoldfastError(f"{folder}: already exists; give another folder or delete this one.")
    work = folder.parent / f"{folder.name}.partial"
    begun = {"seed": seed, **dataclasses.asdict(settings)}
    work.mkdir(parents=True, exist_ok=True)
    note = work / "begun.json"
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) != begun:
        raise HoldfastError(f"{work}: was begun with other settings; give these again, or delete the folder.")
    note.write_text(json.dumps(begun), encoding="utf-8")
    tokenizer = build_tokenizer(settings)
    model = build_model(settings, tokenizer, seed)
    training, clock, losses = Training(model, tokenizer, settings, seed), time.process_time(), list[float]()
    first = training.resume(work)
    for step in range(first, settings.until):
        losses.append(training.step(step))
        if (step + 1) % EVERY == 0 or step + 1 == settings.until:
            training.save(work, step + 1)
            line = {"step": step + 1, "loss": round(statistics.fmean(losses[-EVERY:]), 4)}
            with (work / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line | {"seconds": round(time.process_time() - clock)}) + "\n")
            if tell:
                print(line, round(time.process_time() - clock), "s", flush=True)
    model.to(torch.bfloat16).save_pretrained(work)
    tokenizer.save_pretrained(work)
    about = {
        **begun,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "parameters": model.num_parameters(),
        "domains": scores(work),
    }
    (work / "reranker.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    (work / "README.md").write_text(card(about), encoding="utf-8")
    for name in ("checkpoint.safetensors", "begun.json"):
        (work / name).unlink(missing_ok=True)
    shutil.move(work, folder)
    return folder


def scores(folder: Path) -> dict[str, dict[str, float]]:
    """Returns nDCG@10 in points on the test queries of each domain: of the reranker, of BM25, and of any order."""
    reranker = load_reranker(str(folder))
    table = {}
    for domain in DOMAINS:
        suite = RerankSuite(collection(domain))
        given = {query: dict.fromkeys(at, 0.0) for query, at in suite.collection.candidates.items()}
        sides = {"reranker": suite.ask(reranker), "bm25": suite.ranked(by_bm25(suite.collection))}
        sides |= {"ties": suite.ranked(given)}
        table[domain] = {
            name: round(100 * statistics.fmean(side.metrics[MAIN].values()), 1) for name, side in sides.items()
        }
    return table


def card(about: dict[str, Any]) -> str:
    """Returns the card of the reranker, in Markdown."""
    rows = [
        f"| {name} | {row['reranker']} | {row['bm25']} |{' not trained on' if name == CONTRACTS else ''} |"
        for name, row in about["domains"].items()
    ]
    table = "\n".join(["| domain | reranker | BM25 | |", "|---|---|---|---|", *rows])
    return f"""# ground:reranker

A BERT cross-encoder with {about["parameters"]:,} parameters for tests and demonstrations of reranking. It is trained
from scratch by `python -m holdfast.ground.build_reranker` on questions about the invented world of the proving ground,
with {about["until"]:,} steps of {about["lists"]} queries and {about["documents"]} documents each, in worlds that no
split of a domain is drawn from. It knows no real language and is of no use outside the proving ground.

nDCG@10 in points on the test queries of each domain (`ground:rerank/DOMAIN`), whose wordings the training did not show:

{table}

The weights are stored in bfloat16. License: that of the package.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds the reranker from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.ground.build_reranker", description=__doc__)
    parser.add_argument("--out", default="ground-reranker", help="folder to create (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        build(Path(given.out), tell=True)
    except HoldfastError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
