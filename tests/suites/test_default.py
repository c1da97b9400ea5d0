"""`general` as a source, in all its forms, and as the default of `--keep`."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import pytest

from holdfast.bench.compare.plan import plan
from holdfast.bench.given.loading import load_tokenizer
from holdfast.bench.given.specs import CompareSpec, DiffSpec, RunSpec
from holdfast.bench.measured.power import FLIPS, REAL_FLIPS, power_lines, power_notes
from holdfast.bench.measured.preparation import prepare_data, read_suites
from holdfast.bench.run.early_checks import check_early
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.general.names import KIND_MEASURES, KINDS, items
from holdfast.ground.names import BASE, base_folder
from holdfast.suites.default import COUNT, GENERAL, GROUND, PER_KIND, default_keep, default_note
from holdfast.suites.named import items_of
from holdfast.suites.words import check_word


def names(source):
    return [(item.suite, item.id) for item in items_of(source)]


def per_kind(source):
    return collections.Counter(suite.removeprefix("general/") for suite, _ in names(source))


def test_the_word_alone_takes_as_many_of_each_kind():
    assert per_kind("general") == dict.fromkeys(KINDS, PER_KIND)
    assert len(names("general")) == COUNT == len(KINDS) * PER_KIND
    assert names("general") == names(GENERAL) == names(f"general:all:{COUNT}")
    assert len(names("general:all")) == len(items())


def test_a_number_is_spread_over_the_kinds_and_the_fewer_are_among_the_more():
    assert per_kind("general:300") == dict.fromkeys(KINDS, 20)
    assert set(per_kind("general:100").values()) == {6, 7}
    assert per_kind("general:1500")["refusals"] == 94  # has no more
    assert sum(per_kind("general:1500").values()) == 1500
    assert set(names("general:100")) < set(names("general:300")) < set(names("general")) < set(names("general:all"))
    assert names("general:5000") == names("general:all")


def test_one_kind_may_be_named_in_two_ways_with_a_number_or_without():
    assert names("general:reading") == names("general/reading") == [("general/reading", i.id) for i in items("reading")]
    assert names("general:reading:25") == names("general/reading:25")
    assert len(names("general:reading:25")) == 25
    assert set(names("general:reading:25")) < set(names("general"))


def test_what_is_taken_is_noted():
    notes: list[str] = []
    items_of("general:300", notes)
    items_of("general:reading", notes)
    items_of("general:reading:999", notes)
    assert notes == [
        "general: 300 of 2,146 items, spread evenly over 15 kinds, are taken by the hash of their ids.",
        "general/reading: 160 items, which are all.",
        "general/reading: 160 items, which are all.",
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("general:", "behind general stands a kind, a number of items from 1, or both"),
        ("general:0", "behind general stands a kind"),
        ("general:reading:x", "behind general stands a kind"),
        ("general:redaing", "there is no kind of that name.*Did you mean 'reading'"),
        ("general/redaing", "Did you mean 'reading'"),
        ("genral", "There is no suite, file or folder called 'genral'.*Did you mean 'general'"),
    ],
)
def test_other_forms_are_refused_before_anything_is_loaded(source, message):
    for refuse in (check_word, items_of):
        with pytest.raises(HoldfastError, match=message):
            refuse(source)
    with pytest.raises(HoldfastError, match=message):
        check_early(DiffSpec(base=BASE, tuned=BASE, keep=(source,)))


def test_a_folder_of_that_name_is_read_and_a_number_always_means_the_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("general").mkdir()
    record = {"question": "1+1?", "choices": ["2", "3"], "answer": 0}
    Path("general/test.jsonl").write_text(json.dumps(record) + "\n")
    notes: list[str] = []
    assert {item.suite for item in items_of("general", notes)} == {"general"}  # named after the folder
    assert "general: the file or folder of that name here is read, not the suite general." in notes
    assert len(names("general:30")) == 30
    assert per_kind(GENERAL) == dict.fromkeys(KINDS, PER_KIND)


def run(**changes):
    return RunSpec(**{"model": "m", "data": "d.jsonl", **changes})


def test_a_budget_of_points_keeps_general_by_default():
    assert run(budget={"points": 2}).keep == (GENERAL,)
    assert run(budget={"points": 2, "on_spent": "stop"}).keep == (GENERAL,)
    assert run(budget={"points": 2}, keep=("k.txt",)).keep == ("k.txt",)
    assert run().keep == ()
    assert run(budget={"nll": 0.1}).keep == ()  # general has no texts


def test_a_diff_that_names_nothing_and_a_comparison_keep_general_by_default():
    assert DiffSpec(base="a", tuned="b").keep == (GENERAL,)
    assert DiffSpec(base="a", tuned="b", test="t.jsonl").keep == ()
    assert DiffSpec(base="a", tuned="b", test="t.jsonl", budget={"points": 2}).keep == (GENERAL,)
    spec = CompareSpec(model="m", data="d.jsonl", recipes=("Finch()",))
    assert spec.keep == (GENERAL,)
    assert default_note("m", (GENERAL,)) in plan(spec).notes


def test_the_base_of_the_proving_ground_keeps_its_own_suites():
    assert default_keep(BASE) == default_keep(str(base_folder())) == GROUND
    assert run(model=BASE, budget={"points": 2}).keep == (GROUND,)
    assert DiffSpec(base=BASE, tuned="b").keep == (GROUND,)
    assert len(items_of(GROUND)) > 1000
    assert "kept by default of ground:base" in default_note(BASE, (GROUND,))
    assert default_note(BASE, (GENERAL,)) == default_note("m", ("k.txt",)) == ""


def test_the_default_is_noted_before_anything_is_asked_and_what_it_proves_depends_on_the_answers_that_flip():
    tokenizer = load_tokenizer(BASE)
    notes: list[str] = []
    suites = read_suites(DiffSpec(base="a", tuned="b"), tokenizer, notes)
    assert [suite.name for suite in suites] == [f"general/{kind}" for kind in KINDS]
    assert notes[0].startswith(
        f"{GENERAL} is kept by default: {PER_KIND} plain questions in English of each of 15 kinds."
    )
    assert f"asks {len(items()):,}" in notes[0]
    for flips, least in ((FLIPS, 2.0), (REAL_FLIPS, 3.4)):
        last = power_lines(suites, Budget(points=2), flips)[-1]
        assert last == f"  the mean of the 15 suites, which the budget limits: a loss of at most {least} points"
    assert power_notes(suites, Budget(points=2), 2_800_000) == power_notes(suites, None, 0) == []
    (doubt,) = power_notes(suites, Budget(points=2), 270_000_000)
    assert doubt.startswith("The kept items can prove a loss of at most 3.4 points if nothing is lost and 12 of 100")
    assert doubt.endswith("Keep about 2.9 times as many items for a verdict.")
    (every,) = power_notes(suites, Budget(points=2, claim="every"), 0)
    assert "at most 14.0 points" in every
    read_suites(DiffSpec(base="a", tuned="b", keep=("general:45",)), tokenizer, notes := [])
    assert not any("by default" in note for note in notes)


def test_a_run_that_keeps_nothing_says_so(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{n}", "completion": "a"}) + "\n" for n in range(20)))
    said = "Nothing measures what is lost: --keep general asks 900 questions, and --budget judges them."
    assert said in prepare_data(run(model=BASE, data=str(path)), load_tokenizer(BASE)).notes
    assert said not in prepare_data(run(model=BASE, data=str(path), keep=("general:15",)), load_tokenizer(BASE)).notes


def test_every_kind_is_described():
    assert KIND_MEASURES.keys() == KINDS.keys()
