"""Arithmetic: sums, differences, products and quotients, bare and in a sentence."""

from __future__ import annotations

from holdfast.general.making import between, pick, question, says
from holdfast.probes.items import Item

NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Frank", "Grace", "Henry", "Isabel", "Jack")
THINGS = ("apples", "books", "coins", "pencils", "eggs", "stamps", "cards", "marbles", "shells", "tickets")
EACH = 40
"""Items of each of the four operations; a quarter of them in a sentence."""


def items() -> list[Item]:
    """Returns the items; no two bare ones have the same operands."""
    entries, seen = [], set[str]()
    for sign in "+-×÷":
        made = 0
        for attempt in range(4_000):
            left, right, result = _operands(sign, attempt)
            problem = f"{left} {sign} {right}"
            if problem in seen or result in (left, right):
                continue
            seen.add(problem)
            in_words = made % 4 == 3
            entries.append(_in_words(sign, left, right, result) if in_words else _bare(problem, result))
            made += 1
            if made == EACH:
                break
    return entries


def _operands(sign: str, attempt: int) -> tuple[int, int, int]:
    """Returns two operands and the result; a third of the sums and differences have one digit, the rest two."""
    key = f"arithmetic {sign} {attempt}"
    if sign in "×÷":
        left, right = between(f"{key} left", 2, 12), between(f"{key} right", 2, 12)
        return (left, right, left * right) if sign == "×" else (left * right, right, left)
    low, high = (2, 9) if attempt % 3 == 0 else (10, 49)
    left, right = between(f"{key} left", low, high), between(f"{key} right", low, high)
    return (left, right, left + right) if sign == "+" else (left + right, right, left)


def _bare(problem: str, result: int) -> Item:
    return question(
        "arithmetic",
        problem.replace("+", "plus").replace("-", "minus").replace("×", "times").replace("÷", "divided by"),
        f"arithmetic {problem}",
        f"What is {problem}? Answer with the number only.",
        f"6 + 2 = 8\n9 - 4 = 5\n3 × 5 = 15\n8 ÷ 2 = 4\n{problem} =",
        str(result),
        says(result),
        max_tokens=16,
    )


def _in_words(sign: str, left: int, right: int, result: int) -> Item:
    key = f"{left} {sign} {right}"
    name, thing = pick(f"name {key}", NAMES), pick(f"thing {key}", THINGS)
    story, asked = {
        "+": (f"{name} has {left} {thing} and buys {right} more.", f"How many {thing} does {name} have now?"),
        "-": (f"{name} has {left} {thing} and gives away {right}.", f"How many {thing} does {name} have left?"),
        "×": (f"{name} fills {left} boxes with {right} {thing} each.", f"How many {thing} are there in all?"),
        "÷": (f"{name} shares {left} {thing} equally among {right} people.", "How many does each person get?"),
    }[sign]
    return question(
        "arithmetic",
        f"story {key.replace('+', 'plus').replace('-', 'minus').replace('×', 'times').replace('÷', 'divided by')}",
        f"arithmetic {key}",
        f"{story} {asked} Answer with the number only.",
        f"Q: Tom has 3 pens and buys 4 more. How many pens does Tom have now?\nA: 7\n\nQ: {story} {asked}\nA:",
        str(result),
        says(result),
        max_tokens=16,
    )
