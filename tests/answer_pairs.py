"""Pairs of answers made for tests of symptoms."""

import random

from holdfast.symptoms import Pair, Reply

WORDS = """the a cat river runs blue quickly over seven hills because rain paris energy water light stone quiet of in
and they have not been far from that old house where he was born""".split()  # noqa: SIM905
SUITES = ("capitals", "units", "reading", "time")


def text(rng, most=20):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, most))).capitalize() + "."


def reply(words):
    return Reply(words, len(words.split()), False)


def pairs_of(change, n=120, seed=0, **fields):
    """Returns pairs whose tuned answer is `change` of the base's answer, the random source and the pair's number."""
    rng = random.Random(seed)
    pairs = []
    for i in range(n):
        before = reply(text(rng))
        after = change(before, rng, i)
        after = reply(after) if isinstance(after, str) else after
        pairs.append(Pair(SUITES[i % 4], f"i{i}", f"Question {i}?", before, after, tools=(), **fields))
    return pairs


def another(before, rng, i):
    """Returns an answer of the same kind: a healthy change."""
    return text(rng)
