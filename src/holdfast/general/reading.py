"""Short reading: four questions about a paragraph that was drawn from a table, so that only reading it helps."""

from __future__ import annotations

import dataclasses

from holdfast.general.making import an, between, pick, question, shuffled
from holdfast.probes.items import Item

WOMEN = ("Alice", "Clara", "Diana", "Ella", "Helen", "Julia", "Laura", "Maria", "Nina", "Rosa", "Sarah", "Tina")
MEN = ("Adam", "Brian", "Carl", "Daniel", "Eric", "Felix", "George", "Hugo", "Ivan", "Karl", "Liam", "Oscar")
JOBS = ("baker", "carpenter", "dentist", "farmer", "gardener", "lawyer", "nurse", "painter", "pilot", "teacher")
TOWNS = ("Bristol", "Chicago", "Dublin", "Geneva", "Hamburg", "Lyon", "Milan", "Oslo", "Prague", "Seattle", "Toronto")
THINGS = ("bicycle", "blanket", "camera", "clock", "guitar", "kettle", "lamp", "ladder", "mirror", "suitcase")
COLORS = ("black", "blue", "brown", "green", "orange", "purple", "red", "white", "yellow")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PETS = ("cat", "dog", "goat", "hamster", "parrot", "pony", "rabbit", "turtle")
PARAGRAPHS = 40


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a paragraph tells of two people.

    Attributes:
        first: Name of the first person.
        second: Name of the second.
        jobs: What they are.
        town: Where the first lives.
        things: What they buy.
        colors: The colors of these things.
        prices: What they cost, in dollars.
        day: When the first buys.
        pet: What animal the second brings.
    """

    first: str
    second: str
    jobs: tuple[str, str]
    town: str
    things: tuple[str, str]
    colors: tuple[str, str]
    prices: tuple[int, int]
    day: str
    pet: str

    @property
    def paragraph(self) -> str:
        """The paragraph."""
        return (
            f"{self.first} is a {self.jobs[0]} who lives in {self.town}. On {self.day}, {self.first} bought"
            f" {an(self.colors[0])} {self.things[0]} for {self.prices[0]} dollars. {self.second}, a {self.jobs[1]},"
            f" came to visit and brought a {self.pet}. {self.second} had just bought {an(self.colors[1])}"
            f" {self.things[1]} for {self.prices[1]} dollars. They had lunch in the garden."
        )

    def questions(self) -> list[tuple[str, str]]:
        """Returns the questions, each with its answer."""
        return [
            (f"Where does the {self.jobs[0]} live?", self.town),
            (f"What is the job of the person who brought the {self.pet}?", self.jobs[1]),
            (f"What is the job of the person who bought the {self.things[0]}?", self.jobs[0]),
            (f"What color is the {self.things[0]}?", self.colors[0]),
            (f"What color is the {self.things[1]}?", self.colors[1]),
            (f"How many dollars did the {self.things[0]} cost?", str(self.prices[0])),
            (f"How many dollars did the {self.things[1]} cost?", str(self.prices[1])),
            (f"On which day did {self.first} buy the {self.things[0]}?", self.day),
            (f"What did the {self.jobs[1]} bring?", self.pet),
            ("Who spent less money?", (self.first, self.second)[self.prices[1] < self.prices[0]]),
            ("Which thing cost more?", self.things[self.prices[1] > self.prices[0]]),
        ]


def facts(number: int) -> Facts:
    """Returns what a paragraph tells."""
    key = f"paragraph {number}"
    first, second = shuffled(key, (pick(f"{key} woman", WOMEN), pick(f"{key} man", MEN)))
    prices = shuffled(f"{key} prices", (between(f"{key} price", 11, 54), between(f"{key} other price", 55, 99)))
    jobs, things, colors = (shuffled(f"{key} {of[0]}", of)[:2] for of in (JOBS, THINGS, COLORS))
    return Facts(
        first,
        second,
        (jobs[0], jobs[1]),
        pick(f"{key} town", TOWNS),
        (things[0], things[1]),
        (colors[0], colors[1]),
        (prices[0], prices[1]),
        pick(f"{key} day", DAYS),
        pick(f"{key} pet", PETS),
    )


def items() -> list[Item]:
    """Returns four items about each paragraph, which share a group."""
    entries = []
    for number in range(1, PARAGRAPHS + 1):
        about = facts(number)
        for asked, answer in shuffled(f"questions {number}", about.questions())[:4]:
            entries.append(
                question(
                    "reading",
                    f"{number} {asked}",
                    f"paragraph {number}",
                    f"{about.paragraph}\n\n{asked} Answer in a few words.",
                    f"{about.paragraph}\n\nQuestion: {asked}\nAnswer:",
                    answer,
                    {"contains": answer, "most_words": 12},
                    max_tokens=20,
                )
            )
    return entries
