"""A diff for continuous integration: JUnit XML with a case for each claim of the verdict, and the text of a comment."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from holdfast.bench.diff.diff_record import DiffRecord
from holdfast.bench.measured.outcome import SuiteRow
from holdfast.bench.run.model_card import ROLES

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document can hold."""
MOST_ROWS = 50
"""Most suites in a comment, those that changed most first."""

Case = tuple[str, str, str]
"""Name, word and sentence of a claim; the word is "kept", "forgot", "not enough evidence" or "" without a claim."""


def junit(record: DiffRecord) -> str:
    """Returns the verdict as JUnit XML.

    Each mean, each judged suite and the verdict is a case. A case fails if it forgot. It is skipped if there is not
    enough evidence, or no limit; of the verdict itself, not enough evidence is an error, as the exit code is not 0.
    """
    cases = [*_cases(record)]
    failed = [name for name, word, _ in cases if word == "forgot"]
    settled = record.verdict is None or record.verdict.word != "not enough evidence"
    totals = {"tests": str(len(cases)), "failures": str(len(failed)), "errors": str(int(not settled))}
    root = ET.Element("testsuites", {"name": "holdfast", **totals})
    suite = ET.SubElement(root, "testsuite", {"name": _xml(f"{record.base} -> {record.tuned}"), **totals})
    for name, word, sentence in cases:
        case = ET.SubElement(suite, "testcase", classname="holdfast.diff", name=_xml(name), time="0")
        tag = {"forgot": "failure", "kept": "system-out"}.get(word, "skipped")
        if name == "verdict" and not settled:
            tag = "error"
        child = ET.SubElement(case, tag)
        if tag == "system-out":
            child.text = _xml(sentence)
        else:
            child.set("message", _xml(sentence))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def comment(record: DiffRecord) -> str:
    """Returns the text of a comment on a merge, in Markdown: the verdict, the suites, and one lost answer."""
    judged = record.verdict
    word = "no verdict, because no budget was given" if judged is None else judged.word
    lines = [f"### Holdfast: {word}", "", f"{_md(record.base)} → {_md(record.tuned)}", ""]
    lines += [f"- {_md(sentence)}" for name, _, sentence in _cases(record) if name == "verdict" or "mean of" in name]
    rows = sorted(record.suites, key=lambda row: -abs(row.change))[:MOST_ROWS]
    lines += ["", "| suite | role | before | after | change [95% interval] | reading |", "|---|---|---|---|---|---|"]
    words = _words(record)
    lines += [_row(row, words.get(row.name, "")) for row in rows]
    if len(record.suites) > len(rows):
        lines += ["", f"{len(record.suites) - len(rows)} more suites changed less."]
    for example in record.examples.lost[:1]:
        lines += ["", "A lost answer:", "", f"> {_md(example.asked)}", ">", f"> before: {_md(example.before)}", ">"]
        lines.append(f"> after: {_md(example.after)}")
    return "\n".join(lines) + "\n"


def _cases(record: DiffRecord) -> Iterator[Case]:
    """Yields the verdict, the means of several suites, and the judged suites."""
    judged = record.verdict
    if judged is None:
        yield "verdict", "", "There is no verdict without a budget."
        return
    yield "verdict", judged.word, f"{judged.word}, under a budget of {judged.allowed} ({judged.claim})"
    for mean in judged.means:
        if mean.suite_count > 1:
            ends = _ends(mean.low, mean.high, mean.unit)
            changed = f"{_number(mean.change, mean.unit)}{ends} {mean.unit}"
            text = f"the mean of {mean.suite_count} suites changed by {changed}"
            yield f"mean of {mean.unit}", mean.word, f"{text}: {mean.word}"
    for row in record.suites:
        if row.name in judged.suites:
            suite = judged.suites[row.name]
            ends = _ends(row.low, row.high, row.unit)
            text = f"{row.name} changed by {_number(row.change, row.unit)}{ends} {row.unit}"
            needs = "" if suite.items_needed is None else f"; about {suite.items_needed:,} items would settle it"
            yield f"suite {row.name}", suite.word, f"{text}: {suite.word}{needs}"


def _words(record: DiffRecord) -> dict[str, str]:
    """Returns the word of the verdict, or of learning, on each suite that has one, by the suite's name."""
    words: dict[str, str] = {}
    if record.verdict is not None:
        words |= {name: suite.word for name, suite in record.verdict.suites.items()}
    for unit in () if record.learned is None else record.learned.units:
        words |= {unit.suites[0]: unit.word} if len(unit.suites) == 1 else {}
    return words


def _row(row: SuiteRow, word: str) -> str:
    before, after = (f"{value:z.{_places(row.unit)}f}" for value in (row.before, row.after))
    change = f"{_number(row.change, row.unit)}{_ends(row.low, row.high, row.unit)}"
    return f"| {_md(row.name)} | {ROLES[row.role]} | {before} | {after} | {change} | {word} |"


def _places(unit: str) -> int:
    return 1 if unit == "points" else 3


def _number(value: float, unit: str) -> str:
    return f"{value:+z.{_places(unit)}f}"


def _ends(low: float | None, high: float | None, unit: str) -> str:
    return "" if low is None or high is None else f" [{_number(low, unit)}, {_number(high, unit)}]"


def _xml(text: str) -> str:
    return NOT_IN_XML.sub("\ufffd", text)


def _md(text: str) -> str:
    """Returns a text of the data on one short line, in which nothing is markup and nobody is mentioned."""
    line = " ".join(text.split())
    line = line if len(line) <= 200 else f"{line[:200]}…"
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", line).replace("@", "@\u2060")
