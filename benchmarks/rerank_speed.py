"""Compares the speed of scoring candidates with that of sentence-transformers' predict and evaluator, in one run.

    python benchmarks/rerank_speed.py --collection ground:rerank/people --rounds 5

The three score the same pairs with the same model in turn, round by round, so that a busy machine slows all of them
alike; the ratio of the medians counts. `predict` sorts pairs by their characters and reads them by a fixed number of
pairs; `CrossEncoderRerankingEvaluator` calls it and computes its metrics; ours sorts by tokens, fills batches up to a
number of tokens, and computes five metrics per query.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

from holdfast.bench.given.model_files import reranker_or_name
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.sources import read_collection
from holdfast.rerank.suite import suite_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="ground:reranker")
    parser.add_argument("--collection", default="ground:rerank/people")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32, help="pairs of a batch of predict (its default: 32)")
    given = parser.parse_args()
    reranker = load_reranker(reranker_or_name(given.model))
    suite = suite_of(read_collection(given.collection, []), depth=given.depth)
    collection, model = suite.collection, reranker.model
    pairs = [
        (collection.queries[query].text, collection.documents[at].content)
        for query in collection.judged
        for at in collection.candidates[query]
    ]
    samples = [
        {
            "query": collection.queries[query].text,
            "positive": [collection.documents[at].content for at in sorted(collection.relevant(query))],
            "documents": [collection.documents[at].content for at in collection.candidates[query]],
        }
        for query in collection.judged
    ]
    evaluator = CrossEncoderRerankingEvaluator(samples, batch_size=given.batch_size, write_csv=False)
    ways: dict[str, Callable[[], object]] = {
        "score": lambda: reranker.score(pairs),
        "predict": lambda: model.predict(pairs, batch_size=given.batch_size, activation_fn=torch.nn.Identity()),
        "suite": lambda: suite.ask(reranker),
        "evaluator": lambda: evaluator(model),
    }
    difference = float(np.abs(reranker.score(pairs) - ways["predict"]()).max())
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            seconds[name].append(time.process_time() - begun)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    ratios = {
        f"{theirs}/{ours}": sorted(a / b for a, b in zip(seconds[theirs], seconds[ours], strict=True))
        for theirs, ours in (("predict", "score"), ("evaluator", "suite"))
    }
    print(
        json.dumps(
            {
                "model": given.model,
                "collection": given.collection,
                "pairs": len(pairs),
                "largest difference of scores": difference,
                "processor seconds (median)": {name: round(value, 3) for name, value in median.items()},
                "ratios (lowest, median, highest)": {
                    name: [round(value, 2) for value in (rs[0], statistics.median(rs), rs[-1])]
                    for name, rs in ratios.items()
                },
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
