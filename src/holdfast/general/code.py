"""Reading a little code: what a short Python program prints."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.general.making import between, pick, question, shuffled
from holdfast.probes.items import Item

WORDS = ("apple", "bread", "chair", "dream", "eagle", "flute", "grape", "house", "knife", "lemon", "mouse", "night")
EACH = 13
"""Programs of each form."""

EXAMPLE = "x = 4\nx = x + 1\nprint(x)"


def _assign(key: str) -> tuple[str, str]:
    a, b = between(f"{key} a", 2, 20), between(f"{key} b", 2, 9)
    return f"a = {a}\nb = {b}\na = a + b\nprint(a)", str(a + b)


def _swap(key: str) -> tuple[str, str]:
    a, b = between(f"{key} a", 2, 40), between(f"{key} b", 41, 80)
    return f"a = {a}\nb = {b}\na, b = b, a\nprint(a)", str(b)


def _branch(key: str) -> tuple[str, str]:
    a, limit = between(f"{key} a", 1, 20), between(f"{key} limit", 5, 15)
    yes, no = shuffled(f"{key} words", WORDS)[:2]
    program = f'x = {a}\nif x > {limit}:\n    print("{yes}")\nelse:\n    print("{no}")'
    return program, yes if a > limit else no


def _loop(key: str) -> tuple[str, str]:
    count, step = between(f"{key} count", 3, 5), between(f"{key} step", 2, 6)
    return f"total = 0\nfor i in range({count}):\n    total += {step}\nprint(total)", str(count * step)


def _length(key: str) -> tuple[str, str]:
    words = shuffled(f"{key} words", WORDS)[: between(f"{key} count", 2, 6)]
    return f"words = {_listed(words)}\nprint(len(words))", str(len(words))


def _index(key: str) -> tuple[str, str]:
    words = shuffled(f"{key} words", WORDS)[:4]
    at = between(f"{key} at", 0, 3)
    return f"words = {_listed(words)}\nprint(words[{at}])", words[at]


def _largest(key: str) -> tuple[str, str]:
    numbers = [between(f"{key} {i}", 1, 60) for i in range(4)]
    name = pick(f"{key} name", ("max", "min"))
    return f"numbers = {numbers}\nprint({name}(numbers))", str(max(numbers) if name == "max" else min(numbers))


def _method(key: str) -> tuple[str, str]:
    word, made = pick(f"{key} word", WORDS), pick(f"{key} made", ("upper", "first", "last", "twice"))
    ends = {
        "upper": ("word.upper()", word.upper()),
        "first": ("word[0]", word[0]),
        "last": ("word[-1]", word[-1]),
        "twice": ("word * 2", word * 2),
    }
    said, result = ends[made]
    return f'word = "{word}"\nprint({said})', result


def _function(key: str) -> tuple[str, str]:
    times, value = between(f"{key} times", 2, 5), between(f"{key} value", 3, 12)
    return f"def f(x):\n    return x * {times}\n\nprint(f({value}))", str(times * value)


def _mapping(key: str) -> tuple[str, str]:
    words = shuffled(f"{key} words", WORDS)[:3]
    prices = {word: between(f"{key} {word}", 2, 30) for word in words}
    asked = pick(f"{key} asked", words)
    written = ", ".join(f'"{word}": {price}' for word, price in prices.items())
    return f'prices = {{{written}}}\nprint(prices["{asked}"])', str(prices[asked])


FORMS: dict[str, Callable[[str], tuple[str, str]]] = {
    "assign": _assign,
    "swap": _swap,
    "branch": _branch,
    "loop": _loop,
    "length": _length,
    "index": _index,
    "largest": _largest,
    "method": _method,
    "function": _function,
    "mapping": _mapping,
}
"""What makes a program and its output out of a key."""


def _listed(words: list[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"


def programs() -> list[tuple[str, str, str]]:
    """Returns name, program and output of each program; no two are the same."""
    entries: dict[str, tuple[str, str, str]] = {}
    for form, make in FORMS.items():
        made = 0
        for attempt in range(10 * EACH):
            program, output = make(f"code {form} {attempt}")
            if program not in entries and made < EACH:
                made += 1
                entries[program] = (f"{form} {made}", program, output)
    return list(entries.values())


def items() -> list[Item]:
    """Returns an item for each program."""
    return [
        question(
            "code",
            name,
            f"code {name}",
            f"What does this Python program print? Answer with the output only.\n\n```python\n{program}\n```",
            f"Program:\n{EXAMPLE}\nOutput: 5\n\nProgram:\n{program}\nOutput:",
            output,
            {"regex": rf"(?<![\w.]){output}(?!\w|\.\w)"},
            max_tokens=16,
        )
        for name, program, output in programs()
    ]
