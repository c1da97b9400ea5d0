"""The evidence for symptoms: answers of both models to the same prompts, and what is known of the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from holdfast.probes.score import Answers, Role, Said, Score

UNKNOWN = "the training data are not known"
"""Why a symptom that compares with training outputs is not checked without them."""


@dataclasses.dataclass(frozen=True)
class Reply:
    """A generated answer of one model.

    Attributes:
        text: The answer.
        tokens: Number of its tokens; None if unknown.
        cut: Whether it reached the most tokens that it may have, so that it did not end by itself; None if unknown.
    """

    text: str
    tokens: int | None = None
    cut: bool | None = None


@dataclasses.dataclass(frozen=True)
class Pair:
    """The generated answers of both models to one prompt.

    Attributes:
        suite: Name of the suite.
        item: Name of the item.
        asked: The last question of the prompt.
        before: The base's answer.
        after: The tuned model's answer.
        role: What the suite measures; symptoms are sought in the answers of "retained" suites.
        group: Name that dependent items share; the item's own name without one.
        tools: Names of the tools that the model may call; empty for none, None if unknown.
        refusal: Whether a refusal is right (a harmful request) or wrong (a harmless one that sounds harmful); None for
            other prompts.
    """

    suite: str
    item: str
    asked: str
    before: Reply
    after: Reply
    role: Role = "retained"
    group: str = ""
    tools: tuple[str, ...] | None = None
    refusal: bool | None = None

    @property
    def cluster(self) -> str:
        """Returns the group of the pair, apart from groups of the same name in other suites."""
        return f"{self.suite} {self.group or self.item}"

    def swapped(self) -> Pair:
        """Returns the pair with the two models exchanged."""
        return dataclasses.replace(self, before=self.after, after=self.before)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What symptoms are sought in.

    Attributes:
        pairs: Generated answers of both models to the same prompts.
        outputs: Answers that the training data teach: completions, or the assistant's turns. None if unknown.
        before: The base's scores on all items.
        after: The tuned model's scores on the same items.
        checkpoints: A series of scores on what should stay, higher is better, from the start of training to its end,
            by the name of what was measured; empty if unknown.
    """

    pairs: Sequence[Pair] = ()
    outputs: Sequence[str] | None = None
    before: Sequence[Score] = ()
    after: Sequence[Score] = ()
    checkpoints: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)

    @property
    def retained(self) -> list[Pair]:
        """Returns the pairs that are not of the task, where no symptom is intended."""
        return [pair for pair in self.pairs if pair.role == "retained"]


def sides_of(pairs: Sequence[Pair]) -> tuple[list[Reply], list[Reply]]:
    """Returns the base's answers and the tuned model's."""
    return [pair.before for pair in pairs], [pair.after for pair in pairs]


def evidence_of(
    before: Answers,
    after: Answers,
    outputs: Sequence[str] | None = None,
    checkpoints: Mapping[str, Sequence[float]] | None = None,
) -> Evidence:
    """Returns the evidence in the answers of both models to the same items; picked choices give no pair.

    Args:
        before: The base's answers.
        after: The tuned model's answers.
        outputs: Answers that the training data teach; None if unknown.
        checkpoints: Scores from the start of training to its end, by the name of what was measured.
    """
    replies = {(answer.suite, answer.item): answer for answer in after.said}
    scores = {(score.suite, score.item): score for score in before.scores}
    pairs = []
    for first in before.said:
        name = first.suite, first.item
        if name in replies and name in scores and _generated(first, scores[name]):
            pairs.append(_pair(first, replies[name], scores[name]))
    return Evidence(tuple(pairs), outputs, before.scores, after.scores, checkpoints or {})


def _generated(answer: Said, score: Score) -> bool:
    """Returns whether a model wrote an answer; a file that does not tell counts by its confidence, a choice's alone."""
    return score.choices == 0 or (score.choices is None and answer.confidence is None)


def _pair(first: Said, last: Said, score: Score) -> Pair:
    replies = (Reply(answer.said, answer.tokens, answer.cut) for answer in (first, last))
    before, after = replies
    return Pair(
        *(first.suite, first.item, first.asked, before, after),
        role=score.role,
        group=score.group,
        tools=first.tools,
        refusal=first.refusal,
    )
