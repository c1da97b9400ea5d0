"""What is printed and drawn of calibration: what fits 80 columns, what is left out, and what the diagram shows."""

from __future__ import annotations

import dataclasses
import io
import re
import xml.etree.ElementTree as ElementTree

from rich.console import Console

from holdfast.bench.measured.calibration import calibration_of
from holdfast.report.calibration import show_calibration
from holdfast.report.reliability import PANELS, draw_reliability
from tests.bench.measured.test_calibration import answers


def printed(record, width=80):
    console = Console(width=width, file=io.StringIO())
    show_calibration(record, console)
    return console.file.getvalue()


def record(**sizes):
    return calibration_of(answers(1, **sizes), answers(2, shift=0.2, **sizes))


def test_the_table_fits_80_columns_and_has_the_figures():
    row = record(a_suite_with_a_rather_long_name=100, b=80, small=10)
    text = printed(row)
    assert max(map(len, text.splitlines())) <= 80
    for figure in (row.retained.ece, row.retained.adaptive_ece, row.suites[0].brier):
        change = figure.change
        assert f"{change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}]" in text
    assert f"{row.retained.ece.before_if_calibrated:.3f} {row.retained.ece.after_if_calibrated:.3f}" in text
    assert text.count("adaptive ECE") == 1  # of all kept suites; the suites have the others
    assert "No calibration error for small (10): it needs at least 50 items." in text


def test_a_single_suite_has_all_figures_once():
    text = printed(record(a=80))
    assert "all kept suites" not in text
    assert text.count("adaptive ECE") == 1
    assert text.count("a (80)") == 1


def test_nothing_is_printed_or_drawn_without_choices(tmp_path):
    assert printed(None) == ""
    assert draw_reliability(None, tmp_path, "t") is None
    assert not list(tmp_path.iterdir())


def test_what_is_unknown_is_said_in_words(tmp_path):
    row = record(a=60)
    unknown = calibration_of(*(dataclasses.replace(answers(seed, a=60), said=()) for seed in (1, 2)))
    text = " ".join(printed(unknown).split())
    assert text == "Calibration is unknown for a (60): the saved answers hold no probabilities of choices."
    assert draw_reliability(unknown, tmp_path, "t") is None
    lacking = dataclasses.replace(row, suites=(dataclasses.replace(row.suites[0], brier=None),))
    assert "No Brier score for a: the saved answers lack it; ask the models again." in " ".join(
        printed(lacking).split()
    )


def texts(path):
    return [node.text for node in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_the_diagram_shows_each_suite_and_the_number_of_items_in_each_bin(tmp_path):
    row = record(a=100, b=80)
    path = draw_reliability(row, tmp_path, "base -> tuned")
    shown = texts(path)
    assert path == tmp_path / "reliability.svg"
    assert "base -> tuned" in shown
    for heading in ("all kept suites: 180 items", "a: 100 items", "b: 80 items"):
        assert heading in shown
    for label in ("accuracy (share of right answers)", "confidence (probability of the picked choice)", "items"):
        assert shown.count(label) == 3
    for bin_ in row.retained.bins:
        assert str(bin_.before.items) in shown
        assert str(bin_.after.items) in shown
    assert path.stat().st_size < 150_000
    again = path.read_bytes()
    assert draw_reliability(row, tmp_path, "base -> tuned").read_bytes() == again


def test_a_dollar_in_a_name_is_no_formula(tmp_path):
    shown = texts(draw_reliability(record(**{"a$x^{_$": 60}), tmp_path, "$b_{$"))
    assert "a$x^{_$: 60 items" in shown
    assert "$b_{$" in shown


def test_suites_beyond_the_panels_are_counted(tmp_path):
    sizes = {f"s{n}": 50 + n for n in range(PANELS + 1)}
    shown = texts(draw_reliability(record(**sizes), tmp_path, "t"))
    assert "2 suites with fewer items are not drawn" in shown
    headings = [text for text in shown if text and re.fullmatch(r"s\d+: \d+ items", text)]
    assert headings == [f"s{n}: {50 + n} items" for n in range(2, PANELS + 1)]


def test_a_single_group_is_named_instead_of_an_interval():
    sides = [
        dataclasses.replace(side, scores=[dataclasses.replace(score, group="one") for score in side.scores])
        for side in (answers(1, a=60), answers(2, a=60))
    ]
    assert "[one group]" in printed(calibration_of(*sides))
