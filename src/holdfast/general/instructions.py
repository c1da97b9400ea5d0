"""Following instructions: what the answer must hold, how it begins and ends, and what is done to given words."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.general.making import between, question, shuffled
from holdfast.probes.items import Item

WORDS = (
    "apple", "bridge", "candle", "desert", "engine", "flower", "garden", "hammer", "island", "jacket", "kitchen",
    "letter", "market", "needle", "orange", "pencil", "rabbit", "saddle", "table", "valley", "window", "yellow",
)  # fmt: skip
TOPICS = (
    "the sea", "dogs", "winter", "music", "bread", "trains", "a garden", "the moon", "school", "a river", "coffee",
    "birds", "a market", "the rain", "a friend", "books",
)  # fmt: skip
BEGINNINGS = ("Sometimes", "Yesterday", "Nobody", "Every", "Although", "Perhaps", "Today", "Many")
ENDINGS = ("today", "forever", "together", "again", "outside", "home", "quickly", "tomorrow")
COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
SENTENCES = (
    "The old man walked slowly to the harbor.", "A small bird sang in the tree.", "The train leaves at noon.",
    "My brother painted the fence.", "The soup on the stove is hot.", "Two boys played in the park.",
    "The letter came in the morning.", "She closed the heavy door.", "A boat crossed the quiet lake.",
    "The baker sold fresh bread.", "Snow fell on the roof.", "The teacher read a long story.",
    "We saw a film in the city.", "The cat slept on the chair.", "Our neighbor has a white horse.",
    "The clock in the hall is broken.",
)  # fmt: skip
CHANGED = {
    "man": "woman", "bird": "girl", "train": "bus", "brother": "sister", "soup": "tea", "boys": "girls",
    "letter": "parcel", "door": "window", "boat": "ship", "baker": "farmer", "snow": "rain", "teacher": "doctor",
    "film": "play", "cat": "dog", "horse": "donkey", "clock": "lamp",
}  # fmt: skip
"""A word of each sentence, and another that is put in its place."""
EACH = 16
"""Items of each form."""

Made = tuple[str, str, str, str, dict[str, object]]
"""Name, question, prompt to be continued, right answer and check of an item."""


def _repeat(i: int) -> Made:
    word, count = WORDS[i], 2 + i % 4
    answer = " ".join([word] * count)
    return (
        f"{word} {count}",
        f'Write the word "{word}" exactly {COUNTS[count]} times, and nothing else.',
        f"Write the word stone three times: stone stone stone\nWrite the word river two times: river river\n"
        f"Write the word {word} {COUNTS[count]} times:",
        answer,
        {"regex": rf"(?i)\A\W*{word}(?:\W+{word}){{{count - 1}}}\W*\Z"},
    )


def _begin(i: int) -> Made:
    word, topic = BEGINNINGS[i % len(BEGINNINGS)], TOPICS[i]
    return (
        f"{word} {topic}",
        f'Write one sentence about {topic} that begins with the word "{word}".',
        f'A sentence about cats that begins with the word "Whenever": Whenever my cat is hungry, it meows.\n'
        f'A sentence about {topic} that begins with the word "{word}":',
        f"{word} people talk about {topic} and smile.",
        {"regex": rf"\A\W*{word}\b", "least_words": 4, "contains": topic.split()[-1]},
    )


def _end(i: int) -> Made:
    word, topic = ENDINGS[i % len(ENDINGS)], TOPICS[i]
    return (
        f"{word} {topic}",
        f'Write one sentence about {topic} that ends with the word "{word}".',
        f'A sentence about cats that ends with the word "night": My cat likes to go out at night.\n'
        f'A sentence about {topic} that ends with the word "{word}":',
        f"We talk about {topic} {word}.",
        {"regex": rf"(?i)\b{word}\W*\Z", "least_words": 4},
    )


def _both(i: int) -> Made:
    words = shuffled("both", WORDS)
    first, second = words[i], words[(i + 5) % len(words)]
    return (
        f"{first} {second}",
        f'Write one sentence that contains the words "{first}" and "{second}".',
        f'A sentence with the words "cat" and "sofa": The cat sleeps on the sofa.\n'
        f'A sentence with the words "{first}" and "{second}":',
        f"The {first} is near the {second}.",
        {"contains": [first, second], "least_words": 4, "most_words": 30},
    )


def _copy(i: int) -> Made:
    text = SENTENCES[i]
    return (
        text,
        f"Repeat this sentence word for word, and write nothing else: {text}",
        f"Sentence: The sun is warm.\nThe same sentence again: The sun is warm.\n\nSentence: {text}\nThe same sentence"
        " again:",
        text,
        {"exact": [text, f'"{text}"']},
    )


def _change(i: int) -> Made:
    text, (old, new) = SENTENCES[i], list(CHANGED.items())[i]
    old_word = old if old in text else old.capitalize()
    answer = text.replace(old_word, new if old in text else new.capitalize())
    return (
        f"{old} {new}",
        f'Rewrite this sentence with the word "{new}" in place of "{old}": {text}',
        f'Sentence: The sun is warm.\nWith "moon" in place of "sun": The moon is warm.\n\nSentence: {text}\n'
        f'With "{new}" in place of "{old}":',
        answer,
        {"contains": answer.removesuffix("."), "lacks": old},
    )


def _reverse(i: int) -> Made:
    words = shuffled(f"reverse {i}", WORDS)[: 3 + i % 2]
    back = words[::-1]
    return (
        " ".join(words),
        f"Write these words in reverse order, separated by commas: {', '.join(words)}",
        f"Words: stone, river, cloud\nIn reverse order: cloud, river, stone\n\nWords: {', '.join(words)}\nIn reverse"
        " order:",
        ", ".join(back),
        {"regex": rf"(?i)(?:\A|\n|: )\W*{',? '.join(back)}\W*\Z"},
    )


def _sort(i: int) -> Made:
    words = shuffled(f"sort {i}", WORDS)[:3]
    right = sorted(words)
    if words == right:
        words = words[::-1]
    return (
        " ".join(words),
        f"Put these words in alphabetical order, separated by commas: {', '.join(words)}",
        f"Words: river, cloud, stone\nIn alphabetical order: cloud, river, stone\n\nWords: {', '.join(words)}\nIn"
        " alphabetical order:",
        ", ".join(right),
        {"regex": rf"(?i)(?:\A|\n|: )\W*{',? '.join(right)}\W*\Z"},
    )


def _first(i: int) -> Made:
    words = shuffled(f"first {i}", WORDS)[:5]
    place = between(f"place {i}", 0, 3)
    which = ("first", "second", "third", "last")[place]
    right = words[-1] if which == "last" else words[place]
    return (
        f"{which} {' '.join(words)}",
        f"Write only the {which} word of this list: {', '.join(words)}",
        f"List: stone, river, cloud, paper, horse. The third word of the list is: cloud\n"
        f"List: {', '.join(words)}. The {which} word of the list is:",
        right,
        {"contains": right, "lacks": [word for word in words if word != right]},
    )


FORMS: dict[str, Callable[[int], Made]] = {
    "repeat": _repeat,
    "begin": _begin,
    "end": _end,
    "both": _both,
    "copy": _copy,
    "change": _change,
    "reverse": _reverse,
    "sort": _sort,
    "first": _first,
}
"""What makes the items of a form out of their numbers."""


def items() -> list[Item]:
    """Returns the items; each stands for itself, but for those about one sentence."""
    entries = []
    for form, make in FORMS.items():
        for i in range(EACH):
            name, asked, plain, answer, check = make(i)
            group = f"instructions sentence {i}" if form in ("copy", "change") else f"instructions {form} {name}"
            entries.append(
                question("instructions", f"{form} {name}", group, asked, plain, answer, check, max_tokens=32)
            )
    return entries
