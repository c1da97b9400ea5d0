"""What the benchmarks of speed share: a figure, ways that take turns, peaks of memory, slopes, and the table."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Figure:
    """A line of the table.

    Attributes:
        name: What is measured.
        peer: What it is divided by.
        ratio: Ours by the peer's: processor time, or bytes. Of a slope, the exponent of the growth.
        goal: The most that the ratio may be.
        limit: The ratio that arithmetic alone would leave; None where none is computed.
    """

    name: str
    peer: str
    ratio: float
    goal: float | None
    limit: float | None = None

    @property
    def met(self) -> str:
        """Whether the goal is met, in a word."""
        return "" if self.goal is None else "yes" if round(self.ratio, 2) <= self.goal else "no"


HEAD = ("figure", "peer", "ratio", "limit", "goal", "met")


def table(figures: Sequence[Figure]) -> list[str]:
    """Returns the lines of a table in Markdown, with columns of even width, so that a terminal shows it too."""
    numbers = [
        [one.name, one.peer, *("-" if x is None else f"{x:.2f}" for x in (one.ratio, one.limit, one.goal)), one.met]
        for one in figures
    ]
    widths = [max(map(len, column)) for column in zip(HEAD, *numbers, strict=True)]
    lines = ["| " + " | ".join(word.ljust(w) for word, w in zip(row, widths, strict=True)) + " |" for row in numbers]
    head = "| " + " | ".join(word.ljust(w) for word, w in zip(HEAD, widths, strict=True)) + " |"
    return [head, "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines]


def seconds(ways: Mapping[str, Callable[[], Any]], repeats: int = 3) -> dict[str, float]:
    """Returns the processor seconds of each way, the median of repeats in turn, after a first one that is not counted.

    Ways that are compared take turns, so that what else the machine does falls on all of them.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            began = time.process_time()
            way()
            if turn:
                found[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in found.items()}


def peak(way: Callable[[], Any]) -> int:
    """Returns the most bytes that PyTorch's allocator gave out during a call, beyond what it had given out before."""
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        way()
    held = most = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def most_held(way: Callable[[], Any]) -> int:
    """Returns the most bytes that this process held during a call, files in memory included, beyond those before."""
    from pathlib import Path

    def held(key: str) -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = held("VmRSS")
    way()
    return held("VmHWM") - before


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Returns the exponent of a growth: the slope of the regression of log value on log size."""
    x, y = [math.log(size) for size in sizes], [math.log(max(value, 1e-12)) for value in values]
    return statistics.linear_regression(x, y).slope


def growth(name: str, against: str, ways: Mapping[float, Callable[[], Any]], repeats: int = 3) -> list[Figure]:
    """Returns the slopes of time and memory of ways by their size; the goal leaves room for noise, not for a square."""
    time_of = seconds({str(size): way for size, way in ways.items()}, repeats)
    taken = slope(list(ways), list(time_of.values()))
    bytes_ = slope(list(ways), [peak(way) for way in ways.values()])
    peer = f"slope, {min(ways):g} to {max(ways):g} {against}"
    return [
        Figure(f"{name}: growth of time", peer, taken, 1.2, 1.0),
        Figure(f"{name}: growth of memory", peer, bytes_, 1.2, 1.0),
    ]


def replace(path: Path, mark: str, lines: Sequence[str]) -> None:
    """Replaces the part of a page between two markers by lines."""
    begin, end = f"<!-- {mark} -->", f"<!-- end {mark} -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    path.write_text(before + "\n".join([begin, *lines, end]) + rest.split(end)[1], encoding="utf-8")
