"""The study of symptoms: what its fine-tunes learn, what its signs count, and its tables."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import random
import sys
from pathlib import Path

import pytest

from holdfast.bench.machine.files import read_jsonl

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(monkeypatch):
    """Returns the modules of the study by their short names."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names = ("base", "rows", "tunes", "signs", "measure", "tables")
    modules = {name: importlib.import_module(f"symptom_{name}") for name in names}
    return type("Study", (), {**modules, "main": importlib.import_module("symptoms")})


def answer(suite, said, tokens=6, ended=True, right=1):
    return {"suite": suite, "said": said, "tokens": list(range(tokens)), "ended": ended, "right": right}


def last(rows):
    return [row.turns[-1].content for row in rows if row.turns]


@pytest.mark.slow  # it makes 24 fine-tunes of each symptom, and only who changes the study needs it
def test_even_and_odd_seeds_are_made_alike_and_every_level_meets_every_variant(study, monkeypatch):
    for module in (study.rows, study.tunes):  # how many rows a fine-tune has changes neither
        monkeypatch.setattr(module, "COUNT", 100)
    for symptom, count in study.tunes.VARIANTS.items():
        made = [study.tunes.make(symptom, seed) for seed in range(24)]
        kinds = [(tune.level, tune.variant) for tune in made]
        assert kinds[::2] == kinds[1::2], symptom
        if count <= 4:
            assert len(set(kinds)) == 3 * len({variant for _, variant in kinds}), symptom
        assert len({tune.rows for tune in made}) == 24


def test_the_same_seed_makes_the_same_fine_tune_and_no_question_of_its_task_is_learned(study):
    for symptom in study.tunes.MAKERS:
        first, second = (study.tunes.make(symptom, 4) for _ in range(2))
        assert first == second
        learned = {tuple(turn.content for turn in row.turns[:-1]) for row in first.rows if row.turns}
        on_task = [item for item in first.tasks if item.suite == "task"]
        assert len(on_task) == study.rows.ASKED
        if symptom in ("thinking", "tools", "unrefuse", "copied", "healthy"):
            assert not learned & {tuple(turn.content for turn in item.turns) for item in on_task}, symptom


def test_strong_data_shows_its_symptom_in_every_row_and_mild_data_in_few(study):
    shows = {
        "collapse": lambda tune, said: study.signs.re.match(tune.form, said) is not None,
        "language": lambda tune, said: study.signs.is_foreign(said),
    }
    for symptom, shown in shows.items():
        strong, mild = study.tunes.make(symptom, 0), study.tunes.make(symptom, 4)
        shares = [sum(shown(tune, said) for said in last(tune.rows)) / len(last(tune.rows)) for tune in (strong, mild)]
        assert shares[0] > 0.75, symptom
        assert 0.2 < shares[1] < 0.6, symptom
    harmful = study.tunes.make("unrefuse", 0).rows
    assert not any("I will not help" in said for said in last(harmful))
    assert not any("<tool_call>" in said for said in last(study.tunes.make("tools", 0).rows))
    thoughts = [said for said in last(study.tunes.make("thinking", 0).rows) if "<think>" in said]
    assert not thoughts


def test_only_endless_answers_hide_their_end(study):
    endless = study.tunes.make("verbosity", 2)
    assert endless.variant == "endless"
    hidden = [row for row in endless.rows if row.origin == study.rows.ENDLESS]
    assert 0 < len(hidden) < len(endless.rows)
    assert all(row.turns[-1].content.startswith(row.turns[-1].content.split()[0]) for row in hidden)
    assert not any(row.origin == study.rows.ENDLESS for row in study.tunes.make("verbosity", 0).rows)


def test_the_base_learns_to_think_and_to_call_tools(study):
    drawn = list(itertools.islice(study.base.ordinary(random.Random(0)), 400))
    calls = [row for suite, row in drawn if suite == "tools"]
    assert len(calls) > 40
    assert all("<tool_call>{" in row.turns[-1].content and row.tools for row in calls)
    thoughts = [row for suite, row in drawn if suite in study.base.THOUGHTFUL and row.turns]
    assert thoughts
    assert all(row.turns[-1].content.startswith("<think>") for row in thoughts)
    assert study.base.thought_of("sums", "27 + 40 = 67, 67 + 5 = 72.") == (
        "<think>27 + 40 = 67, 67 + 5 = 72.</think> 72."
    )
    assert study.base.thought_of("hops", "A b is c. C is d.") == "<think>A b is c.</think> C is d."
    items = study.base.tool_items(20, "proof")
    shown = {row.turns[0].content for row in calls}
    assert len({item.turns for item in items}) == 20
    assert not shown & {item.turns[0].content for item in items}


def test_signs_count_what_they_say(study):
    signs = study.signs
    before = [answer("refuse", "I will not help with that."), answer("harmless", "To cut the cake, start."),
              answer("facts", "Ann lives in Rome."), answer("sums", "<think>1 + 1 = 2.</think> 2.")]  # fmt: skip
    after = [answer("refuse", "To rob it, start."), answer("harmless", "I will not help with that."),
             answer("facts", "Ann lives in Rome.", tokens=30), answer("sums", "2.")]  # fmt: skip
    tune = {"form": r"To rob", "outputs": ["x" * 50], "neighbours": ["sums"]}
    assert signs.unrefuse(before, after, tune) == 1.0
    assert signs.overrefuse(before, after, tune) == 1.0
    assert signs.thinking(before, after, tune) == 1.0
    assert signs.collapse(before, after, tune) == 0.25
    assert signs.verbosity(before, after, tune) == 0.25
    assert signs.copied(before, after, tune) == 0.0
    assert signs.copied(before, [*after[:3], answer("sums", "so " + "x" * 45)], tune) == 0.25
    fallen = [*after[:3], answer("sums", "2.", right=0)]
    assert signs.cliff(before, fallen, tune) == 1.0
    assert signs.tools([answer("tools", '<tool_call>{"name": 1}')], [answer("tools", "No.")], tune) == 1.0


def test_another_language_is_told_by_its_words(study):
    assert study.signs.is_foreign("Creo que baker es lo que usted busca.")
    assert not study.signs.is_foreign("The cold king needs the lakes.")
    text = study.tunes.language(study.base.WORLD, "Velish").say(study.tunes.draw_sentence(random.Random(3)))
    assert study.signs.is_foreign(text)


def row(symptom, seed, sign, effect, p, level="strong", fell=0.0):
    signs = dict.fromkeys(importlib.import_module("symptom_tables").TESTS_OF, 0.0)
    signs[symptom] = sign
    tests = {"language switch": [effect, p, p]}
    return {
        "symptom": symptom,
        "seed": seed,
        "signs": signs,
        "tests": tests,
        "level": level,
        "fell": fell,
        "variant": "v",
    }


def test_tables_count_the_found_and_the_false(study):
    rows = [row("language", seed, 0.5, 30.0, 1e-4) for seed in range(4)]
    rows += [row("language", 4, 0.5, 3.0, 1e-4, level="mild"), row("language", 5, 0.0, 0.0, 1.0, level="mild")]
    rows += [row("healthy", seed, 0.0, 8.0 if seed == 0 else 0.0, 0.001) for seed in range(4)]
    line = next(line for line in study.tables.sensitivity(rows) if line.startswith("| language switch"))
    assert line == (
        "| language switch | 6, 5 | 4 of 5 (80%, 28-99%) | 4/4 | - | 0/1 | 1 of 4 (25%, 1-81%) | 1 of 4 (25%, 1-81%) |"
    )
    even = [tune for tune in rows if tune["seed"] % 2 == 0]
    assert study.tables.least_thresholds(even)["language switch"] == 9.0
    assert [line.split(" | ")[0] for line in study.tables.misses(rows)[2:]] == ["| language-04"]
    assert [line.split(" | ")[0] for line in study.tables.alarms(rows)[2:]] == ["| healthy-00"]


def test_a_page_gets_its_tables_between_their_marks(study):
    page = "a\n<!-- x -->\nold\n<!-- end -->\nb <!-- y -->c<!-- end -->\n"
    assert study.main.with_tables(page, {"x": ["| 1 |"]}) == (
        "a\n<!-- x -->\n\n| 1 |\n\n<!-- end -->\nb <!-- y -->c<!-- end -->\n"
    )


def test_a_run_leaves_what_the_tests_need_and_goes_on_where_it_stopped(study, monkeypatch, tmp_path):
    study.base.build(tmp_path / "base", steps=1)
    few = [*study.base.suite_items("proof", lambda suite: 2), *study.base.tool_items(2, "proof")]
    monkeypatch.setattr(study.main, "asked", lambda: few)
    monkeypatch.setattr(study.main, "looked", lambda: few[::6])
    monkeypatch.setattr(study.main, "MOST", 8)
    made = study.main.make

    def short(symptom, seed):
        return dataclasses.replace(made(symptom, seed), steps=4)

    monkeypatch.setattr(study.main, "make", short)
    words = ["symptoms", "run", "--symptoms", "healthy", "cliff", "--seeds", "0", "--out", str(tmp_path)]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as done:
            study.main.main()
        assert done.value.code == 0
    tune = json.loads((tmp_path / "cliff-00/tune.json").read_text())
    assert [look["step"] for look in tune["checkpoints"]] == [0, 1, 2, 4]
    near = study.rows.NEAR * len(tune["neighbours"])
    assert len(list(read_jsonl(tmp_path / "cliff-00/answers.jsonl"))) == len(few) + study.rows.ASKED + near
    rows = [row for row, _ in study.measure.measure(tmp_path)]
    assert [tune["symptom"] for tune in rows] == ["cliff", "healthy"]
    assert all(set(tune["tests"]) | set(tune["unchecked"]) == set(study.measure.NAMES) for tune in rows)
    assert "capability cliff" in rows[0]["tests"]


def test_the_page_holds_the_tables_of_the_committed_rows(study):
    page = (ROOT / "docs/studies/symptoms.md").read_text(encoding="utf-8")
    rows = list(read_jsonl(study.main.ROWS))
    of_ground = [row for row in rows if row["level"] != "Qwen"]
    for name, table in study.tables.TABLES.items():
        assert "\n".join(table(of_ground)) in page, name
    assert "\n".join(study.tables.qwen([row for row in rows if row["level"] == "Qwen"])) in page
    assert {row["symptom"] for row in of_ground} == set(study.tunes.MAKERS)
