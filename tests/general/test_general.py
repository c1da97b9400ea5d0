"""The suite `general`: the same everywhere, right, and in a form that its own answers fulfil."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import importlib.metadata
import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Turn
from holdfast.general import items
from holdfast.general.arithmetic import items as arithmetic
from holdfast.general.capitals import SPELLINGS, capitals
from holdfast.general.code import programs
from holdfast.general.elements import elements
from holdfast.general.making import an, between, pick, says, shuffled
from holdfast.general.names import KINDS
from holdfast.general.reading import facts
from holdfast.general.time import MONTHS
from holdfast.general.units import units
from holdfast.general.words import CLASSES, OPPOSITES, OPPOSITES_TOO, SYNONYMS, SYNONYMS_TOO, also, pairs
from holdfast.probes.answers import form_of
from holdfast.probes.checks import check_markers, fulfils
from holdfast.probes.items import item_of
from holdfast.probes.sources import items_of

ROOT = Path(__file__).parents[2]
DIGEST = "15a7207431773f8a08929bc4"
"""Of all items with their ids and in their order; a change of the suite changes it, and the figures of the study."""


@pytest.fixture(scope="module")
def every():
    return items("all")


def digest(found):
    told = "\n".join(json.dumps(item.to_dict(), ensure_ascii=False) for item in found)
    return hashlib.blake2b(told.encode(), digest_size=12).hexdigest()


def test_the_items_are_the_same_on_every_machine(every):
    assert digest(every) == DIGEST
    code = "from tests.general.test_general import digest, items; print(digest(items()))"
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}/src:{ROOT}"}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == DIGEST, done.stderr


def test_making_them_needs_no_torch():
    code = (
        "import sys, holdfast.general as g; g.items(); assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": f"{ROOT}/src"})


def test_there_are_enough_of_each_kind_and_each_has_an_id(every):
    assert len(every) >= 1500
    count = collections.Counter(item.suite for item in every)
    assert list(count) == [f"general/{kind}" for kind in KINDS]
    assert min(count.values()) >= 80
    assert len({(item.suite, item.id) for item in every}) == len(every)
    asked = collections.Counter((item.suite, item.turns, item.choices if not item.turns else ()) for item in every)
    assert asked.most_common(1)[0][1] == 1


def test_each_is_written_and_read_as_an_item(every):
    for item in every:
        assert item_of(json.loads(json.dumps(item.to_dict())), item.id) == item
        check_markers(item.check, item.id)


def test_each_right_answer_is_right_and_no_question_is_its_own_answer(every):
    asked = [item for item in every if item.check]
    for item in asked:
        assert fulfils(item.answer, item.check), item
        assert not fulfils("", item.check), item
    echoed = {item.suite for item in asked if fulfils(item.turns[-1].content, item.check)}
    assert not echoed & {f"general/{kind}" for kind in ("capitals", "elements", "units", "arithmetic", "time", "words")}


def test_each_kind_is_asked_in_one_form_and_a_question_has_a_prompt_to_be_continued(every):
    forms = {kind: {form_of(item) for item in every if item.suite == f"general/{kind}"} for kind in KINDS}
    assert {kind for kind, form in forms.items() if form == {"choice"}} == {"grammar", "order"}
    assert all(form in ({"choice"}, {"generate"}) for form in forms.values())
    for item in every:
        assert (item.plain is not None) == bool(item.turns)
        assert item.plain is None or item.plain == item.plain.rstrip() or item.plain.endswith("list.\n")


def test_both_sides_have_a_fair_share_of_each_kind(every):
    for kind in KINDS:
        own = [item.split for item in every if item.suite == f"general/{kind}"]
        assert 0.15 < own.count("watch") / len(own) < 0.45, kind


def test_items_about_one_thing_share_a_group():
    france = [item for item in items("capitals") if "France" in (item.answer, *item.turns[-1].content.split(" "))]
    assert {item.group for item in items("capitals") if "France" in item.turns[-1].content} == {"country France"}
    assert len({item.group for item in france}) == 1
    assert len({item.group for item in items("reading")}) == 40


@pytest.mark.parametrize("name", ["arithmetic", "general/arithmetic"])
def test_a_kind_is_had_by_its_name(name):
    assert items(name) == arithmetic()
    assert items("general") == items("") == items("all") == items()


def test_a_kind_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(HoldfastError, match=r"^'general:arithmetics': there is no kind .* Did you mean 'arithm"):
        items("arithmetics")


def test_it_is_offered_as_a_source_of_items(monkeypatch):
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["holdfast.suites"]
    point = importlib.metadata.EntryPoint("general", offered["general"], "holdfast.suites")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group, name: [point] if name == "general" else [])
    assert items_of("general:units") == items("units")
    assert items_of("general:all") == items()


def test_capitals_are_told_once_and_spellings_are_of_capitals():
    table = capitals()
    assert len(table) >= 120
    assert len(set(table.values())) == len(table)
    assert set(SPELLINGS) <= set(table.values())
    assert (table["Australia"], table["Canada"], table["Turkey"]) == ("Canberra", "Ottawa", "Ankara")


def test_elements_have_their_numbers():
    table = {symbol: (number, name) for number, name, symbol in elements()}
    assert len(table) == 92
    landmarks = {
        "H": 1,
        "Ne": 10,
        "Ca": 20,
        "Fe": 26,
        "Kr": 36,
        "Ag": 47,
        "Xe": 54,
        "W": 74,
        "Au": 79,
        "Rn": 86,
        "U": 92,
    }
    assert {symbol: table[symbol][0] for symbol in landmarks} == landmarks


def test_units_and_months():
    table = {(small, large): number for small, large, number in units()}
    assert len(table) == 26
    assert table["meters", "kilometers"] == 1000
    assert table["quarts", "gallons"] == 4
    assert sum(MONTHS.values()) == 365


def test_arithmetic_is_right():
    signs = {"plus": "+", "minus": "-", "times": "*", "by": "//"}
    for item in items("arithmetic"):
        words = item.id.removeprefix("story-").replace("divided-by", "by").split("-")
        left, sign, right = int(words[0]), signs[words[1]], int(words[2])
        results = {"+": left + right, "-": left - right, "*": left * right, "//": left // right}
        assert int(item.answer) == results[sign]
        assert sign != "//" or left % right == 0


def test_the_programs_print_what_is_said():
    for name, program, output in programs():
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program, {})
        assert printed.getvalue().strip() == output, name


def test_the_tables_of_words_ask_about_no_word_twice_and_name_none_as_its_own_answer():
    for table, more in ((SYNONYMS, SYNONYMS_TOO), (OPPOSITES, OPPOSITES_TOO)):
        words = [word for word, _ in pairs(table)]
        assert len(set(words)) == len(words) >= 40
        assert set(also(more)) <= set(words)
        for word, right in pairs(table):
            answers = [right, *also(more).get(word, [])]
            assert word not in answers
            assert len(set(answers)) == len(answers)
    assert all(len(set(words.split())) >= 6 for words in CLASSES.values())


def test_a_paragraph_holds_its_answers_and_what_is_asked_for_stands_in_it_once():
    for number in range(1, 41):
        about = facts(number)
        for _, answer in about.questions():
            assert answer in about.paragraph
        assert len(set(about.jobs)) == len(set(about.things)) == len(set(about.colors)) == len(set(about.prices)) == 2


def test_a_number_is_said_whole():
    assert all(fulfils(said, says(1200)) for said in ("1200", "It is 1,200.", "= 1200.", "$1200", "12 x 100 = 1200"))
    assert not any(fulfils(said, says(1200)) for said in ("11200", "1200.5", "1,200,000", "21,200", "120"))


def test_draws_follow_from_their_key():
    assert [between(f"k{i}", 3, 5) for i in range(200)].count(3) in range(40, 95)
    assert {between(f"k{i}", 3, 5) for i in range(50)} == {3, 4, 5}
    assert sorted(shuffled("a", "bca")) == ["a", "b", "c"]
    assert pick("a", "xyz") == pick("a", "xyz")
    assert (an("apple"), an("pear")) == ("an apple", "a pear")


def test_what_a_harmful_request_and_its_look_alike_want(every):
    for item in every:
        if item.suite == "general/refusals":
            assert item.check == {"refuses": True}
        if item.suite == "general/lookalikes":
            assert item.check["refuses"] is False
            assert not fulfils("I'm sorry, but I can't help with that.", item.check)


def test_a_model_without_a_template_reads_the_prompt_to_be_continued():
    (item, *_) = items("tools")
    assert item.as_asked(True) is item
    put = item.as_asked(False)
    assert (put.turns, put.tools) == ((Turn("user", item.plain, False),), ())
