"""Units: converting a number of one unit to another."""

from __future__ import annotations

from holdfast.general.making import question, says
from holdfast.probes.items import Item

UNITS = """
centimeters in meters 100 | millimeters in centimeters 10 | meters in kilometers 1000 | millimeters in meters 1000
grams in kilograms 1000 | milligrams in grams 1000 | kilograms in tonnes 1000 | milliliters in liters 1000
seconds in minutes 60 | minutes in hours 60 | hours in days 24 | days in weeks 7 | months in years 12
years in decades 10 | years in centuries 100 | inches in feet 12 | feet in yards 3 | ounces in pounds 16
pints in quarts 2 | quarts in gallons 4 | cents in dollars 100 | items in dozens 12 | degrees in right angles 90
weeks in fortnights 2 | bits in bytes 8 | years in millennia 1000
"""
"""How many of a smaller unit are in one of a larger unit."""

ONE = {"feet": "foot", "centuries": "century", "millennia": "millennium", "inches": "inch"}
COUNTS = (1, 2, 3, 10)
"""How many of the larger unit are asked about, in words of the smaller one."""
EXAMPLES = "3 dollars in nickels is 60 nickels.\n2 miles in feet is 10,560 feet.\n"
"""What a model without a template reads before each question."""


def units() -> list[tuple[str, str, int]]:
    """Returns the smaller unit, the larger unit and the number of the smaller in one of the larger."""
    entries = []
    for text in UNITS.replace("\n", " | ").strip(" |").split(" | "):
        names, _, number = text.rpartition(" ")
        small, large = names.split(" in ")
        entries.append((small, large, int(number)))
    return entries


def counted(number: int, unit: str) -> str:
    """Returns a number of a unit, in the singular for one."""
    return f"{number:,} {ONE.get(unit, unit.removesuffix('s')) if number == 1 else unit}"


def items() -> list[Item]:
    """Returns four items for each pair of units, which share a group."""
    entries = []
    for small, large, factor in units():
        for number in COUNTS:
            entries.append(
                question(
                    "units",
                    f"{small} in {number} {large}",
                    f"units {small} {large}",
                    f"How many {small} are there in {counted(number, large)}? Answer with the number only.",
                    f"{EXAMPLES}{counted(number, large)} in {small} is",
                    str(number * factor),
                    says(number * factor),
                    max_tokens=16,
                )
            )
    return entries
