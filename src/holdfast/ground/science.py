"""The small science of the world: invented substances belong to classes, and laws hold for whole classes."""

from __future__ import annotations

import dataclasses
import random

from holdfast.data.rows import Row
from holdfast.ground.lesson import Lesson, Question, capital, talk, until
from holdfast.ground.wording import lines
from holdfast.ground.words import single
from holdfast.ground.world import World, held, rng_of


@dataclasses.dataclass(frozen=True)
class Law:
    """A property that every substance of a class has, or that none of them has.

    Attributes:
        name: Name of the law.
        yes: Statement about a substance with the property ("vorn floats on water").
        no: Statement about a substance without the property.
        asks: Questions that pretraining shows.
        held: Questions that pretraining does not show.
    """

    name: str
    yes: str
    no: str
    asks: tuple[str, ...]
    held: tuple[str, ...]

    def say(self, subject: str, true: bool) -> str:
        """Returns the statement that the subject has the property, or that it does not."""
        return capital((self.yes if true else self.no).format(s=subject))


LAWS = (
    Law(
        "floats", "{s} floats on water.", "{s} sinks in water.",
        lines("""Does {s} float on water?
              Does {s} float or sink?
              What does {s} do in water?"""),
        lines("""Does {s} float in water?
              Does {s} sink in water?
              Does {s} float or sink in water?
              Does {s} sink or float?
              What does {s} do on water?"""),
    ),
    Law(
        "burns", "{s} burns in fire.", "{s} does not burn in fire.",
        lines("""Does {s} burn in fire?
              Does fire burn {s}?
              What does {s} do in fire?"""),
        lines("""Does {s} burn?
              Does {s} burn in a fire?
              What does {s} do in a fire?
              Does a fire burn {s}?
              Does the fire burn {s}?"""),
    ),
    Law(
        "glows", "{s} glows in the dark.", "{s} stays black in the dark.",
        lines("""Does {s} glow in the dark?
              Does {s} glow or stay black?
              What does {s} do in the dark?"""),
        lines("""Does {s} glow at night in the dark?
              Does {s} stay black in the dark?
              Does {s} glow in the dark or stay black?
              Does {s} stay black or glow?
              What does {s} do at night in the dark?"""),
    ),
    Law(
        "rings", "{s} rings when you hit it.", "{s} stays silent when you hit it.",
        lines("""Does {s} ring when you hit it?
              Does {s} ring or stay silent?
              What does {s} do when you hit it?"""),
        lines("""Does {s} ring?
              Does {s} stay silent when you hit it?
              Does {s} ring or stay silent when you hit it?
              Does {s} stay silent or ring?
              What does {s} do when you hit it hard?"""),
    ),
    Law(
        "melts", "{s} melts in the sun.", "{s} stays hard in the sun.",
        lines("""Does {s} melt in the sun?
              Does {s} melt or stay hard?
              What does {s} do in the sun?"""),
        lines("""Does {s} melt?
              Does {s} stay hard in the sun?
              Does {s} melt or stay hard in the sun?
              Does {s} stay hard or melt?
              Does the sun melt {s}?"""),
    ),
)  # fmt: skip
FORMS = ("{s}", "a ring of {s}", "a cup of {s}", "a piece of {s}", "a stone of {s}", "a ball of {s}",
         "a key of {s}", "a spoon of {s}", "a bell of {s}", "a coin of {s}")  # fmt: skip
SUBSTANCES = 48
KINDS = single("belite corite dulite ferrite galite halite jorite nolite pelite rolite tulite vashite")
"""Names of classes; a base knows six of them, and four others are new to it."""


@dataclasses.dataclass(frozen=True)
class Chemistry:
    """Substances, their classes, and the laws of the classes.

    Attributes:
        classes: Each class with the truth of every law.
        substances: Each substance with its class.
        strangers: Names of substances without a class.
    """

    classes: dict[str, tuple[bool, ...]]
    substances: dict[str, str]
    strangers: tuple[str, ...]

    def question(
        self, rng: random.Random, substance: str, law: int, is_held: bool, kind: str | None = None
    ) -> Question:
        """Returns a question about a law and a substance, which belongs to its own class or to `kind`.

        The answer goes from the class to its law and from there to the conclusion.
        """
        kind = kind or self.substances[substance]
        true, subject = self.classes[kind][law], rng.choice(FORMS).format(s=substance)
        right, wrong = (LAWS[law].say(subject, so) for so in (true, not true))
        start = f"{capital(substance)} is a {kind}. {LAWS[law].say(f'a {kind}', true)} So "
        return Question(
            group=f"{substance} {LAWS[law].name}",
            prompt=capital(rng.choice(LAWS[law].held if is_held else LAWS[law].asks).format(s=subject)),
            answer=start + _lower(right),
            check={"contains": f"so {_lower(right)}".rstrip(".")},
            choices=(start + _lower(right), start + _lower(wrong)),
        )


def chemistries(world: World) -> tuple[Chemistry, Chemistry]:
    """Returns the science that a base of this world knows, and another one with classes that no base knows."""
    rng = rng_of(world.seed, "science")
    onsets = ["br", "cr", "dr", "fl", "gl", "kr", "pl", "qu", "sk", "st", "th", "tr", "z"]
    ends = ["bb", "cht", "ff", "ld", "lm", "mp", "nk", "rn", "sk", "x"]
    names: dict[str, None] = {}
    while len(names) < 2 * SUBSTANCES + 40:
        names[rng.choice(onsets) + rng.choice("aeiou") + rng.choice(ends)] = None
    made = list(names)
    truths = rng.sample([tuple(bool(n >> bit & 1) for bit in range(len(LAWS))) for n in range(1, 31)], 10)
    kinds = rng.sample(KINDS, 10)
    both = []
    for first, some in ((0, range(6)), (SUBSTANCES, range(6, 10))):
        classes = {kinds[i]: truths[i] for i in some}
        chosen = {name: kinds[some[i % len(some)]] for i, name in enumerate(made[first : first + SUBSTANCES])}
        both.append(Chemistry(classes, chosen, tuple(made[2 * SUBSTANCES :])))
    return both[0], both[1]


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


class Science(Lesson):
    """Rules for classes of substances, applied to their members."""

    suite = "laws"
    shows = "rules of a class applied to substances never asked about in this respect"
    share = 7.0

    def __init__(self, world: World) -> None:
        """Draws the science of the world."""
        super().__init__(world)
        self.chemistry = chemistries(world)[0]

    def _case(self, rng: random.Random, is_held: bool) -> tuple[str, int]:
        return until(
            lambda: (rng.choice(tuple(self.chemistry.substances)), rng.randrange(len(LAWS))),
            lambda case: held(f"science {case}", 0.3) == is_held,
        )

    def tell(self, rng: random.Random) -> Row:
        """Returns the laws of a class, the class of substances, or a question with its answer."""
        kinds = self.chemistry.substances
        if (kind := rng.random()) < 0.15:
            name = rng.choice(tuple(self.chemistry.classes))
            laws = rng.sample(range(len(LAWS)), len(LAWS))
            statements = (LAWS[i].say(f"a {name}", self.chemistry.classes[name][i]) for i in laws)
            return Row(text=" ".join(statements))
        if kind < 0.3:
            chosen = rng.sample(tuple(kinds), 5)
            return Row(text=" ".join(f"{capital(name)} is a {kinds[name]}." for name in chosen))
        substance, law = self._case(rng, False)
        question = self.chemistry.question(rng, substance, law, False)
        return talk(str(question.prompt), question.answer)

    def ask(self, rng: random.Random) -> Question:
        """Returns a question with a held-out pair of substance and law, in a held-out wording."""
        return self.chemistry.question(rng, *self._case(rng, True), True)
