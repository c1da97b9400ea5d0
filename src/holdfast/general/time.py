"""Time: weekdays, months, clocks and years."""

from __future__ import annotations

from holdfast.general.making import between, question, says
from holdfast.probes.items import Item

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = {
    "January": 31,
    "February": 28,
    "March": 31,
    "April": 30,
    "May": 31,
    "June": 30,
    "July": 31,
    "August": 31,
    "September": 30,
    "October": 31,
    "November": 30,
    "December": 31,
}
"""The days of each month, in a year that is no leap year."""
COUNTED = ("one", "two", "three", "four", "five", "six")


def items() -> list[Item]:
    """Returns items about weekdays, months, hours and years."""
    return [*_weekdays(), *_months(), *_hours(), *_years()]


def _weekdays() -> list[Item]:
    entries = []
    for i, day in enumerate(WEEKDAYS):
        for step in (-2, -1, 1, 2, 3):
            count, way = COUNTED[abs(step) - 1], "after" if step > 0 else "before"
            days = f"{count} day{'s' if abs(step) > 1 else ''}"
            right = WEEKDAYS[(i + step) % 7]
            entries.append(
                question(
                    "time",
                    f"{days} {way} {day}",
                    f"weekday {day}",
                    f"Which day of the week is {days} {way} {day}? Answer with the name of the day only.",
                    "Three days before Thursday is Monday. Four days after Sunday is Thursday. "
                    f"{days.capitalize()} {way} {day} is",
                    right,
                    {"contains": right},
                    max_tokens=12,
                )
            )
    return entries


def _months() -> list[Item]:
    entries = []
    names = list(MONTHS)
    for i, (month, days) in enumerate(MONTHS.items()):
        group = f"month {month}"
        if month != "February":
            asked = f"How many days are there in {month}?"
            plain = f"A week has 7 days. A leap year has 366 days. The month of {month} has"
            entries.append(
                question("time", f"days in {month}", group, asked, plain, str(days), says(days), max_tokens=16)
            )
        for step in (-1, 1, 2):
            way, count = "after" if step > 0 else "before", COUNTED[abs(step) - 1]
            months = f"{count} month{'s' if abs(step) > 1 else ''}"
            right = names[(i + step) % 12]
            entries.append(
                question(
                    "time",
                    f"{months} {way} {month}",
                    group,
                    f"Which month comes {months} {way} {month}? Answer with the name of the month only.",
                    "Three months after January is April. Four months before December is August. "
                    f"{months.capitalize()} {way} {month} is",
                    right,
                    {"contains": right},
                    max_tokens=12,
                )
            )
        entries.append(
            question(
                "time",
                f"number of {month}",
                group,
                f"Which number does the month {month} have in the year? Answer with the number only.",
                f"A is letter number 1. C is letter number 3. {month} is month number",
                str(i + 1),
                says(i + 1),
                max_tokens=12,
            )
        )
    return entries


def _hours() -> list[Item]:
    entries = []
    for start in range(1, 9):
        for number, length in enumerate((1, 2, 3)):
            end = start + length
            hours = f"{COUNTED[number]} hour{'s' if length > 1 else ''}"
            entries.append(
                question(
                    "time",
                    f"{hours} from {start} o'clock",
                    f"clock {start}",
                    f"A film starts at {start} o'clock and lasts {hours}. At what time does it end?"
                    " Answer with the time only.",
                    "Four hours after 6 o'clock it is 10 o'clock. Five hours after 2 o'clock it is 7 o'clock. "
                    f"{hours.capitalize()} after {start} o'clock it is",
                    f"{end} o'clock",
                    {"regex": rf"(?<![\d:]){end}(?!\d)"},
                    max_tokens=16,
                )
            )
    return entries


def _years() -> list[Item]:
    entries = []
    for start in range(1900, 2000, 5):
        age = between(f"age {start}", 11, 39)
        entries.append(
            question(
                "time",
                f"{age} years after {start}",
                f"year {start}",
                f"A woman was born in {start}. In which year did she turn {age}?",
                f"A woman was born in {start}. She turned {age} in the year",
                str(start + age),
                says(start + age),
                max_tokens=16,
            )
        )
    return entries
