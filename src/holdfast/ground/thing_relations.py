"""Statements and questions about things; pretraining shows no wording of the last block of a relation."""

from __future__ import annotations

from holdfast.ground.wording import Relation, relation

THINGS: dict[str, tuple[Relation, ...]] = {
    "town": (
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
        relation(
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
"""The relations of each kind of thing."""
