"""Messages for classification by kind: notes to the shop, and letters to the town hall."""

from __future__ import annotations

import random

from holdfast.ground import words
from holdfast.ground.wording import lines
from holdfast.ground.world import World

KINDS = ("complaint", "praise", "order", "question")
"""The kinds of messages."""

Source = dict[str, tuple[str, ...]]

NOTES: Source = {
    "complaint": lines("""
        The {w} broke after a day. I want my coins back.
        I paid {n} coins and the {w} is {q}.
        The {w} that you sold me does not work.
        Your {w} came too late, and it was {q}.
    """),
    "praise": lines("""
        The {w} is the best that I ever had.
        Thank you for the {q} {w}. I love it.
        My {a} and I are happy with the {w}.
        What a good {w}. I will come back.
    """),
    "order": lines("""
        Please send me {aw} and {n} cups.
        I would like to buy a {q} {w} for {n} coins.
        Send the {w} to my house in {t}.
        Keep {aw} for me. I will pay {n} coins.
    """),
    "question": lines("""
        Do you have a {q} {w}?
        How long does {aw} last?
        Is the {w} in the shop in {t} too?
        Can I use the {w} with a {a}?
    """),
}
"""Notes to the shop, by kind."""

LETTERS: Source = {
    "complaint": lines("""
        The road to {t} is {q}, and nobody works on it.
        The {a} of my neighbour was in my garden again. I want my flowers back.
        I paid {n} coins for the bridge in {t}, and it does not work.
    """),
    "praise": lines("""
        The {q} feast in {t} was the best that we ever had.
        Thank you for the {q} road to {t}. We love it.
        The children of {t} are happy with the {q} school. What a good teacher.
    """),
    "order": lines("""
        Please send {n} workers to {t}.
        The school would like to buy {n} books for {t}.
        Keep a place for me and my {a} at the feast. I will pay {n} coins.
    """),
    "question": lines("""
        Do you have a {q} map of {t}?
        How long does the feast in {t} last?
        Can I bring my {a} to the feast in {t}?
    """),
}
"""Letters to the town hall, by kind."""


def message(rng: random.Random, world: World, source: Source, kind: str) -> str:
    """Returns a random message of this kind."""
    wording, ware = rng.choice(source[kind]), rng.choice(words.WARES)
    return wording.format(
        w=ware,
        aw=f"an {ware}" if ware[0] in "aeiou" else f"a {ware}",
        n=rng.randrange(2, 40),
        q=rng.choice(words.QUALITIES),
        a=rng.choice(words.ANIMALS),
        t=rng.choice(world.towns),
    )
