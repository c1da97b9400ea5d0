"""Statements and questions about people; pretraining shows no wording of the last block of a relation."""

from __future__ import annotations

from holdfast.ground.wording import relation

PERSON = (
    relation(
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
    relation(
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
    relation(
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
    relation(
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
    relation(
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
    relation(
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
    relation(
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
    relation(
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
)
"""The relations of every person."""
