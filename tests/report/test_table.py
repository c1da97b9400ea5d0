"""The table of a run: what it says in words, and that it fits a terminal."""

from __future__ import annotations

import dataclasses
import io
import re
import types
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.bench.measured.outcome import LearnedUnit, Learning, SuiteRow, VerdictRow
from holdfast.bench.run.record import MemoryRow, RunRecord
from holdfast.report.reading import learned_lines, number, reading
from holdfast.report.table import before_after, show, verdict_lines


def suite(name="s", role="retained", documents=9, unit="nats", **values):
    """A row of the table; what is not given is as if nothing had changed."""
    about = {"name": name, "role": role, "unit": unit, "documents": documents, "items": documents}
    return SuiteRow.from_dict({**about, "before": 0.0, "after": 0.0, "change": 0.0, **values})


def result(suites, **values):
    """A finished run with these rows."""
    about = {"seconds": {"training": 1.0, "all": 1.0}, "steps": 1, "trained_parameters": 1, "parameters": 1}
    record = RunRecord.from_dict({"suites": [], **about, **values})
    return dataclasses.replace(record, suites=tuple(suites))


SUITES = [
    suite("task", "learned", 1234, tokens=1234567.0, before=5.583, after=4.425, change=-1.158, low=-2.563, high=0.246),
    suite("a-rather-long-name-of-a-suite", documents=1, tokens=1234.0, before=15.583, after=14.425, change=-1.158),
    suite("general [en]", documents=12345, tokens=23456.0, before=3.1, after=13.1, change=10.0, low=9.98, high=10.02),
]


def drawn(width, suites=SUITES, **named):
    console = Console(width=width, file=io.StringIO())
    console.print(before_after(suites, width=width, **named))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("role", "low", "high", "word"),
    [
        ("learned", -2.0, -1.0, "learned"),
        ("transfer", -2.0, -1.0, "learned"),
        ("retained", -2.0, -1.0, "better"),
        ("learned", 1.0, 2.0, "worse"),
        ("transfer", 1.0, 2.0, "worse"),
        ("retained", 1.0, 2.0, "lost"),
        ("learned", -0.01, 0.02, "no change seen"),
        ("retained", -0.01, 0.02, "no change seen"),
        ("retained", 0.0, 0.02, "no change seen"),
        ("retained", -0.02, 0.0, "no change seen"),
        ("retained", -1.0, 2.0, "cannot detect less than 1.9 nats"),
        ("retained", 0.001, 0.005, "tiny loss"),
        ("retained", -0.005, -0.001, "tiny gain"),
        ("retained", 0.012, 0.02, "lost"),
    ],
)
def test_only_what_lies_outside_zero_is_called_a_change_and_a_tiny_one_tiny(role, low, high, word):
    assert reading(suite(role=role, low=low, high=high, change=(low + high) / 2)) == word


@pytest.mark.parametrize(
    ("change", "low", "high", "word"),
    [
        (-7.5, -20.2, 5.0, "cannot detect less than 16 points"),
        (-0.3, -2.0, 1.4, "no change seen"),
        (-0.3, -0.5, -0.1, "tiny loss"),
        (-0.6, -0.9, -0.3, "lost"),
        (-3.0, -7.0, 1.0, "cannot detect less than 5.1 points"),
    ],
)
def test_a_suite_of_few_items_says_what_it_could_not_have_seen(change, low, high, word):
    assert reading(suite(unit="points", change=change, low=low, high=high)) == word


@pytest.mark.parametrize("role", ["learned", "retained"])
def test_one_document_is_not_enough(role):
    assert reading(suite(role=role, change=-3.0)) == "not enough documents"


@pytest.mark.parametrize("width", [80, 100, 140])
def test_it_fits_and_the_change_stays_beside_its_interval(width):
    lines = drawn(width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for cell in ("-1.158 [-2.563, +0.246]", "-1.158 [one document]", "+10.000 [+9.980, +10.020]", "1.23M", "12,345"):
        assert cell in text
    for word in ("cannot", "enough", "documents", "lost"):
        assert re.search(rf"\b{word}\b", text.split("interval]", 1)[1])


@pytest.mark.parametrize("width", [60, 72, 79])
def test_a_narrow_terminal_shows_every_number_and_word_whole(width):
    lines = drawn(width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for cell in ("-1.158", "[-2.563, +0.246]", "[one document]", "[+9.980, +10.020]", "1.23M", "12,345", "13.100"):
        assert cell in text
    for word in ("suite", "task", "general", "reading", "cannot", "nats", "lost"):
        assert re.search(rf"\b{word}\b", text)
    start = lines[1].index("reading")
    assert "notenoughdocuments" in "".join(line[start:].strip() for line in lines).replace(" ", "")
    assert "…" not in text


def test_a_row_says_before_after_and_what_it_means():
    (row,) = (line for line in drawn(140) if line.startswith("general"))
    assert " ".join(row.split()) == "general [en] 12,345 23.5k 3.100 13.100 +10.000 [+9.980, +10.020] lost"


def test_a_change_that_rounds_to_nothing_has_no_minus():
    row = suite(before=-0.0, after=0.0, change=-0.0001, low=-0.0002, high=0.0)
    assert "0.000  0.000  +0.000 [+0.000, +0.000]" in drawn(140, [row])[2]
    assert number(-0.04, "points", "+") == "+0.0"


def test_the_title_stands_above_and_the_unit_below():
    lines = drawn(100, title="LoRA(rank=2) [seed 1]")
    assert lines[0].strip() == "LoRA(rank=2) [seed 1]"
    assert "nats per supervised token, lower is better" in lines[-1]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (9999, "9,999"), (9999.7, "10k"), (123456, "123k"), (999600, "1M"), (5e9, "5B")]
)
def test_tokens_are_counted_in_six_characters(count, text):
    (row,) = (line for line in drawn(140, [dataclasses.replace(SUITES[2], tokens=count)]) if line.startswith("general"))
    assert row.split()[3] == text
    assert len(text) <= 6


def test_the_files_are_named_on_lines_of_their_own_however_long_the_path():
    folder = Path("runs") / ("long-" * 30 + "[x]")
    console = Console(width=80, file=io.StringIO())
    show(types.SimpleNamespace(folder=folder, record=result(SUITES)), console)
    assert console.file.getvalue().splitlines()[-2:] == [f"Model: {folder}/model", f"Scores: {folder}/scores.jsonl"]


def test_nothing_measured_is_an_empty_table():
    assert "suite" in "\n".join(drawn(80, []))


POINTS = suite("facts", unit="points", documents=160, items=1050, before=97.14, after=60.0, change=-37.14, low=-41.2,
               high=-33.1)  # fmt: skip


def test_points_have_one_place_and_more_of_them_is_better():
    line = next(line for line in drawn(80, [POINTS]) if line.startswith("facts"))
    assert line.split() == ["facts", "1,050", "97.1", "60.0", "-37.1", "[-41.2,", "-33.1]", "lost"]
    assert not any("tokens" in line for line in drawn(80, [POINTS]))
    assert reading(dataclasses.replace(POINTS, low=1.0, high=2.0)) == "better"
    assert reading(dataclasses.replace(POINTS, role="learned", low=1.0, high=2.0)) == "learned"
    assert reading(dataclasses.replace(POINTS, role="learned")) == "worse"
    assert reading(dataclasses.replace(POINTS, low=-1.0, high=1.0)) == "no change seen"


def test_the_caption_says_the_units_that_are_there():
    assert "percent right" in drawn(100, [POINTS])[-1]
    assert "nats" not in drawn(100, [POINTS])[-1]
    assert "percent right" not in drawn(100)[-1]
    both = " ".join(" ".join(drawn(120, [POINTS, SUITES[0]])[-2:]).split())
    assert "nats per supervised token, lower is better; or percent right, higher is better" in both


JUDGED = VerdictRow.from_dict({
    "word": "forgot", "budget": {"points": 2.0}, "claim": "mean", "unjudged": ["general [en]"],
    "means": [{"unit": "points", "suites": 2, "change": -9.9, "low": -11.0, "high": -8.8, "word": "forgot"}
              | {"most": 10.9, "floor": 1.4, "gained": 0.6, "gained_in": ["few"], "lost": 10.5, "lost_in": ["facts"]}],
    "suites": {
        "facts": {"word": "forgot", "most": 40.5, "p_forgot": 1e-9, "p_holm": 2e-9},
        "few": {"word": "not enough evidence", "most": 9.0, "p_forgot": 0.4, "p_holm": 0.4, "items_needed": 1234},
    },
})  # fmt: skip


def test_the_words_of_a_verdict_stand_in_place_of_readings():
    few = dataclasses.replace(POINTS, name="few", change=-1.0, low=-4.0, high=2.0)
    lines = drawn(100, [POINTS, few, SUITES[2]], judged=JUDGED)
    assert next(line for line in lines if line.startswith("facts")).split()[-1] == "forgot"
    assert next(line for line in lines if line.startswith("few")).split()[-1] == "unsettled"
    assert next(line for line in lines if line.startswith("general")).rstrip().endswith("lost")


def test_the_verdict_says_its_budget_its_mean_and_what_is_open():
    console = Console(width=200, file=io.StringIO())
    folder = Path("runs/x")
    few = dataclasses.replace(POINTS, name="few")
    show(types.SimpleNamespace(folder=folder, record=result([POINTS, few], verdict=JUDGED.to_dict())), console)
    text = console.file.getvalue()
    assert (
        "Verdict: forgot (budget: a loss of 2 points in the mean of the suites, and in no suite certainly more)" in text
    )
    assert "mean of 2 suites: -9.9 [-11.0, -8.8] points, forgot" in text
    assert "certainly forgot, among 2 suites tested: facts" in text
    assert "not settled: few (needs about 1,234 items)" in text
    assert "in that mean, 1 suite gained 0.6 (most: few) and 1 lost 10.5 (most: facts)" in text
    assert "smallest detectable loss: 1.4 in the mean (points)" in text
    assert "without a limit: general [en]" in text
    every = verdict_lines(dataclasses.replace(JUDGED, claim="every", limits={"points": 1.0}), [POINTS])
    assert "a loss of 1 point in every suite" in every[0]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"points": 2.0}, "a loss of 2 points in"),
        ({"points": 2.0, "nats": 0.02}, "a loss of 2 points (no text measured the 0.02 nats per token) in"),
    ],
)
def test_a_limit_that_nothing_measured_is_not_called_kept(limits, words):
    """The verdict names the limits that it judges, and says which it does not."""
    mean = {"unit": "points", "suites": 1, "change": 0.0, "word": "kept"}
    parts = {"gained": 0.0, "gained_in": [], "lost": 0.0, "lost_in": []}
    judged = {"word": "kept", "budget": limits, "claim": "mean", "suites": {}, "unjudged": []}
    (line, *_) = verdict_lines(VerdictRow.from_dict({**judged, "means": [{**mean, **parts}]}), [])
    assert words in line


def test_many_suites_that_are_not_settled_are_counted_with_the_items_that_settle_one():
    unsettled = JUDGED.suites["few"]
    needs = {"a": 500, "b [x]": 70, "c": None, "d": 9000, "e": 100}
    suites = {name: dataclasses.replace(unsettled, items_needed=need) for name, need in needs.items()}
    (line,) = [
        line for line in verdict_lines(dataclasses.replace(JUDGED, suites=suites), [POINTS]) if "not settled" in line
    ]
    counted = "  not settled: 5 of 5 suites; one needs from about 70 items (b \\[x]) to 9,000 (d)"
    assert line == counted
    del suites["c"]
    (line,) = [
        line for line in verdict_lines(dataclasses.replace(JUDGED, suites=suites), [POINTS]) if "not settled" in line
    ]
    assert line.startswith("  not settled: a (needs about 500 items), b")


def test_what_was_rehearsed_and_how_near_it_is_said_to_be_is_shown():
    from holdfast.report.table import NEAR, memory_lines

    memories = [MemoryRow(name="old.jsonl", token_share=0.05, near=near) for near in ("same", "unsaid")]
    same, unsaid = memory_lines(memories)
    assert same.startswith("Rehearsed: old.jsonl, 5% of the tokens; the same kinds of examples as the suites of --keep")
    assert "how near it is to the suites of --keep is not declared (near='same', 'near' or 'none')" in unsaid
    assert set(NEAR) == {"same", "near", "none", "unsaid"}
    assert "5% of the rows" in memory_lines(memories, ranks=True)[0]
    assert memory_lines([]) == []


ENTRY = LearnedUnit(
    unit="points", suites=("task",), before=6.0, gain=80.0, low=71.2, high=86.6, least=4.7, word="learned"
)


def learned(put_back_to=None, **changes):
    entry = dataclasses.replace(ENTRY, **changes)
    return Learning(word=entry.word, units=(entry,), put_back_to=put_back_to)


def plain(lines):
    return [line.replace("[bold]", "").replace("[/bold]", "").replace("\\[", "[") for line in lines]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (learned(), "Learning: learned (task: +80.0 [+71.2, +86.6] points)"),
        (
            learned(word="learned", reached=84.2, least=21.0),
            "Learning: learned (task: +80.0 [+71.2, +86.6] points, 95% of the 84.2 that it had learned before the "
            "guard went back)",
        ),
        (
            learned(word="learned little", gain=3.0, low=0.4, high=5.6),
            "Learning: learned little (task: +3.0 [+0.4, +5.6] points; less than 4.7 points counts as little)",
        ),
        (
            learned(word="learned little", gain=3.0, low=0.4, high=5.6, reached=50.0, least=12.5),
            "Learning: learned little (task: +3.0 [+0.4, +5.6] points; less than 12.5 points, a quarter of the 50.0 "
            "that it had learned before the guard went back, counts as little)",
        ),
        (
            learned(word="not learned", gain=0.0, low=-2.0, high=2.0),
            "Learning: not learned (task: +0.0 [-2.0, +2.0] points; the gain, if any, is below 4.7 points)",
        ),
        (
            learned(word="not learned", gain=-4.0, low=-6.0, high=-2.0),
            "Learning: not learned (task: -4.0 [-6.0, -2.0] points; it got worse)",
        ),
        (
            learned(word="not enough evidence", gain=2.5, low=-3.0, high=12.0),
            "Learning: not enough evidence (task: +2.5 [-3.0, +12.0] points; the gain may be 0, or above 4.7 points)",
        ),
        (
            learned("start", word="not learned", gain=0.0, low=-2.0, high=2.0),
            "Learning: not learned (task: +0.0 [-2.0, +2.0] points; the guard went back to the model before training)",
        ),
        (
            learned(word="learned", unit="nats", gain=1.9, low=1.5, high=2.3, least=0.01),
            "Learning: learned (task: +1.900 [+1.500, +2.300] nats per token better)",
        ),
        (
            Learning(word="not measured", units=()),
            "Learning: not measured (give items or examples of the task with --test)",
        ),
    ],
)
def test_what_was_learned_is_said_in_a_line(said, line):
    assert plain(learned_lines(said)) == [line]


def test_the_table_has_the_words_of_the_verdict_and_of_learning():
    """One source for both: what the table calls forgot is what the verdict does."""
    task = dataclasses.replace(POINTS, name="task", role="learned", low=0.4, high=5.6, change=3.0)
    lines = drawn(100, [task, POINTS], judged=JUDGED, learned=learned(word="learned little"))
    assert next(line for line in lines if line.startswith("task")).rstrip().endswith("learned little")
    open_ = "not enough evidence"
    facts = dataclasses.replace(JUDGED.suites["facts"], word=open_, alone="forgot", p_holm=0.2)
    masked = dataclasses.replace(JUDGED, word=open_, suites={**JUDGED.suites, "facts": facts})
    assert "unsettled" in "".join(drawn(100, [POINTS], judged=masked))
    text = "\n".join(verdict_lines(masked, [POINTS]))
    assert "Verdict: not enough evidence" in text
    assert "tested alone, facts lost more than the budget; among 2 suites that can be chance" in text
    assert "certainly forgot" not in text


def test_large_numbers_take_two_digits_so_that_every_column_stays():
    row = suite("texts", tokens=94.0, before=8.372, after=1541787.309, change=1541778.9, low=1488138.9, high=1588888.8)
    lines = drawn(80, [row])
    assert max(map(len, lines)) <= 80
    assert {"suite", "reading"} <= {*lines[0].split()}
    assert "1.5e+06" in " ".join(lines)


def test_a_name_as_long_as_those_of_the_proving_ground_stays_in_a_line():
    row = suite("translate-from", unit="points", before=97.5, after=96.0, change=-1.5, low=-13.2, high=10.2)
    assert any("translate-from" in line for line in drawn(80, [row]))


def test_without_suites_there_is_no_table():
    file = io.StringIO()
    show(types.SimpleNamespace(record=result([]), folder=Path("r")), Console(file=file, width=80))
    assert file.getvalue().startswith("Nothing was measured: give --test and --keep.")
