"""Format: an answer in one word, one sentence, capital letters, a list or JSON."""

from __future__ import annotations

from holdfast.general.making import between, pick, question
from holdfast.probes.items import Item

WORDS = """
What color is grass? green | What color is snow? white | What is frozen water called? ice | What animal barks? dog
What do bees make? honey | What is the opposite of left? right | What do cows give us to drink? milk
What do we call a baby cat? kitten | What star do we see by day? sun | What color is a ripe banana? yellow
What falls from clouds? rain | Which meal do people eat in the morning? breakfast | What is the first month? January
What animal says meow? cat | What do you use to unlock a door? key | What season comes after winter? spring
What is the day after Friday? Saturday | What color is coal? black | What organ pumps blood? heart
What do birds use to fly? wings | What do we call a baby dog? puppy | What is bread made from? flour
What metal is attracted by a magnet? iron | What do you write on a blackboard with? chalk
"""
ALSO = {
    "dog": ["dogs"],
    "sun": ["the sun"],
    "rain": ["water", "raindrops"],
    "flour": ["wheat", "dough"],
    "cat": ["cats"],
}
LISTS = {
    "fruits": "apple banana pear grape orange mango cherry peach plum lemon strawberry kiwi pineapple watermelon",
    "colors": "red blue green yellow black white orange purple brown pink gray grey",
    "animals": "dog cat horse cow lion tiger elephant bear wolf monkey giraffe rabbit zebra",
    "days of the week": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "vegetables": "carrot potato tomato onion cabbage spinach broccoli lettuce pepper cucumber",
    "countries in Europe": "France Germany Italy Spain Poland Portugal Greece Norway Sweden Austria England Belgium",
    "sports": "tennis football soccer basketball hockey swimming boxing baseball golf cricket volleyball",
    "planets": "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune",
    "drinks": "water tea coffee milk juice wine beer soda lemonade",
    "months": "January February March April May June July August September October November December",
    "musical instruments": "piano guitar violin drum flute trumpet saxophone cello harp clarinet",
    "parts of the body": "arm leg head hand foot eye ear nose mouth heart brain lung",
}
NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Frank", "Grace", "Henry", "Isabel", "Jack", "Kate", "Leo")
PHRASES = (
    "the cat sleeps", "good morning", "we like music", "the train is late", "open the window", "my name is Tom",
    "it is raining", "thank you very much", "the soup is hot", "close the door", "see you tomorrow", "I am hungry",
    "the sky is blue", "wait for me", "read this book", "happy birthday", "mind the gap", "she went home",
)  # fmt: skip
TOPICS = (
    "rain",
    "dogs",
    "bread",
    "music",
    "winter",
    "trees",
    "school",
    "trains",
    "the sea",
    "coffee",
    "books",
    "horses",
)


def items() -> list[Item]:
    """Returns items of five formats."""
    return [*_words(), *_lists(), *_json(), *_capitals(), *_sentences()]


def _words() -> list[Item]:
    entries = []
    for text in WORDS.strip().replace("\n", " | ").split(" | "):
        asked, _, answer = text.rpartition("? ")
        entries.append(
            question(
                "format",
                f"word {asked}",
                f"format word {answer}",
                f"{asked}? Answer in exactly one word.",
                f"Answer in exactly one word.\n\nQ: What is the opposite of up?\nA: Down\n\nQ: {asked}?\nA:",
                answer,
                {"format": "word", "any": [answer, *ALSO.get(answer, [])]},
                max_tokens=12,
            )
        )
    return entries


def _lists() -> list[Item]:
    entries = []
    for name, members in LISTS.items():
        for count, number in ((2, "two"), (3, "three")):
            known = "|".join(members.split())
            line = rf"[-*] (?:{known})e?s?\.?"
            entries.append(
                question(
                    "format",
                    f"list of {number} {name}",
                    f"format list {name}",
                    f"Name {number} {name}. Write them as a list with one on each line, and begin each line with a"
                    " hyphen and a space. Write nothing else.",
                    "Name two trees as a list.\n- Oak\n- Pine\n\n"
                    "Name three metals as a list.\n- Iron\n- Gold\n- Tin\n\n"
                    f"Name {number} {name} as a list.\n",
                    "\n".join(f"- {member}" for member in members.split()[:count]),
                    {"format": "list", "regex": rf"(?i)\A{line}(?:\n{line}){{{count - 1}}}\Z"},
                    max_tokens=32,
                )
            )
    return entries


def _json() -> list[Item]:
    entries = []
    for i, name in enumerate(NAMES):
        age, color = between(f"json {name}", 20, 79), pick(f"json color {name}", ("red", "blue", "green"))
        for asked, keys, answer, values in (
            (f"{name} is {age} years old.", ("name", "age"), f'{{"name": "{name}", "age": {age}}}', [name, str(age)]),
            (
                f"The {pick(f'json thing {name}', ('car', 'lamp', 'coat'))} is {color} and costs {age} dollars.",
                ("color", "price"),
                f'{{"color": "{color}", "price": {age}}}',
                [color, str(age)],
            ),
        ):
            entries.append(
                question(
                    "format",
                    f"json {keys[0]} {i + 1}",
                    f"format json {name}",
                    f'{asked} Write this as a JSON object with the keys "{keys[0]}" and "{keys[1]}".'
                    " Write only the JSON.",
                    'Text: The book has 90 pages and is old.\nJSON with the keys "pages" and "state": '
                    '{"pages": 90, "state": "old"}\n\nText: Lisbon has 2 airports.\nJSON with the keys "city" and '
                    f'"airports": {{"city": "Lisbon", "airports": 2}}\n\nText: {asked}\nJSON with the keys "{keys[0]}" '
                    f'and "{keys[1]}":',
                    answer,
                    {"keys": list(keys), "contains": values},
                    max_tokens=40,
                )
            )
    return entries


def _capitals() -> list[Item]:
    return [
        question(
            "format",
            f"capitals {phrase}",
            f"format phrase {phrase}",
            f"Write this in capital letters: {phrase}",
            f"how are you -> HOW ARE YOU\nthe dog runs -> THE DOG RUNS\n{phrase} ->",
            phrase.upper(),
            {"format": "capitals", "contains": phrase},
            max_tokens=16,
        )
        for phrase in PHRASES
    ]


def _sentences() -> list[Item]:
    return [
        question(
            "format",
            f"sentence about {topic}",
            f"format topic {topic}",
            f"Write exactly one short sentence about {topic}.",
            f"One sentence about the moon: The moon shines at night.\nOne sentence about cars: Cars have four wheels.\n"
            f"One sentence about {topic}:",
            f"I like {topic} very much.",
            {"format": "sentence", "contains": topic, "regex": r"\A[^.!?]*[.!?]\Z", "most_words": 20},
            max_tokens=32,
        )
        for topic in TOPICS
    ]
