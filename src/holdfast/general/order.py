"""Everyday order: two sentences with the same words, of which one tells two steps in the order in which they happen."""

from __future__ import annotations

from holdfast.general.making import choice
from holdfast.probes.items import Item

ORDERS = """
make tea: boil the water > pour the water into the cup > drink the tea
bake bread: mix the dough > put the dough in the oven > take the bread out of the oven
send a letter: write the letter > close the envelope > drop the envelope in the mailbox
wash clothes: put the clothes in the machine > start the machine > hang the clothes up to dry
drive to work: open the car door > start the engine > park at the office
plant a tree: dig a hole > put the tree in the hole > water the soil around the tree
paint a wall: open the can of paint > dip the brush in the paint > clean the brush
borrow a book: find the book on the shelf > take the book home > return the book to the library
fly to another city: book a ticket > board the plane > land at the airport
cook pasta: boil the water > put the pasta in the pot > drain the pasta
have a picnic: pack the food > carry the basket to the park > eat on the grass
see a film at the cinema: buy a ticket > find a seat > watch the film
make a sandwich: slice the bread > put cheese on the bread > eat the sandwich
build a house: lay the foundation > put up the walls > put on the roof
take an exam: study the subject > read the questions > hand in the answers
eat at a restaurant: read the menu > order the food > pay the bill
wash the dishes: fill the sink with water > scrub the plates > put the plates back in the cupboard
take a photo: point the camera > press the button > look at the picture
go swimming: put on a swimsuit > jump into the pool > dry off with a towel
grow tomatoes: plant the seeds > water the young plants > pick the ripe tomatoes
wrap a present: put the gift in a box > wrap the box in paper > tie a ribbon around the paper
go to bed: put on pajamas > turn off the light > fall asleep
make scrambled eggs: crack the eggs > stir the eggs in the pan > put the eggs on a plate
change a flat tire: lift the car > take off the flat tire > put on the spare tire
brush your teeth: put toothpaste on the brush > brush every tooth > rinse your mouth
withdraw cash: put the card in the machine > enter the code > take the money
go camping: pack the tent > put up the tent > sleep in the tent
light a candle: strike a match > hold the match to the wick > blow the candle out
play a record: take the record out of its sleeve > put the record on the player > listen to the music
iron a shirt: heat the iron > press the shirt > hang the shirt in the closet
cut the grass: start the mower > push the mower across the lawn > rake up the cut grass
catch a fish: put bait on the hook > cast the line > reel in the fish
make a snowman: roll a big ball of snow > put the head on top > push a carrot into the head
mend a sock: thread the needle > sew up the hole > cut the thread
weigh a parcel: put the parcel on the scale > read the weight > buy the stamps
move to a new home: pack the boxes > load the truck > unpack the boxes
"""
"""What is done in which order, step by step."""


def orders() -> dict[str, list[str]]:
    """Returns the steps of each activity."""
    lines = (line.split(": ") for line in ORDERS.strip().splitlines())
    return {activity: steps.split(" > ") for activity, steps in lines}


def items() -> list[Item]:
    """Returns three items for each activity, which share a group: each pair of its steps."""
    entries = []
    for activity, steps in orders().items():
        for first, second in ((0, 1), (1, 2), (0, 2)):
            one, other = steps[first], steps[second]
            told = (f"To {activity}, first {a}, and then {b}." for a, b in ((one, other), (other, one)))
            entries.append(
                choice("order", f"{activity} {first + 1} {second + 1}", f"activity {activity}", "", "", [*told])
            )
    return entries
