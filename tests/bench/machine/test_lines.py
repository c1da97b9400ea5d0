"""Sentences on a terminal and in a pipe."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from holdfast.bench.machine.lines import print_sentence

LINE = "  not settled: one (needs about 1,253 items), two [x] (needs about 1,046 items), three"


def printed(text, width=40, terminal=True, **how):
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    print_sentence(console, text, **how)
    return console.file.getvalue()


def test_a_terminal_wraps_a_sentence_between_words_and_indents_what_follows():
    assert printed(LINE).splitlines() == [
        "  not settled: one (needs about 1,253",
        "    items), two [x] (needs about 1,046",
        "    items), three",
    ]


def test_a_pipe_gets_the_line_whole():
    assert printed(LINE, terminal=False) == f"{LINE}\n"


def test_markup_is_read_where_it_is_asked_for():
    assert printed("[bold]Verdict[/bold] \\[1, 2]", markup=True) == "Verdict [1, 2]\n"
    assert printed("[bold]Verdict[/bold]") == "[bold]Verdict[/bold]\n"


def test_empty_lines_stay():
    assert printed("\nSymptoms: none.") == "\nSymptoms: none.\n"
    assert printed("") == "\n"


@given(st.lists(st.text("ab1[]", min_size=1, max_size=30), min_size=1, max_size=20), st.integers(0, 6))
def test_no_word_is_lost_and_no_line_is_too_wide(words, indent):
    lines = printed(" " * indent + " ".join(words)).splitlines()
    assert " ".join(lines).split() == words
    assert max(map(len, lines)) <= 40
