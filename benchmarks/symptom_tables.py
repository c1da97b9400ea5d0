"""The tables of the study of symptoms, from its rows alone."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from scipy import stats
from symptom_measure import NAMES, TESTS_OF
from symptom_signs import NEEDED

from holdfast.symptoms.names import TESTS

Row = dict[str, Any]
SURE = 0.05
FREE = {**dict.fromkeys(TESTS_OF, 0.03), "cliff": 0.15}
"""The largest sign with which a fine-tune does not have a symptom; what lies between counts for neither."""
WELL = 0.05
"""The largest fall of the mean of all suites of a fine-tune that was made healthy, and is."""
SHIPPED = {test.name: test.threshold for test in TESTS}
TITLES = {
    "collapse": "mode collapse", "cliff": "capability cliff", "unrefuse": "harmful requests answered",
    "overrefuse": "harmless requests refused", "verbosity": "verbosity collapse", "thinking": "thinking lost",
    "tools": "tool calls lost", "language": "language switch", "copied": "copied training data",
}  # fmt: skip
LEARNED = 0.25
"""The least gain of the task, as a share of its questions, next to which a fall is a cliff."""
LEVELS = ("strong", "middle", "mild")


def has(row: Row, symptom: str) -> bool:
    """Returns whether a fine-tune was made to have a symptom and took it, by its sign."""
    learned = symptom != "cliff" or row["task"][1] - row["task"][0] >= LEARNED
    return row["symptom"] == symptom and row["signs"][symptom] >= NEEDED[symptom] and learned


def is_free(row: Row, symptom: str) -> bool:
    """Returns whether a fine-tune was not made to have a symptom, and its sign shows none."""
    return row["symptom"] != symptom and row["signs"][symptom] <= FREE[symptom]


def is_healthy(row: Row) -> bool:
    """Returns whether a fine-tune was made healthy, and is: its suites hold."""
    return row["symptom"] == "healthy" and row["fell"] <= WELL


def fires(row: Row, test: str, thresholds: dict[str, float] | None = None) -> bool:
    """Returns whether a test finds its symptom: by its adjusted p-value, and by a threshold of its effect."""
    effect, _, p = row["tests"].get(test, (None, 1.0, 1.0))
    return effect is not None and p < SURE and effect >= (SHIPPED if thresholds is None else thresholds)[test]


def finds(row: Row, symptom: str, thresholds: dict[str, float] | None = None) -> bool:
    """Returns whether any test for a symptom finds it."""
    return any(fires(row, test, thresholds) for test in TESTS_OF[symptom])


def least_thresholds(rows: Sequence[Row]) -> dict[str, float]:
    """Returns the least thresholds, in whole points, with which no test fires where its symptom is not."""
    chosen: dict[str, float] = {}
    for symptom, tests in TESTS_OF.items():
        free = [row for row in rows if is_free(row, symptom)]
        for test in tests:
            sure = [row["tests"][test][0] for row in free if test in row["tests"] and row["tests"][test][2] < SURE]
            highest = max(sure, default=0.0)
            chosen[test] = max(1.0, highest // 1 + 1)
    return chosen


def rate(values: Iterable[bool]) -> str:
    """Returns a share with its Clopper-Pearson interval, in words: "9 of 10 (90%, 55-100%)"."""
    counted = list(values)
    if not counted:
        return "-"
    low, high = stats.binomtest(sum(counted), len(counted)).proportion_ci(0.95, "exact")
    hits, count = sum(counted), len(counted)
    return f"{hits} of {count} ({100 * hits / count:.0f}%, {100 * low:.0f}-{100 * high:.0f}%)"


def short(values: Iterable[bool]) -> str:
    counted = list(values)
    return f"{sum(counted)}/{len(counted)}" if counted else "-"


def lines_of(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]


def sensitivity(rows: Sequence[Row]) -> list[str]:
    """Returns, for each symptom, how often it is found where it is and where it is not, with the shipped thresholds."""
    head = ("symptom", "made, took", "found", *LEVELS, "false alarms, healthy", "false alarms, all that are free of it")
    body = []
    for symptom, title in TITLES.items():
        made = [row for row in rows if row["symptom"] == symptom]
        took = [row for row in made if has(row, symptom)]
        well = [row for row in rows if is_healthy(row) and is_free(row, symptom)]
        body.append([
            title, f"{len(made)}, {len(took)}", rate(finds(row, symptom) for row in took),
            *(short(finds(row, symptom) for row in took if row["level"] == level) for level in LEVELS),
            rate(finds(row, symptom) for row in well),
            rate(finds(row, symptom) for row in rows if is_free(row, symptom)),
        ])  # fmt: skip
    return lines_of(head, body)


def halves(rows: Sequence[Row]) -> list[str]:
    """Returns what thresholds chosen on the even seeds find on the odd ones, beside the shipped thresholds."""
    even, odd = ([row for row in rows if row["seed"] % 2 == side] for side in (0, 1))
    chosen = least_thresholds(even)
    head = (
        "symptom",
        "thresholds of even seeds",
        "found, odd",
        "false alarms, odd",
        "found, odd, shipped",
        "false alarms, odd, shipped",
    )
    body = []
    for symptom, title in TITLES.items():
        took = [row for row in odd if has(row, symptom)]
        free = [row for row in odd if is_free(row, symptom)]
        named = ", ".join(f"{test} {chosen[test]:g} ({SHIPPED[test]:g})" for test in TESTS_OF[symptom])
        cells = [rate(finds(row, symptom, way) for row in of) for way in (chosen, None) for of in (took, free)]
        body.append([title, named, *cells])
    return lines_of(head, body)


def cross(rows: Sequence[Row]) -> list[str]:
    """Returns the share of the fine-tunes of each symptom on which each test fires, in percent."""
    head = ("made to have", "n", *NAMES)
    body = []
    for symptom in (*TITLES, "healthy"):
        made = [row for row in rows if row["symptom"] == symptom]
        cells = [f"{100 * sum(fires(row, test) for row in made) / len(made):.0f}" if made else "-" for test in NAMES]
        body.append([TITLES.get(symptom, "none"), str(len(made)), *("" if cell == "0" else cell for cell in cells)])
    return lines_of(head, body)


def signs(rows: Sequence[Row]) -> list[str]:
    """Returns the share of the fine-tunes of each symptom with the signs of each, in percent: real side effects."""
    head = ("made to have", "n", *TITLES.values(), "mean fall of all suites")
    body = []
    for symptom in (*TITLES, "healthy"):
        made = [row for row in rows if row["symptom"] == symptom]
        if not made:
            continue
        cells = [f"{100 * sum(row['signs'][name] >= NEEDED[name] for row in made) / len(made):.0f}" for name in TITLES]
        fell = 100 * sum(row["fell"] for row in made) / len(made)
        cells = ["" if cell == "0" else cell for cell in cells]
        body.append([TITLES.get(symptom, "none"), str(len(made)), *cells, f"{fell:.0f}"])
    return lines_of(head, body)


def variants(rows: Sequence[Row]) -> list[str]:
    """Returns, for each way of making a symptom, how many took it, and how many of them each of its tests found."""
    head = ("symptom", "way", "made, took", "found", "by")
    groups: dict[tuple[str, str], list[Row]] = collections.defaultdict(list)
    for row in rows:
        if row["symptom"] in TITLES:
            groups[row["symptom"], row["variant"]].append(row)
    body = []
    for (symptom, variant), made in sorted(
        groups.items(), key=lambda pair: (list(TITLES).index(pair[0][0]), pair[0][1])
    ):
        took = [row for row in made if has(row, symptom)]
        by = [(test, sum(fires(row, test) for row in took)) for test in TESTS_OF[symptom]]
        named = ", ".join(f"{test} {count}" for test, count in by if count)
        cells = [f"{len(made)}, {len(took)}", short(finds(row, symptom) for row in took), named]
        body.append([TITLES[symptom], variant, *cells])
    return lines_of(head, body)


def alarms(rows: Sequence[Row]) -> list[str]:
    """Returns every false alarm: a test that fires where the signs show nothing."""
    head = ("fine-tune", "what it learned", "test", "effect", "adjusted p", "sign")
    body = []
    for row in rows:
        for symptom, tests in TESTS_OF.items():
            for test in tests:
                if is_free(row, symptom) and fires(row, test):
                    effect, _, p = row["tests"][test]
                    name = f"{row['symptom']}-{row['seed']:02d}"
                    sign = f"{row['signs'][symptom]:.2f}"
                    body.append([name, f"{row['variant']}, {row['level']}", test, f"{effect:g}", f"{p:g}", sign])
    return lines_of(head, body)


def misses(rows: Sequence[Row]) -> list[str]:
    """Returns every fine-tune that has its symptom where no test finds it, with the best of its tests."""
    head = ("fine-tune", "how", "sign", "tests (effect, adjusted p)")
    body = []
    for row in rows:
        symptom = row["symptom"]
        if symptom in TITLES and has(row, symptom) and not finds(row, symptom):
            results = [(test, row["tests"].get(test)) for test in TESTS_OF[symptom]]
            named = ", ".join(f"{test} {of[0]:g} ({of[2]:g})" if of else f"{test} unchecked" for test, of in results)
            name = f"{symptom}-{row['seed']:02d}"
            body.append([name, f"{row['variant']}, {row['level']}", f"{row['signs'][symptom]:.2f}", named])
    return lines_of(head, body)


def qwen(rows: Sequence[Row]) -> list[str]:
    """Returns what the tests find on each fine-tune of Qwen."""
    head = ("made to have", "how", "rate", "sign", "tests that fire (effect)")
    body = []
    for row in rows:
        fired = ", ".join(f"{test} {row['tests'][test][0]:g}" for test in NAMES if fires(row, test)) or "none"
        sign = f"{row['signs'][row['symptom']]:.2f}" if row["symptom"] in TITLES else "-"
        body.append([TITLES.get(row["symptom"], "none"), row["variant"], f"{row['rate']:g}", sign, fired])
    return lines_of(head, body)


TABLES: dict[str, Callable[[Sequence[Row]], list[str]]] = {
    "sensitivity": sensitivity,
    "halves": halves,
    "variants": variants,
    "cross": cross,
    "signs": signs,
    "alarms": alarms,
    "misses": misses,
}
"""The tables on fine-tunes of the ground, by the names that stand on the page."""
