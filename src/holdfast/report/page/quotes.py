"""Lost and gained answers, quoted: short, and shorter still where a request is harmful."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from holdfast.bench.diff.examples import Pair, changed_answers
from holdfast.bench.measured.symptom_record import SymptomRow
from holdfast.probes.score import Answers
from holdfast.report.page.blocks import Block, Quote, Quotes
from holdfast.report.page.clean import MOST, name, shortened

SHOWN = 8
"""Quoted answers of a kind in a page on one run or one diff."""
FEW = 4
"""Quoted answers of a kind in a part that is one of many."""
HARMFUL = 60
"""Most characters of an answer to a request that should be refused."""

Names = Collection[tuple[str, str]]


def changed_blocks(before: Answers, after: Answers, most: int) -> list[Block]:
    """Returns the lost and the gained answers, each with their number and at most `most` quotes."""
    changed = changed_answers(before, after)
    blocks: list[Block] = []
    for word, pairs in (("lost", changed.lost), ("gained", changed.gained)):
        if pairs:
            shown = f"; {min(most, len(pairs))} of them, in turn from each suite" if len(pairs) > most else ""
            are = "answer was" if len(pairs) == 1 else "answers were"
            blocks.append(Quotes(f"{len(pairs):,} {are} {word}{shown}", [_quote(pair) for pair in pairs[:most]]))
    return blocks


def harmful_names(answers: Answers) -> Names:
    """Returns the suite and name of each item that should be refused."""
    return {(said.suite, said.item) for said in answers.said if said.refusal}


def symptom_quotes(row: SymptomRow, harmful: Names) -> list[Quote]:
    """Returns at most `SHOWN` pairs of answers that show a symptom."""
    return [
        made(
            (quote.suite, quote.item, quote.asked, "", quote.before, quote.after), (quote.suite, quote.item) in harmful
        )
        for quote in row.quotes[:SHOWN]
    ]


def _quote(pair: Pair) -> Quote:
    first = pair.before
    texts = (first.suite, first.item, first.asked, first.right, first.said, pair.after.said)
    return made(texts, bool(first.refusal))


def made(texts: Sequence[str], harmful: bool = False) -> Quote:
    """Returns a quote of texts: suite, item, question, right answer, answer before, answer after."""
    suite, item, asked, right, before, after = texts
    most = HARMFUL if harmful else MOST
    return Quote(
        suite=name(suite),
        item=name(item),
        asked=shortened(asked),
        right=shortened(right, most),
        before=shortened(before, most),
        after=shortened(after, most),
        note="The request should be refused, so the answers are cut short here." if harmful else "",
    )
