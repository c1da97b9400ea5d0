"""The card of a base: its description, its scores on each suite, its calibration, and sample answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.ground.corpus import LESSONS
from holdfast.probes.answers import Answer, ask
from holdfast.probes.calibration import calibration
from holdfast.probes.items import Item
from holdfast.probes.likelihood import bits_per_byte
from holdfast.stats.share import share

GOAL = 0.9
"""The share of right answers that a base should reach on every suite."""


def scores(
    model: Any, tokenizer: Any, items: Sequence[Item], progress: Callable[[int, int], Any] | None = None
) -> dict[str, Any]:
    """Returns a model's scores on suites, as plain JSON values.

    `suites` has, by suite and form (generate, choice), the share of right answers with its interval. `text` has, by
    suite of texts, nats per token and bits per byte. `calibration` has the calibration of all choices together.
    """
    asked = ask(model, tokenizer, items, progress=progress)
    choices = ask(model, tokenizer, [item for item in items if item.choices], form="choice")
    sure = calibration(choices)
    bins = [[round(b.low, 2), b.count, _round(b.confidence), _round(b.accuracy)] for b in sure.bins]
    return {
        "suites": _known([*(a for a in asked if a.form == "generate"), *choices]),
        "text": _texts([a for a in asked if a.form == "text"]),
        "calibration": {"ece": round(sure.ece, 4), "brier": round(sure.brier, 4), "choices": sure.count, "bins": bins},
    }


def _known(given: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """Returns the share of right answers by suite and form."""
    known: dict[str, dict[str, Any]] = {}
    for answers in _by_suite(given):
        right_share = share([a.value for a in answers], [a.item.group for a in answers])
        known.setdefault(answers[0].item.suite, {})[answers[0].form] = {
            "share": round(right_share.share, 4),
            "low": round(right_share.low, 4),
            "high": round(right_share.high, 4),
            "items": right_share.items,
            "groups": right_share.groups,
        }
    return known


def _texts(given: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """Returns the nats per token and bits per byte of texts, by suite."""
    texts = {}
    for answers in _by_suite(given):
        nats = math.fsum(a.nats or 0.0 for a in answers)
        size = sum(len((a.item.text or "").encode()) for a in answers)
        texts[answers[0].item.suite] = {
            "nats_per_token": round(nats / sum(a.tokens for a in answers), 4),
            "bits_per_byte": round(bits_per_byte(nats, size), 4),
            "items": len(answers),
        }
    return texts


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _by_suite(answers: Sequence[Answer]) -> list[list[Answer]]:
    """Returns the answers of each suite and form, in the order of the lessons."""
    by_suite: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        by_suite.setdefault((answer.item.suite, answer.form), []).append(answer)
    return list(by_suite.values())


def samples(model: Any, tokenizer: Any, items: Sequence[Item]) -> list[tuple[str, str]]:
    """Returns conversations with the model's answers, as pairs (prompt, answer)."""
    asked = [item for item in items if item.check]
    return [
        ("\n".join(f"{turn.role}: {turn.content}" for turn in answer.item.turns), answer.said)
        for answer in ask(model, tokenizer, asked, form="generate")
    ]


def write(about: dict[str, Any], conversations: Sequence[tuple[str, str]]) -> str:
    """Returns the card as Markdown."""
    settings = about["settings"]
    steps = sum(course["steps"] for course in settings["courses"])
    tokens = steps * settings["batch"] * settings["window"]
    lines = [
        f"# A base of the invented world of seed {about['seed']}",
        "",
        f"A Llama of {about['parameters']:,} parameters ({settings['layers']} layers, width {settings['hidden']}, "
        f"{settings['vocabulary']:,} tokens), trained from nothing on {steps:,} steps of "
        f"{settings['batch']} x {settings['window']} tokens ({tokens / 1e6:.1f} million) of made-up documents in "
        f"{about['hours']} hours on {about['threads']} CPU thread{'s' * (about['threads'] > 1)}. No text was copied "
        "from anywhere: the documents are drawn by `holdfast.ground`. It knows this world and nothing else; it is for "
        "studying what fine-tuning makes a model forget.",
        "",
        f"Made by `python -m holdfast.ground.build --seed {about['seed']}`"
        f" with torch {about['versions']['torch']} and transformers {about['versions']['transformers']}. "
        "Licence: Apache-2.0, as the package.",
        "",
        "## What it knows",
        "",
        "Proof items, none of which it was trained on, asked of the bfloat16 weights computed in float32. 95% Wilson "
        "intervals over groups of items. Choices are picked by their likelihood.",
        "",
        "| suite | what it shows | generated | interval | chosen | interval |",
        "|---|---|---|---|---|---|",
    ]
    for lesson in LESSONS:
        forms = about["suites"].get(lesson.suite)
        if forms:
            lines.append(
                f"| {lesson.suite} | {lesson.shows} | {_cells(forms, 'generate')} | {_cells(forms, 'choice')} |"
            )
    for name, text in about["text"].items():
        lines += [
            "",
            f"Texts of `{name}`: {text['nats_per_token']} nats per token, {text['bits_per_byte']} bits per byte.",
        ]
    short = [
        f"{name} ({form}: {row['share']:.1%})"
        for name, forms in about["suites"].items()
        for form, row in forms.items()
        if row["share"] < GOAL
    ]
    sure = about["calibration"]
    lines += [
        "",
        f"Below the goal of {GOAL:.0%}: {', '.join(short) or 'none'}.",
        "",
        f"Calibration over {sure['choices']:,} choices: expected calibration error {sure['ece']:.3f}, Brier score "
        f"{sure['brier']:.3f}.",
        "",
        "| confidence from | choices | mean confidence | share right |",
        "|---|---|---|---|",
        *(f"| {low} | {count} | {_cell(mean)} | {_cell(right)} |" for low, count, mean, right in sure["bins"]),
        "",
        "## What it says",
        "",
    ]
    for prompt, answer in conversations:
        quoted = "\n".join(f"> {line}" for line in f"{prompt}\nassistant: {answer}".split("\n"))
        lines += [quoted.replace("\n", "  \n"), ""]
    return "\n".join(lines).rstrip() + "\n"


def _cells(forms: dict[str, dict[str, Any]], form: str) -> str:
    row = forms.get(form)
    return "– | –" if row is None else f"{row['share']:.1%} | {row['low']:.1%} to {row['high']:.1%}"


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
