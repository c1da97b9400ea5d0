"""A checked config as text: what it does, what is known to forget, and what was not translated."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.bench.plan.check.check import Checked, Issue
from holdfast.report.plan_words import count, wrapped


def check_lines(done: Checked) -> Iterator[str]:
    """Yields the lines of a checked config."""
    config = done.config
    size = "a model of unknown size" if done.parameters is None else f"{count(done.parameters)} parameters"
    about = f" ({'read from its name' if done.assumed else 'counted'})" if done.parameters is not None else ""
    yield from wrapped(
        f"{done.path}: a config of {config.trainer}; {config.model or 'no model'}, {size}{about}", "  ", ""
    )
    yield ""
    if not done.issues:
        yield "No setting is known to forget."
    else:
        yield f"{len(done.issues)} setting{'s' if done.issues[1:] else ''} to change"
    for issue in done.issues:
        yield from _issue(issue)
    yield ""
    yield from _left(done)
    if done.written:
        yield from wrapped(f"Written: {done.written}, with the settings of the config. Next, type", "")
        yield f"  holdfast train --config {done.written}"
        return
    yield "The same run for holdfast train (--write run.yaml writes it):"
    yield ""
    yield from done.run.rstrip().split("\n")


def _issue(issue: Issue) -> Iterator[str]:
    yield from wrapped(issue.says, "    ", "  - ")
    known = "; ".join([*([issue.because] if issue.because else []), *issue.figures])
    yield from wrapped(f"{issue.evidence} ({issue.source}){'; ' if known else ''}{known}", "      ", "    ")
    yield from wrapped(f"change: {issue.change}", "      ", "    ")


def _left(done: Checked) -> Iterator[str]:
    """Yields what was left out, assumed or is missing, each with its count."""
    config = done.config
    for name in done.missing:
        yield from wrapped(f"The config names no {name}: add it before you train.", "  ", "")
    for sentence in done.left:
        yield from wrapped(f"Not translated: {sentence}.", "  ", "")
    if config.unknown:
        words = f"{len(config.unknown)} key{'s are' if config.unknown[1:] else ' is'} unknown and not translated"
        yield from wrapped(f"{words}: {', '.join(config.unknown)}", "  ", "")
    if config.idle:
        words = f"{len(config.idle)} key{'s' if config.idle[1:] else ''} without an effect on what is learned"
        yield from wrapped(f"{words}: {', '.join(config.idle)}", "  ", "")
    for note in config.notes:
        yield from wrapped(note, "  ", "")
