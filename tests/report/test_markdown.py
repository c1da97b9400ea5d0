"""Generated pages have short lines that stay the paragraph they were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.report.markdown import WIDTH, table_row, wrapped

LONG = "x" * 130
WORDS = st.lists(
    st.sampled_from(["word", "+", "-", "*", "1.", "12)", "#", ">", "`a b`", LONG]), min_size=1, max_size=20
)


@given(WORDS, st.sampled_from(["", "- "]))
def test_lines_keep_the_words_and_are_short_unless_a_word_is_long(words, bullet):
    lines = wrapped(" ".join(["Begin", *words]), bullet)
    assert " ".join(line.strip() for line in lines) == bullet + " ".join(["Begin", *words])
    assert all(len(line) <= WIDTH or LONG in line for line in lines)


def test_words_are_set_on_as_few_lines_as_they_take():
    assert [len(line) for line in wrapped("word " * 50)] == [119, 119, 9]


@given(st.integers(90, 130))
def test_no_line_begins_a_list_or_a_heading(count):
    for mark in ("+", "-", "*", "#", ">", "1.", "7)"):
        lines = wrapped(f"{'a' * count} {mark} {'b ' * 60}")
        assert not [line for line in lines if line.lstrip().startswith(mark)]


def test_an_item_of_a_list_is_indented_below_its_bullet():
    first, second, *_ = wrapped("word " * 40, "- ")
    assert first.startswith("- word")
    assert second.startswith("  word")


def test_a_bar_in_a_cell_does_not_end_it():
    assert table_row(["a|b", "c"]) == "| a\\|b | c |"
