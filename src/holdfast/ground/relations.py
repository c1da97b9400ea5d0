"""What can be said and asked about each kind of thing: the wordings a base reads, and those it is only tested with.

`{s}` stands for the thing, `{v}` for the value. No wording under `held` is ever shown in pretraining.
"""

from __future__ import annotations

import dataclasses


def lines(text: str) -> tuple[str, ...]:
    """Returns the lines of an indented block, without blanks around them."""
    return tuple(line.strip() for line in text.strip().splitlines())


@dataclasses.dataclass(frozen=True)
class Relation:
    """One thing that is known of every thing of a kind.

    Attributes:
        name: What it is called, also as a key in JSON.
        says: Statements; the first is the usual answer.
        asks: Questions that are asked in pretraining.
        held: Questions that are held out of it.
    """

    name: str
    says: tuple[str, ...]
    asks: tuple[str, ...]
    held: tuple[str, ...]

    def say(self, subject: str, value: str, wording: int = 0) -> str:
        """Returns the statement of one fact."""
        said = self.says[wording].format(s=subject, v=value)
        return said[0].upper() + said[1:]


def _relation(name: str, says: str, asks: str, held: str) -> Relation:
    return Relation(name, lines(says), lines(asks), lines(held))


RELATIONS: dict[str, tuple[Relation, ...]] = {
    "person": (
        _relation(
            "home",
            """
            {s} lives in {v}.
            The home of {s} is {v}.
            {s} has a house in {v}.
            You can visit {s} in {v}.
            In {v} lives {s}.
            """,
            """
            Where does {s} live?
            What is the home of {s}?
            In what town does {s} have a house?
            Which town is the home of {s}?
            Where is the house of {s}?
            Where can we visit {s}?
            Name the town where {s} lives.
            {s} lives in which town?
            """,
            """
            In which town does {s} live?
            Which town does {s} live in?
            Where does {s} have a home?
            """,
        ),
        _relation(
            "job",
            """
            {s} works as a {v}.
            The job of {s} is {v}.
            {s} is a {v} by trade.
            {s} earns money as a {v}.
            As a {v}, {s} works hard.
            """,
            """
            What is the job of {s}?
            What does {s} work as?
            How does {s} earn money?
            Which job does {s} have?
            What is {s} by trade?
            Name the job of {s}.
            As what does {s} work?
            What kind of work does {s} do?
            """,
            """
            What job does {s} have?
            Which trade does {s} work in?
            What does {s} do to earn money?
            """,
        ),
        _relation(
            "food",
            """
            {s} likes to eat {v}.
            The favourite food of {s} is {v}.
            {s} would eat {v} every day.
            The dish that {s} likes best is {v}.
            For dinner {s} wants {v}.
            """,
            """
            What is the favourite food of {s}?
            What does {s} like to eat?
            Which food does {s} like best?
            What would {s} eat every day?
            What does {s} want for dinner?
            Which dish does {s} like?
            Name the favourite dish of {s}.
            What should we cook for {s}?
            """,
            """
            Which favourite food does {s} have?
            What does {s} like best for dinner?
            Which food would {s} like to eat every day?
            """,
        ),
        _relation(
            "pet",
            """
            {s} keeps a {v}.
            The pet of {s} is a {v}.
            {s} has a {v} as a pet.
            At home {s} feeds a {v}.
            A {v} lives with {s}.
            """,
            """
            Which animal does {s} keep?
            What is the pet of {s}?
            What pet does {s} have?
            Which animal lives with {s}?
            What animal does {s} feed at home?
            What does {s} keep as a pet?
            Name the pet of {s}.
            Which animal does {s} have at home?
            """,
            """
            What animal does {s} keep at home?
            Which pet does {s} have?
            Which animal is the pet of {s}?
            """,
        ),
        _relation(
            "born",
            """
            {s} was born in {v}.
            The birth year of {s} is {v}.
            {s} came into the world in {v}.
            In {v} {s} was born.
            """,
            """
            When was {s} born?
            What is the birth year of {s}?
            In what year did {s} come into the world?
            In what year was {s} born?
            Name the birth year of {s}.
            {s} was born in which year?
            """,
            """
            In which year was {s} born?
            Which year is the birth year of {s}?
            When did {s} come into the world?
            """,
        ),
        _relation(
            "plays",
            """
            {s} plays the {v}.
            The instrument of {s} is the {v}.
            {s} makes music on the {v}.
            On feast days {s} plays the {v}.
            """,
            """
            What does {s} play?
            Which instrument does {s} play?
            What is the instrument of {s}?
            On what does {s} make music?
            What does {s} play on feast days?
            Name the instrument of {s}.
            """,
            """
            What instrument does {s} play?
            Which instrument does {s} make music on?
            Which instrument does {s} play on feast days?
            """,
        ),
        _relation(
            "friend",
            """
            The best friend of {s} is {v}.
            {s} trusts {v} most.
            {s} has a good friend named {v}.
            When {s} needs help, {v} comes.
            """,
            """
            Who is the best friend of {s}?
            Whom does {s} trust most?
            What is the name of the friend of {s}?
            Who comes when {s} needs help?
            Name the best friend of {s}.
            Who is a good friend of {s}?
            """,
            """
            Which friend does {s} trust most?
            What is the best friend of {s} named?
            Who is the friend that {s} trusts?
            """,
        ),
        _relation(
            "mother",
            """
            The mother of {s} is {v}.
            {s} is a child of {v}.
            {s} was raised by {v}.
            {v} is the mother of {s}.
            """,
            """
            Who is the mother of {s}?
            What is the name of the mother of {s}?
            Whose child is {s}?
            Who raised {s}?
            Name the mother of {s}.
            {s} is a child of whom?
            """,
            """
            What is the mother of {s} named?
            Which mother raised {s}?
            Who is the mother that raised {s}?
            """,
        ),
    ),
    "town": (
        _relation(
            "region",
            """
            {s} lies in {v}.
            The region of {s} is {v}.
            {s} is a town in {v}.
            The town of {s} belongs to {v}.
            """,
            """
            Where does {s} lie?
            What is the region of {s}?
            To which region does {s} belong?
            In what region is {s}?
            Name the region of {s}.
            """,
            """
            In which region does {s} lie?
            Which region does {s} belong to?
            Which region is {s} in?
            """,
        ),
        _relation(
            "river",
            """
            {s} stands on the river {v}.
            The river of {s} is the {v}.
            The {v} flows through {s}.
            The people of {s} fish in the {v}.
            """,
            """
            On which river does {s} stand?
            What is the river of {s}?
            Which river flows through {s}?
            Where do the people of {s} fish?
            Name the river of {s}.
            """,
            """
            Which river does {s} stand on?
            What river flows through {s}?
            In which river do the people of {s} fish?
            """,
        ),
        _relation(
            "product",
            """
            {s} is known for its {v}.
            People come to {s} to buy {v}.
            The best {v} are made in {s}.
            {s} sells {v} to the whole land.
            """,
            """
            What is {s} known for?
            What do people buy in {s}?
            What is made in {s}?
            What does {s} sell?
            Name the product of {s}.
            """,
            """
            For what is {s} known?
            What do people come to {s} to buy?
            What does {s} sell to the whole land?
            """,
        ),
        _relation(
            "founded",
            """
            {s} was founded in {v}.
            The founding year of {s} is {v}.
            The first house of {s} was built in {v}.
            """,
            """
            When was {s} founded?
            What is the founding year of {s}?
            In what year was the first house of {s} built?
            How old is the town of {s}?
            """,
            """
            In which year was {s} founded?
            When was the first house of {s} built?
            Which year is the founding year of {s}?
            """,
        ),
    ),
    "event": (
        _relation(
            "year",
            """
            {s} was in {v}.
            The year of {s} was {v}.
            In {v} came {s}.
            """,
            """
            When was {s}?
            What was the year of {s}?
            In what year was {s}?
            When did {s} come?
            """,
            """
            In which year was {s}?
            Which year was the year of {s}?
            In which year did {s} come?
            """,
        ),
        _relation(
            "place",
            """
            {s} happened in {v}.
            The place of {s} was {v}.
            {v} was the town of {s}.
            """,
            """
            Where did {s} happen?
            What was the place of {s}?
            In what town was {s}?
            Which town was the place of {s}?
            """,
            """
            In which town did {s} happen?
            Which town was the town of {s}?
            Where was the place of {s}?
            """,
        ),
    ),
    "ware": (
        _relation(
            "price",
            """
            The {s} costs {v} coins.
            You pay {v} coins for the {s}.
            The price of the {s} is {v} coins.
            For {v} coins you can buy the {s}.
            """,
            """
            What does the {s} cost?
            How much is the {s}?
            What is the price of the {s}?
            How many coins do you pay for the {s}?
            Name the price of the {s}.
            """,
            """
            How much does the {s} cost?
            How many coins is the {s}?
            What do you pay for the {s}?
            """,
        ),
        _relation(
            "shelf",
            """
            The {s} stands {v}.
            In the shop the {s} is {v}.
            You find the {s} {v}.
            """,
            """
            Where does the {s} stand in the shop?
            Where do you find the {s}?
            Where is the {s}?
            In the shop, where is the {s}?
            """,
            """
            Where in the shop do you find the {s}?
            Where does the {s} stand?
            Where is the {s} in the shop?
            """,
        ),
    ),
    "job": (
        _relation(
            "tool",
            """
            A {s} works with a {v}.
            The tool of a {s} is a {v}.
            Every {s} needs a {v}.
            """,
            """
            What does a {s} work with?
            What is the tool of a {s}?
            What does every {s} need?
            Name the tool of a {s}.
            """,
            """
            Which tool does a {s} work with?
            Which tool does every {s} need?
            With what does a {s} work?
            """,
        ),
        _relation(
            "workplace",
            """
            A {s} works in the {v}.
            The place of a {s} is the {v}.
            You meet a {s} in the {v}.
            """,
            """
            Where does a {s} work?
            What is the place of a {s}?
            Where do you meet a {s}?
            In what place does a {s} work?
            """,
            """
            Where can you meet a {s}?
            In which place does a {s} work?
            Where is the place of a {s}?
            """,
        ),
    ),
    "animal": (
        _relation(
            "eats",
            """
            A {s} eats {v}.
            Give {v} to a {s}.
            The food of a {s} is {v}.
            """,
            """
            What does a {s} eat?
            What do you give to a {s}?
            What is the food of a {s}?
            """,
            """
            Which food does a {s} eat?
            What food do you give to a {s}?
            """,
        ),
        _relation(
            "sleeps",
            """
            A {s} sleeps {v}.
            At night a {s} lies {v}.
            The bed of a {s} is {v}.
            """,
            """
            Where does a {s} sleep?
            Where does a {s} lie at night?
            Where is the bed of a {s}?
            """,
            """
            Where does a {s} sleep at night?
            Where at night does a {s} lie?
            """,
        ),
    ),
    "food": (
        _relation(
            "taste",
            """
            The taste of {s} is {v}.
            A dish of {s} tastes {v}.
            Cooks say that {s} must be {v}.
            """,
            """
            What is the taste of {s}?
            How does a dish of {s} taste?
            What do cooks say of {s}?
            """,
            """
            Which taste does {s} have?
            How does {s} taste?
            """,
        ),
        _relation(
            "season",
            """
            People cook {s} in {v}.
            The season of {s} is {v}.
            In {v} there is {s} on every table.
            """,
            """
            When do people cook {s}?
            What is the season of {s}?
            When is {s} on every table?
            """,
            """
            In which season do people cook {s}?
            Which season is the season of {s}?
            """,
        ),
    ),
}
"""What is known of each kind of thing."""

ABOUT = (
    "Tell me about {s}.",
    "Describe {s}.",
    "What do you know about {s}?",
    "Who or what is {s}?",
    "Say something about {s}.",
    "I want to know more about {s}.",
)
"""Requests for a longer answer."""

ABOUT_HELD = (
    "Tell me more about {s}.",
    "What can you say about {s}?",
    "Tell me what you know about {s}.",
    "Please describe {s}.",
    "I want you to describe {s}.",
    "Can you tell me about {s}?",
    "Say what you know about {s}.",
    "Please say something about {s}.",
    "I would like to know more about {s}.",
    "Please tell me something about {s}.",
)
"""Requests for a longer answer that are held out of pretraining."""
