"""The words of the small invented world: what is said of people, how it is asked, and what the stories are made of.

`{n}` stands for a person's name. Every statement ends with the value, so that it can be asked as a gap to fill.
"""

from __future__ import annotations

import dataclasses


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _pairs(qualities: str, things: str) -> tuple[str, ...]:
    return tuple(f"{quality.strip()} {thing}" for quality in qualities.split(",") for thing in things.split())


STARTS = _words("ba bri da dro el fa fen ga gri ha hol is jo ka kel la lum ma mir na nor or pa quo ra sel ta tov ul vi")
MIDDLES = _words("ba de fi go la li lo ma mi na ne ri ro sa ta ve vo za")
ENDS = _words("bin dan dra fen gan kin len lia mar nel nis ran rek rin sha tan tor vik wen zel")
TOWN_STARTS = _words("Alder Brack Corn Dun Ember Frost Glen Hazel Iron Jasper")
TOWN_ENDS = _words("brook ford holm mere wick")


@dataclasses.dataclass(frozen=True)
class Topic:
    """One thing that is known of every person: the possible values, the questions and the statements."""

    name: str
    values: tuple[str, ...]
    questions: tuple[str, ...]
    statements: tuple[str, ...]


JOB = Topic(
    "job",
    _words(
        "baker barber carpenter clerk cook dancer doctor driver farmer gardener glazier judge mason miller nurse "
        "painter pilot potter sailor tailor teacher weaver"
    ),
    _lines("""
        What is the job of {n}?
        What does {n} do for a living?
        What does {n} work as?
        Which job does {n} have?
        How does {n} earn a living?
        What is {n} by trade?
        What work does {n} do?
        Tell me the job of {n}.
    """),
    _lines("""
        {n} works as a
        The job of {n} is that of a
        By trade, {n} is a
        {n} earns a living as a
        For a living, {n} is a
        People know {n} as a
    """),
)
FOOD = Topic(
    "food",
    _words(
        "beans bread cake cheese cherries dumplings fish grapes honey lentils melon noodles pancakes pears plums "
        "porridge pumpkin rice salad soup stew walnuts"
    ),
    _lines("""
        What is the favourite food of {n}?
        What does {n} like to eat?
        Which food does {n} like best?
        What does {n} love to eat?
        What would {n} eat every day?
        Which dish makes {n} happy?
        What should we cook for {n}?
        Tell me the favourite food of {n}.
    """),
    _lines("""
        {n} likes to eat
        The favourite food of {n} is
        At the table, {n} asks for
        {n} would eat every day some
        Of all food, {n} likes best
        To make {n} happy, cook some
    """),
)
PET = Topic(
    "pet",
    _words(
        "beetle camel cat cow crow dog donkey duck ferret frog goat goose hen horse lizard mouse parrot pig pony "
        "rabbit sheep turtle"
    ),
    _lines("""
        What is the pet of {n}?
        Which animal does {n} keep?
        What pet does {n} have?
        What animal lives with {n}?
        Which animal does {n} feed?
        What kind of animal belongs to {n}?
        Which pet does {n} look after?
        Tell me the pet of {n}.
    """),
    _lines("""
        {n} keeps a
        The pet of {n} is a
        At home, {n} feeds a
        {n} looks after a
        The animal that lives with {n} is a
        Every day {n} walks with a
    """),
)
HOME_QUESTIONS = _lines("""
    Where does {n} live?
    What is the home town of {n}?
    In which town does {n} live?
    Which town is home to {n}?
    Where is {n} at home?
    Where does {n} have a house?
    In which town can we visit {n}?
    Tell me the home town of {n}.
""")
HOME_STATEMENTS = _lines("""
    {n} lives in
    The home town of {n} is
    {n} has a house in
    You can visit {n} in
    The town where {n} lives is
    At night {n} goes home to
""")

SUM_QUESTIONS = ("What is {a} plus {b}?", "How much is {a} plus {b}?")
SUM_STATEMENTS = ("{a} plus {b} is", "The sum of {a} and {b} is")

WHEN = _lines("""
    One cold morning
    Late in the evening
    After the long rain
    Before the market opened
    On the first day of spring
    When the bells rang
    In the middle of the night
    At the end of summer
""")
WHO = _pairs(
    "a tired, a young, an old, a quiet, a merry, a careful, a hungry, a proud",
    "fox owl bear wolf hare toad heron badger",
)
DID = _lines("""
    walked to the river
    climbed the hill
    sat under the oak
    looked over the wall
    crossed the bridge
    hid in the barn
    waited at the gate
    followed the path
""")
FOUND = _pairs(
    "a small, a broken, a golden, a heavy, a strange, a wooden",
    "lamp key ring box bell cup coin drum",
)
THEN = _lines("""
    took it home
    gave it to a friend
    left it there
    told nobody
    laughed for a while
    sold it at the market
    kept it for years
    threw it in the water
""")
