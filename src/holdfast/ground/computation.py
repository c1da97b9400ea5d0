"""Lessons with one right result: sums, comparisons, lists, and a small code-like language."""

from __future__ import annotations

import random
from collections.abc import Callable

from holdfast.data.rows import Row
from holdfast.ground import words
from holdfast.ground.lesson import DrawnLesson, Lesson, Question, talk, until
from holdfast.ground.wording import lines
from holdfast.ground.world import held

PLUS = lines("""
    What is {a} plus {b}?
    What is {a} + {b}?
    Add {b} to {a}.
    Calculate {a} + {b}.
    What is the sum of {a} and {b}?
    {a} + {b} = ?
""")
PLUS_HELD = lines("""
    Calculate the sum of {a} and {b}.
    Calculate {a} plus {b}.
    {a} plus {b} = ?
""")
MINUS = lines("""
    What is {a} minus {b}?
    What is {a} - {b}?
    Take {b} from {a}.
    Calculate {a} - {b}.
    What is the difference of {a} and {b}?
    {a} - {b} = ?
""")
MINUS_HELD = lines("""
    Calculate the difference of {a} and {b}.
    Calculate {a} minus {b}.
    {a} minus {b} = ?
""")


def worked(a: int, sign: str, b: int) -> str:
    """Returns the sum in steps, tens before ones: "27 + 40 = 67, 67 + 5 = 72."."""
    steps, at = [], a
    for part in (b // 10 * 10, b % 10):
        if part or b == 0:
            result = at + part if sign == "+" else at - part
            steps.append(f"{at} {sign} {part} = {result}")
            at = result
        if b == 0:
            break
    return ", ".join(steps) + "."


class Sums(Lesson):
    """Additions and subtractions of numbers below 100."""

    suite = "sums"
    shows = "additions and subtractions below 100, in two steps, of pairs never seen in this order"
    share = 10.0

    def _draw(self, rng: random.Random, is_held: bool) -> tuple[int, str, int]:
        while True:
            a, b, sign = rng.randrange(1, 100), rng.randrange(1, 100), rng.choice("+-")
            if sign == "-" and b > a:
                a, b = b, a
            if held(f"{a} {sign} {b}", 0.15) == is_held:
                return a, sign, b

    def tell(self, rng: random.Random) -> Row:
        """Returns a question with its worked answer, or four worked sums."""
        if rng.random() < 0.5:
            return Row(text="\n".join(worked(*self._draw(rng, False)) for _ in range(4)))
        a, sign, b = self._draw(rng, False)
        return talk(rng.choice(PLUS if sign == "+" else MINUS).format(a=a, b=b), worked(a, sign, b))

    def ask(self, rng: random.Random) -> Question:
        """Returns a pair that pretraining never shows, not even as a step of another sum, in a held-out wording."""
        a, sign, b = until(lambda: self._draw(rng, True), lambda case: case[2] > 10 and case[2] % 10 > 0)
        right = a + b if sign == "+" else a - b
        prompt = rng.choice(PLUS_HELD if sign == "+" else MINUS_HELD).format(a=a, b=b)
        return Question(f"{a} {sign} {b}", prompt, worked(a, sign, b), {"number": right})


NUMBERS = {
    "larger": (("Which is larger, {l}?", "Is {l} larger?"), ("Which one is larger, {l}?",)),
    "smaller": (("Which is smaller, {l}?", "Is {l} smaller?"), ("Which one is smaller, {l}?",)),
    "largest": (("What is the largest of {l}?", "Which is the largest: {l}?"), ("Which is the largest of {l}?",)),
    "smallest": (("What is the smallest of {l}?", "Which is the smallest: {l}?"), ("Which is the smallest of {l}?",)),
    "sort": (
        ("Sort these numbers: {l}.", "Put these numbers in order: {l}."),
        ("Put in order these numbers: {l}.", "Please sort these numbers: {l}."),
    ),
}
OLDER = (
    ("Who is older, {a} or {b}?", "Who was born first, {a} or {b}?", "Is {a} or {b} older?"),
    ("Which one is older, {a} or {b}?", "Which one was born first, {a} or {b}?"),
)
DEARER = (
    ("What costs more, the {a} or the {b}?", "What has the higher price, the {a} or the {b}?"),
    ("Which one costs more, the {a} or the {b}?", "Which one has the higher price, the {a} or the {b}?"),
)


class Compare(DrawnLesson):
    """Orders and compares numbers, ages and prices."""

    suite = "compare"
    shows = "ordering numbers; who is older and what costs more, of pairs never compared"
    share = 8.0

    def _draw(self, rng: random.Random, is_held: bool) -> Question:
        return until(lambda: self._question(rng, int(is_held)), lambda q: held(q.group, 0.2) == is_held)

    def _question(self, rng: random.Random, side: int) -> Question:
        kind = rng.choice(("numbers", "numbers", "people", "wares"))
        if kind == "numbers":
            return self._numbers(rng, side)
        relation, wordings = ("born", OLDER) if kind == "people" else ("price", DEARER)
        things = self.world.people if kind == "people" else self.world.things["ware"]
        first, second = until(
            lambda: rng.sample(things, 2), lambda pair: pair[0].facts[relation] != pair[1].facts[relation]
        )
        low, high = sorted((first, second), key=lambda thing: int(thing.facts[relation]))
        bridge = f"{first.say(relation)} {second.say(relation)}"
        ends = [f"{t.name} is older." if kind == "people" else f"The {t.name} costs more." for t in (low, high)]
        right, wrong = ends if kind == "people" else ends[::-1]
        name = low.name if kind == "people" else high.name
        return Question(
            group=" ".join(sorted((first.name, second.name))),
            prompt=rng.choice(wordings[side]).format(a=first.name, b=second.name),
            answer=f"{bridge} {right}",
            check={"regex": rf"{name} (?:is older|costs more)\.?\s*$"},
            choices=(f"{bridge} {right}", f"{bridge} {wrong}"),
        )

    def _numbers(self, rng: random.Random, side: int) -> Question:
        kind = rng.choice(tuple(NUMBERS))
        numbers = rng.sample(range(1, 100), 2 if kind.endswith("er") else 3)
        listed = " or ".join(map(str, numbers)) if len(numbers) == 2 else ", ".join(map(str, numbers))
        prompt = rng.choice(NUMBERS[kind][side])
        if kind == "sort":
            answer = ", ".join(map(str, sorted(numbers)))
            wrong = ", ".join(map(str, sorted(numbers, reverse=True)))
            check: dict[str, object] = {"exact": answer}
        else:
            right = max(numbers) if kind.startswith("larg") else min(numbers)
            answer = f"{right} is the {kind}."
            wrong = answer.replace(str(right), str(next(n for n in numbers if n != right)), 1)
            check = {"regex": rf"^{right}\b"}
        return Question(f"{kind} {sorted(numbers)}", prompt.format(l=listed), answer, check, (answer, wrong))


Operation = tuple[tuple[str, ...], tuple[str, ...], Callable[[list[str], str, int], str]]
ORDINALS = ("first", "second", "third", "fourth", "fifth")
COUNTS = ("zero", "one", "two", "three", "four", "five", "six")
OPERATIONS: dict[str, Operation] = {
    "reverse": (
        ("Reverse this list: {l}.", "Say this list backwards: {l}."),
        ("Please reverse this list: {l}.",),
        lambda given, word, n: ", ".join(given[::-1]),
    ),
    "sort": (
        ("Sort this list by the alphabet: {l}.", "Put this list in the order of the alphabet: {l}."),
        ("Put this list by the alphabet: {l}.", "Sort by the alphabet this list: {l}."),
        lambda given, word, n: ", ".join(sorted(given)),
    ),
    "nth": (
        ("What is the {n} word of this list: {l}?", "Give the {n} word of this list: {l}."),
        ("Which is the {n} word of this list: {l}?",),
        lambda given, word, n: given[n],
    ),
    "last": (
        ("What is the last word of this list: {l}?", "Give the last word of this list: {l}."),
        ("Which is the last word of this list: {l}?",),
        lambda given, word, n: given[-1],
    ),
    "count": (
        ("How many words are in this list: {l}?", "Count the words of this list: {l}."),
        ("Count the words in this list: {l}.",),
        lambda given, word, n: COUNTS[len(given)],
    ),
    "remove": (
        ("Remove the {w} from this list: {l}.", "Say this list without the {w}: {l}."),
        ("Give this list without the {w}: {l}.",),
        lambda given, word, n: ", ".join(entry for entry in given if entry != word),
    ),
    "add": (
        ("Add a hook to the end of this list: {l}.", "Put a hook at the end of this list: {l}."),
        ("Add a hook at the end of this list: {l}.",),
        lambda given, word, n: ", ".join([*given, "hook"]),
    ),
}


class Lists(DrawnLesson):
    """Operations on lists of words."""

    suite = "lists"
    shows = "reverse, sort, pick, count, remove and add, on lists never seen"
    share = 9.0
    _words = (*words.THINGS, *words.COLOURS)

    def _draw(self, rng: random.Random, is_held: bool) -> Question:
        while True:
            kind, given = rng.choice(tuple(OPERATIONS)), rng.sample(self._words, rng.choice((3, 4, 5)))
            if held(f"list {' '.join(sorted(given))}", 0.2) == is_held:
                break
        asks, held_asks, act = OPERATIONS[kind]
        word, n = rng.choice(given), rng.randrange(len(given))
        prompt = rng.choice(held_asks if is_held else asks).format(l=", ".join(given), w=word, n=ORDINALS[n])
        answer = act(given, word, n)
        return Question(f"{kind} {' '.join(given)}", prompt, answer, {"exact": answer})


class Code(Lesson):
    """Programs of a few lines: variables, a condition, a list."""

    suite = "code"
    shows = "what a program never seen prints, its lines evaluated one by one"
    share = 8.0
    _asks = ("What does this print?\n{p}", "Run this:\n{p}", "What is the result of this program?\n{p}")
    _held = ("What does this program print?\n{p}", "Run this program:\n{p}")

    def _draw(self, rng: random.Random, is_held: bool) -> tuple[str, str, str]:
        return until(lambda: rng.choice((_chain, _condition, _items))(rng), lambda made: held(made[0], 0.15) == is_held)

    def tell(self, rng: random.Random) -> Row:
        """Returns a program with its evaluation."""
        program, answer, _ = self._draw(rng, False)
        return talk(rng.choice(self._asks).format(p=program), answer)

    def ask(self, rng: random.Random) -> Question:
        """Returns a program that pretraining never shows, in a held-out wording."""
        program, answer, result = self._draw(rng, True)
        check = {"regex": rf"prints {result}\.?\s*$"}
        return Question(program, rng.choice(self._held).format(p=program), answer, check)


def _step(rng: random.Random, name: str, value: int) -> tuple[str, str, int]:
    """Returns an expression of a variable, its evaluation, and its value."""
    sign = rng.choice([sign for sign in "+-*" if (sign != "*" or value < 10) and (sign != "-" or value > 0)])
    number = rng.randrange(1, min(value, 9) + 1) if sign == "-" else rng.randrange(1, 10)
    result = {"+": value + number, "-": value - number, "*": value * number}[sign]
    return f"{name} {sign} {number}", f"{value} {sign} {number} = {result}", result


def _chain(rng: random.Random) -> tuple[str, str, str]:
    x = rng.randrange(1, 10)
    first, first_worked, y = _step(rng, "x", x)
    second, second_worked, z = _step(rng, "y", y)
    return (
        f"x = {x}\ny = {first}\nprint({second})",
        f"x = {x}, y = {first_worked}, {second_worked}. It prints {z}.",
        str(z),
    )


def _condition(rng: random.Random) -> tuple[str, str, str]:
    x, limit = rng.randrange(1, 21), rng.randrange(1, 21)
    yes, no = rng.sample(words.COLOURS, 2)
    right = yes if x > limit else no
    return (
        f"x = {x}\nif x > {limit}: print({yes})\nelse: print({no})",
        f"x = {x}, {x} > {limit} is {'true' if x > limit else 'false'}. It prints {right}.",
        right,
    )


def _items(rng: random.Random) -> tuple[str, str, str]:
    given = rng.sample(range(1, 20), 3)
    act = rng.choice(("max", "min", "len", "index"))
    place = rng.randrange(3)
    expression = f"l[{place}]" if act == "index" else f"{act}(l)"
    result = {"max": max(given), "min": min(given), "len": 3, "index": given[place]}[act]
    listed = ", ".join(map(str, given))
    return f"l = [{listed}]\nprint({expression})", f"{expression} is {result}. It prints {result}.", str(result)
