"""Progress bars, and the lines that stand for them where there is no terminal."""

import io

import pytest
from rich.console import Console

from holdfast.bench.machine import progress as module
from holdfast.bench.machine.progress import Progress, format_duration


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def lines(console):
    return console.file.getvalue().splitlines()


def test_a_phase_begins_at_0_and_tells_the_time_left_without_a_terminal(clock):
    console = Console(file=io.StringIO(), width=100)
    with Progress(console) as progress:
        show = progress.measuring("measuring s before", 40)
        assert lines(console) == ["measuring s before: 0/40"]
        clock.now += 5
        show(1, 40)
        assert len(lines(console)) == 1
        clock.now += 15
        show(4, 40)
        clock.now += 1
        show(5, 40)
        clock.now += 179
        show(40, 40)
    assert lines(console)[1:] == ["measuring s before: 4/40 3 min left", "measuring s before: 40/40 took 3 min"]


def test_one_of_many_tells_no_time_left(clock):
    console = Console(file=io.StringIO(), width=100)
    with Progress(console) as progress:
        show = progress.measuring("measuring s before", 200)
        clock.now += 20
        show(1, 200)
        clock.now += 20
        show(110, 200)
    assert lines(console)[1:] == ["measuring s before: 1/200", "measuring s before: 110/200 33 s left"]


def test_short_phases_are_one_line_and_training_tells_its_loss(clock):
    console = Console(file=io.StringIO(), width=100)
    with Progress(console) as progress:
        progress.measuring("short", 3)(3, 3)
        advance = progress.task("training", 100, done=20)
        clock.now += 10
        advance(40, loss=1.23456)
        clock.now += 30
        advance(100, loss=1.0)
    assert lines(console) == [
        "short: 0/3",
        "training: 20/100",
        "training: 40/100 30 s left, loss 1.235",
        "training: 100/100 took 40 s, loss 1.000",
    ]


def test_what_nobody_knows_the_length_of_is_a_phase_too(clock):
    console = Console(file=io.StringIO(), width=100)
    with Progress(console) as progress:
        with progress.phase("loading a"):
            clock.now += 65
        with progress.phase("loading b"):
            pass
    assert lines(console) == ["loading a ...", "loading a: 1 min", "loading b ..."]


def test_a_terminal_shows_a_bar_at_0_at_once():
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with Progress(console) as progress:
        show = progress.measuring("measuring s before", 40)
        progress.bars.refresh()
        assert "0/40" in console.file.getvalue()
        show(13, 40)
        progress.bars.refresh()
    assert "13/40" in console.file.getvalue()
    assert "measuring s before: " not in console.file.getvalue()


def test_times_are_told_in_words():
    seconds = (0.2, 8, 59.4, 60, 3599, 7500)
    assert [format_duration(s) for s in seconds] == ["1 s", "8 s", "59 s", "1 min", "1 h 0 min", "2 h 5 min"]
