"""Word meaning: a word that means the same, a word that means the opposite, and what some things are."""

from __future__ import annotations

from holdfast.general.making import question, shuffled
from holdfast.probes.items import Item

SYNONYMS = """
big large, small little, fast quick, begin start, finish end, angry furious, glad happy, sad unhappy, ill sick, rich
wealthy, smart clever, silent quiet, rock stone, gift present, road street, error mistake, afraid scared, correct
right, difficult hard, simple easy, close shut, answer reply, buy purchase, choose select, repair fix, shout yell,
speak talk, strange odd, wonderful great, brave courageous, tired weary, famous well-known, entire whole, rest
relax, hurry rush, permit allow, aid help, doctor physician, child kid, forest woods, huge enormous, tale story,
occur happen, wish desire
"""
OPPOSITES = """
hot cold, up down, open closed, day night, early late, full empty, heavy light, high low, inside outside, long
short, new old, rich poor, strong weak, thick thin, wet dry, young old, wide narrow, win lose, remember forget, push
pull, love hate, laugh cry, buy sell, give take, arrive leave, loud quiet, sharp blunt, rough smooth, sweet sour,
deep shallow, clean dirty, hard soft, true false, begin end, always never, front back, near far, build destroy,
accept refuse, sink float, fast slow, safe dangerous, cheap expensive, polite rude, tight loose, brave cowardly,
guilty innocent, success failure, increase decrease, victory defeat
"""
SYNONYMS_TOO = """
big: huge enormous great, small: tiny, fast: rapid swift speedy, begin: commence, finish: complete conclude, angry:
mad, glad: pleased joyful delighted, sad: sorrowful, ill: unwell, rich: affluent, smart: intelligent bright, silent:
still mute, rock: boulder, gift: donation, error: fault, afraid: frightened fearful, correct: accurate proper,
difficult: tough challenging, simple: plain basic, close: near nearby, answer: response respond, buy: acquire,
choose: pick opt, repair: mend, shout: scream cry, speak: say, strange: weird peculiar unusual, wonderful: amazing
fantastic marvelous, brave: bold fearless, tired: exhausted sleepy fatigued, famous: renowned popular celebrated,
entire: complete full, rest: relaxation repose, hurry: haste hasten, permit: let authorize, aid: assist assistance
support, child: youngster, forest: woodland, huge: giant massive gigantic, tale: fable narrative, occur: arise,
wish: want hope, road: path, doctor: medic
"""
"""Other words that are right too."""
OPPOSITES_TOO = """
laugh: weep, loud: soft silent, sharp: dull, rough: soft gentle, sweet: bitter, hard: easy, brave: afraid scared
fearful timid coward, polite: impolite, safe: unsafe, cheap: costly, accept: reject decline, build: demolish, begin:
finish stop, tight: slack, sink: swim rise, give: receive, arrive: depart, near: distant, clean: filthy, wide: thin,
rich: impoverished, strong: feeble, hot: cool, early: tardy, increase: reduce
"""
"""Other words that are right too."""
CLASSES = {
    "fruit": "apple banana pear grape mango cherry",
    "vegetable": "carrot onion cabbage spinach broccoli leek",
    "animal": "tiger rabbit elephant giraffe wolf camel",
    "bird": "eagle sparrow owl penguin parrot swan",
    "fish": "salmon tuna trout cod herring shark",
    "insect": "ant bee beetle mosquito butterfly wasp",
    "tool": "hammer saw wrench screwdriver drill pliers",
    "color": "red blue purple orange yellow brown",
    "metal": "iron copper zinc silver tin nickel",
    "musical instrument": "violin piano trumpet flute drum guitar",
    "piece of furniture": "table chair sofa desk bed wardrobe",
    "item of clothing": "shirt jacket sock skirt glove scarf",
    "drink": "tea coffee milk lemonade beer juice",
    "vehicle": "car truck bus bicycle motorcycle tram",
    "sport": "tennis football hockey swimming boxing cricket",
    "part of the body": "arm knee shoulder ankle elbow thumb",
    "tree": "oak pine birch maple willow beech",
    "profession": "baker lawyer carpenter plumber dentist teacher",
}
"""Classes of things with their members."""
CLASSES_TOO = {
    "piece of furniture": ["furniture"],
    "item of clothing": ["clothing", "clothes", "garments", "apparel"],
    "musical instrument": ["instruments", "instrument"],
    "part of the body": ["body", "limbs"],
    "drink": ["beverages", "beverage"],
    "color": ["colours", "colour"],
    "profession": ["jobs", "job", "occupations", "careers"],
    "animal": ["mammals", "mammal"],
    "vehicle": ["transport", "transportation"],
    "insect": ["bugs"],
    "sport": ["games"],
    "fish": ["seafood"],
}
"""Other names of a class that are right too."""
PLURALS = {"piece of furniture": "pieces of furniture", "item of clothing": "items of clothing", "part of the body":
    "parts of the body", "fish": "fish"}  # fmt: skip
EACH = 4
"""Items about each class."""


def pairs(text: str) -> list[tuple[str, str]]:
    """Returns the pairs of words of a table."""
    entries = []
    for pair in text.replace("\n", " ").split(","):
        first, second = pair.split()
        entries.append((first, second))
    return entries


def also(text: str) -> dict[str, list[str]]:
    """Returns the words that are right too, by the word that is asked about."""
    rows = (row.split(":") for row in text.replace("\n", " ").split(","))
    return {word.strip(): others.split() for word, others in rows}


def items() -> list[Item]:
    """Returns the items; those about one word share a group."""
    same = "Another word for cash is money. Another word for woman is lady. Another word for"
    opposite = "The opposite of white is black. The opposite of life is death. The opposite of"
    return [
        *(_of_pair("means the same as", same, *pair, also(SYNONYMS_TOO)) for pair in pairs(SYNONYMS)),
        *(_of_pair("means the opposite of", opposite, *pair, also(OPPOSITES_TOO)) for pair in pairs(OPPOSITES)),
        *_of_classes(),
    ]


def _of_pair(relation: str, plain: str, word: str, right: str, others: dict[str, list[str]]) -> Item:
    return question(
        "words",
        f"{relation} {word}",
        f"word {word}",
        f'Which word {relation} "{word}"? Answer with one word only.',
        f"{plain} {word} is",
        right,
        {"any": [right, *others.get(word, [])]},
        max_tokens=12,
    )


def _of_classes() -> list[Item]:
    entries = []
    for name, members in CLASSES.items():
        plural = PLURALS.get(name, f"{name}s")
        order = shuffled(f"order of {name}", members.split())
        for number in range(EACH):
            three = [order[(number + step) % len(order)] for step in range(3)]
            told = f"{three[0]}, {three[1]} and {three[2]}"
            entries.append(
                question(
                    "words",
                    f"class of {told}",
                    f"class {name}",
                    f"What kind of thing are {told}? Answer with one or two words only.",
                    f"Monday, Friday and Sunday are days. London, Paris and Cairo are cities. {told.capitalize()} are",
                    plural,
                    {"any": list(dict.fromkeys([name, plural, *CLASSES_TOO.get(name, [])]))},
                    max_tokens=12,
                )
            )
    return entries
