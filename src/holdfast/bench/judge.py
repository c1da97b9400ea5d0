"""The verdict: what changes say of what may be lost, and how a program that was given a budget ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.bench.changes import SuiteChange, changes, ends, mean_of
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.stats.verdict import EXIT_CODES, NOTHING_LEARNED, Evidence, Verdict, Word, judge, settle

__all__ = ["SuiteChange", "changes", "check_limits", "exit_code", "verdict"]

HOPELESS = 1000.0
"""Times as many items beyond which a loss is just what is allowed, and more items are no advice."""


def check_limits(budget: Budget, units: set[str]) -> None:
    """Raises `HoldfastError` if the budget limits nothing that is measured in these units."""
    if not units & budget.limits.keys():
        said = ", ".join(sorted(units)) or "nothing that is to be kept"
        raise HoldfastError(
            f"A budget of {budget} limits nothing that is measured ({said}): limit items by points=2, texts by "
            "nll=0.02, and name what is to be kept with --keep."
        )


def exit_code(result: Mapping[str, Any]) -> int:
    """Returns how a program ends with a result: by its verdict, and where that is `kept` by what was learned.

    0 kept, 2 forgot, 3 not enough evidence, 4 kept while nothing or little was learned; 0 without a budget, which can
    be neither kept nor broken. What was not measured, or is open, is no reason for 4.
    """
    if "verdict" not in result:
        return 0
    word: Word = result["verdict"]["word"]
    little = result.get("learned", {}).get("word") in ("not learned", "learned little")
    return NOTHING_LEARNED if word == "kept" and little else EXIT_CODES[word]


def verdict(found: Sequence[SuiteChange], budget: Budget) -> dict[str, Any]:
    """Returns the verdict on the retained suites, ready for result.json.

    Returns:
        `word`; `budget` and `claim`; `seeds`, if the changes are over several; `means`, one for each unit that the
        budget limits, with `change`, `low`, `high` (95%, two-sided), `word`, `most` (the loss at its upper one-sided
        bound), `floor` (the least loss that would be told from none), and what suites gained and lost of it (`gained`,
        `lost`, both positive, and in which suites); `suites`, by name, with `word`, `most`, `floor`, `p_forgot`,
        `p_holm` (adjusted for the number of suites and means), `alone` where its own test says another word than it
        does among all that were looked at and, where it is not settled, `items_needed`; and `unjudged`, the retained
        suites of a unit that the budget does not limit. The words are those of `holdfast.stats.verdict.settle`.

    Raises:
        HoldfastError: If the budget limits nothing that was measured.
    """
    limits = budget.limits
    kept = [one for one in found if one.role == "retained"]
    check_limits(budget, {one.unit for one in kept})
    judged = [one for one in kept if one.unit in limits]
    verdicts = [_judged(one.evidence, one, limits) for one in judged]
    units = {unit: [one for one in judged if one.unit == unit] for unit in dict.fromkeys(one.unit for one in judged)}
    means = {unit: mean_of(own) for unit, own in units.items()}
    on_means = {unit: _judged(mean, units[unit][0], limits) for unit, mean in means.items()}
    # A mean of one suite is that suite, which is not looked at twice.
    several = [unit for unit, own in units.items() if len(own) > 1]
    claimed = verdicts if budget.claim == "every" else list(on_means.values())
    said = settle(verdicts, [on_means[unit] for unit in several], claimed)
    by_suite = dict(zip((one.name for one in judged), said.suites, strict=True))
    words = {unit: by_suite[own[0].name] for unit, own in units.items()} | dict(zip(several, said.means, strict=True))
    return {
        "word": said.word,
        "budget": limits,
        "claim": budget.claim,
        **({"seeds": len(judged[0].seeds)} if judged[0].seeds else {}),
        "means": [_of_mean(means[unit], on, units[unit], words[unit]) for unit, on in on_means.items()],
        "suites": {
            one.name: _of_suite(one, own, by_suite[one.name], p_holm)
            for one, own, p_holm in zip(judged, verdicts, said.adjusted, strict=False)
        },
        "unjudged": [one.name for one in kept if one.unit not in limits],
    }


def _judged(evidence: Evidence, suite: SuiteChange, limits: Mapping[str, float]) -> Verdict:
    return judge(evidence, limits[suite.unit] / suite.scale, higher_is_better=suite.unit == "points")


def _of_suite(suite: SuiteChange, own: Verdict, word: Word, p_holm: float) -> dict[str, Any]:
    found = {"word": word, "most": suite.scale * own.most, "p_forgot": own.p_forgot, "p_holm": p_holm}
    if own.word != word:
        found["alone"] = own.word
    if _tells(own, suite):
        found["floor"] = suite.scale * own.floor
    if word == "not enough evidence" and own.word == word and own.factor <= HOPELESS and not suite.seeds:
        found["items_needed"] = math.ceil(suite.items * own.factor)
    return found


def _tells(said: Verdict, suite: SuiteChange) -> bool:
    """Whether there is a loss that such evidence tells from none: of shares none beyond all of it."""
    return math.isfinite(said.floor) and (suite.unit != "points" or said.floor <= 1)


def _of_mean(mean: Evidence, said: Verdict, suites: Sequence[SuiteChange], word: Word) -> dict[str, Any]:
    unit, scale = suites[0].unit, suites[0].scale
    about: dict[str, Any] = {"unit": unit, "suites": len(suites), "change": scale * mean.change}
    about |= {"floor": scale * said.floor} if _tells(said, suites[0]) else {}
    low, high = ends(mean, unit)
    about |= {"low": low, "high": high, "word": word, "most": scale * said.most}
    return about | parted({one.name: scale * one.evidence.change for one in suites}, unit)


def parted(moved: Mapping[str, float], unit: str) -> dict[str, Any]:
    """Returns what of a mean change suites gained and what they lost, which the mean sets off against each other.

    Args:
        moved: The change of each suite, in its unit.
        unit: "points", of which more are better, or "nats".
    """
    better = {name: value if unit == "points" else -value for name, value in moved.items()}
    found: dict[str, Any] = {}
    for name, sign in (("gained", 1.0), ("lost", -1.0)):
        own = {suite: sign * value for suite, value in better.items() if sign * value > 0}
        found[name] = math.fsum(own.values()) / len(moved)
        found[f"{name}_in"] = sorted(own, key=own.__getitem__, reverse=True)
    return found
