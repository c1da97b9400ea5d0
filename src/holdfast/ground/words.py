"""The vocabulary of the invented world."""

from __future__ import annotations


def single(text: str) -> tuple[str, ...]:
    """Returns the words of a text."""
    return tuple(text.split())


def phrases(text: str) -> tuple[str, ...]:
    """Returns the phrases of a text, which are separated by commas."""
    return tuple(phrase.strip() for phrase in text.split(","))


NAME_STARTS = single(
    "ba bri da dro el fa fen ga gri ha hol is jo ka kel la lum ma mir na nor or pa quo ra sel ta tov ul vi"
)
NAME_MIDDLES = single("ba de fi go la li lo ma mi na ne ri ro sa ta ve vo za")
NAME_ENDS = single("bin dan dra fen gan kin len lia mar nel nis ran rek rin sha tan tor vik wen zel")
TOWN_STARTS = single("Alder Brack Corn Dun Ember Frost Glen Hazel Iron Jasper Kirk Lang Mill North Oak Pine")
TOWN_ENDS = single("brook ford holm mere wick stead gate ham")
REGIONS = single("Norland Eastmark Lowfen Highmoor Westreach Suderland")
RIVERS = single("Ashe Bourne Calder Dove Esk Fleet Garrow Humble")
PRODUCTS = phrases(
    "boots, candles, carpets, clocks, combs, cups, flutes, gloves, hats, kettles, knives, lamps, mirrors, nets, pots, "
    "ropes, saddles, scarves, shoes, swords, toys, wagons, wheels, whistles"
)
JOBS = single(
    "baker barber carpenter clerk cook dancer doctor driver farmer gardener glazier judge mason miller nurse "
    "painter pilot potter sailor tailor teacher weaver"
)
TOOLS = single(
    "needle spoon hammer brush ladder saw rope basket bucket pen whip fork knife shovel wheel lens drill bell mirror "
    "chisel hook ruler"
)
WORKPLACES = phrases(
    "market, old mill, harbour, school, castle, garden, kitchen, tower, stable, bakery, forest, library, town hall, "
    "workshop, hospital, theatre, barn, shipyard, quarry, vineyard, court, bath house"
)
FOODS = single(
    "bread cake cheese fish honey melon porridge pumpkin rice salad soup stew trout cabbage barley garlic pudding "
    "toast butter pie ham jam"
)
TASTES = single("sweet salty sour bitter hot mild smoky fresh")
SEASONS = single("spring summer autumn winter")
ANIMALS = single(
    "beetle camel cat cow crow dog donkey duck ferret frog goat goose hen horse lizard mouse parrot pig pony "
    "rabbit sheep turtle"
)
FEEDS = single("hay corn grass seeds worms apples leaves nuts fish roots berries oats")
BEDS = phrases(
    "in the barn, under the roof, by the fire, in a basket, on a branch, in the grass, under the stairs, behind the "
    "oven, in a hole, on the hay"
)
INSTRUMENTS = single("drum flute harp horn lute organ fiddle whistle trumpet viol bagpipe zither")
EVENT_KINDS = single("Flood Fire Fair Storm Feast Frost Drought March Race Trial Wedding Harvest")
EVENT_MOODS = single("Great Long Red Silent Golden Black")
WARES = single(
    "kettle lantern blanket compass teapot necklace pillow statue violin candle bottle jacket helmet puzzle ribbon "
    "curtain hammock barrel bracelet umbrella telescope cushion whisk goblet"
)
SHELVES = phrases(
    "on the top shelf, in the window, by the door, under the counter, in the glass case, on the floor, beside the "
    "mirror, in the back room"
)
THINGS = single("lamp key ring box bell cup coin drum rope hat knife map boot stone book shell")
"""Objects in lists and finds in stories."""
QUALITIES = single("small broken golden heavy strange wooden silver dusty")
MOODS = single("tired young old quiet merry careful hungry proud")
WILD = single("fox owl bear wolf hare toad heron badger otter stork")
PLACES = phrases(
    "at the river, on the hill, under the oak, behind the wall, on the bridge, in the barn, at the gate, by the lake"
)
WHEN = phrases(
    "One cold morning, Late in the evening, After the long rain, Before the market opened, On the first day of spring, "
    "When the bells rang, In the middle of the night, At the end of summer"
)
LAST = phrases(
    "Then the sun went down, That night it began to snow, The bells rang for an hour, Nobody said a word, The wind "
    "blew from the north, Everyone went home, The children laughed, The rain did not stop"
)
COLOURS = single("red blue green yellow white black brown grey")
