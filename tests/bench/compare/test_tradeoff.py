"""From finished runs to the trade-off: doses chosen on one side, everything stated on the other."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from holdfast.bench.compare.finished_runs import comparable_runs, labels, read_finished_runs
from holdfast.bench.compare.tradeoff import tradeoff
from holdfast.bench.compare.tradeoff_record import FlipsRow, ItemCounts, MatchedRow, SetOff, TradeOff
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import row_of
from holdfast.bench.measured.scores import read_scores, write_scores
from holdfast.bench.measured.verdict import verdict
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.probes.changes import changes
from holdfast.probes.score import proof
from holdfast.recipe import parse
from holdfast.report.tradeoff import as_csv
from tests.bench.comparison import comparison, guard, scores_of, write


def of(folder, **changes):
    runs, _ = read_finished_runs([str(folder)])
    (own,) = comparable_runs(runs)
    return tradeoff(own, **changes)


def by_recipe(found):
    return {row.recipe: row for row in found.recipes}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return of(comparison(tmp_path_factory.mktemp("runs")), budget=Budget(points=10))


def test_those_that_learn_enough_come_first_by_what_they_lose(found):
    assert [row.recipe for row in found.recipes] == ["MaskTheTarget()", "plain", "LoRA(rank=2)"]
    assert [row.reached for row in found.recipes] == [True, True, False]
    assert found.goal == pytest.approx(0.95 * 90.0)
    assert found.base == 0.0
    assert found.unit == found.learned_unit == "points"


def test_what_is_stated_is_what_the_proof_items_say(found):
    plain = by_recipe(found)["plain"]
    assert plain.rate == 4e-4
    assert plain.learned.value == pytest.approx(90.0)
    assert plain.suites["facts"].value == pytest.approx(50.0)
    assert plain.suites["sums"].value == pytest.approx(60.0)
    assert plain.lost.value == pytest.approx(55.0)
    assert plain.worst.suite == "sums"
    assert plain.lost.low < 55.0 < plain.lost.high
    assert plain.flips == FlipsRow(lost=44.0, gained=0.0, items=80)
    assert [dose.learned.value for dose in plain.doses] == pytest.approx([30.0, 60.0, 90.0])


def test_the_interval_is_about_what_theory_gives(found):
    lost = by_recipe(found)["plain"].lost
    wide = 1.96 * np.sqrt(0.5 * 0.5 / 40 + 0.4 * 0.6 / 40) / 2 * 100
    assert lost.high - lost.low == pytest.approx(2 * wide, rel=0.2)
    assert found.chosen is True


def test_the_worst_suite_says_of_how_many_and_its_interval_holds_for_all(found):
    for row in found.recipes:
        worst = row.worst
        own = row.suites[worst.suite]
        assert (worst.of, worst.value) == (2, own.value)
        assert worst.low < own.low
        assert worst.high > own.high or worst.high == 100.0


def test_prices_are_shares_of_plains(found):
    rows = by_recipe(found)
    assert (rows["plain"].time_ratio, rows["plain"].memory_ratio) == (1.0, 1.0)
    assert rows["MaskTheTarget()"].time_ratio == pytest.approx(1.2)
    assert rows["MaskTheTarget()"].memory_ratio == pytest.approx(300 / 200)
    assert rows["LoRA(rank=2)"].trained_share == 0.5


def test_at_equal_learning_doses_are_joined_and_what_is_not_reached_is_not_invented(found):
    rows = by_recipe(found)
    goal = found.goal
    share = (goal - 60.0) / 30.0
    assert rows["plain"].matched.value == pytest.approx(25.0 + share * 30.0)
    assert rows["LoRA(rank=2)"].matched == MatchedRow(reached=0.0)
    assert 0.5 < rows["plain"].matched.reached <= 1.0


def test_the_front_and_the_area(found):
    rows = by_recipe(found)
    assert rows["MaskTheTarget()"].front_share > 0.9
    assert rows["plain"].front_share < 0.5
    assert rows["MaskTheTarget()"].hypervolume > rows["plain"].hypervolume > rows["LoRA(rank=2)"].hypervolume
    assert found.hypervolume >= rows["MaskTheTarget()"].hypervolume


def test_each_is_judged_by_the_budget(found):
    words = {name: row.verdict.word for name, row in by_recipe(found).items()}
    assert words["plain"] == "forgot"
    assert words["MaskTheTarget()"] != "kept"


def test_without_a_budget_nothing_is_judged(tmp_path):
    assert {row.verdict for row in of(comparison(tmp_path)).recipes} == {None}


def test_the_dose_is_chosen_on_watched_items_alone(tmp_path):
    """On the proof side the higher dose is better; on the watched side it is worse, and that decides."""
    for name, lr, watch, rest in (("a", "0.0001", 0.9, 0.5), ("b", "0.0002", 0.5, 0.9)):
        folder = write(tmp_path / name, f"Train(lr={lr})", learned=0.9, kept=0.9)
        one, other = (
            scores_of(learned=0.9, kept=kept, sides=(side,)) for kept, side in ((watch, "watch"), (rest, "proof"))
        )
        write_scores(folder / "scores.jsonl", name, {moment: one[moment] + other[moment] for moment in one})
    (row,) = of(tmp_path).recipes
    assert row.rate == 1e-4
    assert row.suites["facts"].value == pytest.approx(50.0)


def test_seeds_widen_the_interval(tmp_path):
    one = of(comparison(tmp_path / "one"))
    assert any("One seed" in note for note in one.notes)
    for seed, kept in enumerate((0.3, 0.5, 0.7)):
        write(tmp_path / "three" / f"s{seed}", "Train(lr=0.0001)", seed=seed, learned=0.9, kept=kept)
        write(tmp_path / "same" / f"s{seed}", "Train(lr=0.0001)", seed=seed, learned=0.9, kept=0.5)
    apart, alike = (of(tmp_path / name).recipes[0] for name in ("three", "same"))
    assert apart.seeds == 3
    assert apart.lost.value == pytest.approx(alike.lost.value)
    assert apart.lost.high - apart.lost.low > 1.5 * (alike.lost.high - alike.lost.low)


def test_items_that_one_run_was_not_asked_are_left_out_of_all(tmp_path):
    comparison(tmp_path)
    folder = tmp_path / "run-0-0-0"
    scores = read_scores(folder / "scores.jsonl").items()
    kept = {moment: [one for one in members if one.item not in ("proof-1", "watch-2")] for moment, members in scores}
    write_scores(folder / "scores.jsonl", "run", kept)
    assert of(tmp_path).items == ItemCounts(learned=39, kept=78)  # several doses: of the side that chose none


# The run's own table and the report agree


def own_table(folder, watched=(), budget=None):
    """Returns what `holdfast train` states of a run: its rows, the verdict and the word on learning."""
    scores = read_scores(folder / "scores.jsonl")
    changed = changes(*(proof(scores[moment], watched) for moment in ("before", "after")))
    said = verdict(changed, budget) if budget else None
    return {one.name: row_of(one) for one in changed}, said, learning_of(changed)


@pytest.mark.parametrize("watched", [(), ("facts", "sums", "task")])
@pytest.mark.parametrize("unit", ["points", "nats"])
def test_one_run_is_said_to_be_the_same_by_its_own_table_and_by_the_report(tmp_path, unit, watched):
    """With one learning rate nothing is chosen: every item counts that steered nothing, in either."""
    about = {"guard": guard(watched)} if watched else {}
    folder = write(tmp_path / "a", "Train(lr=0.0001)", learned=0.8, kept=0.9, unit=unit, result=about)
    budget = Budget(points=5, nll=0.05)
    suites, said, learned = own_table(folder, watched, budget)
    found = of(tmp_path, budget=budget)
    (row,) = found.recipes
    assert found.chosen is False
    assert found.items.kept == (80 if watched else 160) == suites["facts"].items + suites["sums"].items
    sign = -1 if unit == "points" else 1
    for name, of_suite in row.suites.items():
        own = suites[name]
        assert of_suite.value == pytest.approx(sign * own.change)
        assert [of_suite.low, of_suite.high] == pytest.approx(sorted((sign * own.low, sign * own.high)))
    (mean,) = said.means
    assert row.lost.value == pytest.approx(sign * mean.change)
    assert [row.lost.low, row.lost.high] == pytest.approx(sorted((sign * mean.low, sign * mean.high)))
    assert row.verdict.word == said.word
    assert {name: one.word for name, one in row.verdict.suites.items()} == {
        name: one.word for name, one in said.suites.items()
    }
    (entry,) = learned.units
    base = found.base if unit == "points" else 0.0
    assert row.learned.word == learned.word
    assert [value - base for value in (row.learned.value, row.learned.low, row.learned.high)] == pytest.approx(
        [entry.gain, entry.low, entry.high]
    )


def test_of_several_recipes_with_one_rate_each_all_items_count_too(tmp_path):
    write(tmp_path / "a", "Train(lr=0.0001)", learned=0.8, kept=0.9)
    write(tmp_path / "b", "Train(lr=0.0003) + MoFO()", learned=0.8, kept=0.7)
    found = of(tmp_path)
    assert (found.chosen, found.items) == (False, ItemCounts(learned=80, kept=160))
    for row, folder in zip(sorted(found.recipes, key=lambda row: row.recipe), ("b", "a"), strict=True):
        suites, _, _ = own_table(tmp_path / folder)
        assert row.suites["facts"].value == pytest.approx(-suites["facts"].change)


def test_what_steered_one_run_is_left_out_of_all(tmp_path):
    write(tmp_path / "a", "Train(lr=0.0001)", learned=0.8, kept=0.9, result={"guard": guard(["facts"])})
    write(tmp_path / "b", "Train(lr=0.0001) + MoFO()", learned=0.8, kept=0.7)
    assert of(tmp_path).items == ItemCounts(learned=80, kept=120)


def test_the_verdict_on_a_recipe_draws_its_seeds(tmp_path):
    for seed, kept in enumerate((1.1, 1.1, 0.95)):
        write(tmp_path / "three" / f"s{seed}", "Train(lr=0.0001)", seed=seed, learned=0.9, kept=kept, items=400)
    write(tmp_path / "one" / "s0", "Train(lr=0.0001)", learned=0.9, kept=1.1, items=400)
    budget = Budget(points=5)
    (three,), (one,) = (of(tmp_path / name, budget=budget).recipes for name in ("three", "one"))
    assert (one.verdict.word, three.verdict.word) == ("kept", "not enough evidence")
    assert three.verdict.seeds == 3
    assert one.verdict.seeds is None
    assert three.lost.high - three.lost.low > 10
    notes = of(tmp_path / "one").notes
    assert any("One seed: these statements hold for these runs only" in note for note in notes)
    write(tmp_path / "one" / "s1", "Train(lr=0.0001)", seed=1, learned=0.9, kept=1.1, items=400)
    assert any("Two seeds show little" in note for note in of(tmp_path / "one").notes)


def test_gains_of_some_suites_are_shown_beside_what_others_lost(tmp_path):
    folder = write(tmp_path / "a", "Train(lr=0.0001)", learned=0.9, kept=0.9)
    scores = read_scores(folder / "scores.jsonl")
    swapped = {
        moment: [one for one in scores[moment] if one.suite != "sums"] + [o for o in scores[other] if o.suite == "sums"]
        for moment, other in (("before", "after"), ("after", "before"))
    }
    write_scores(folder / "scores.jsonl", "run", swapped)
    found = of(tmp_path)
    (row,) = found.recipes
    assert row.lost.value == pytest.approx(-5.0)
    assert row.set_off == SetOff(lost=5.0, gained=pytest.approx(10.0), gained_in=("sums",))
    assert any(
        "suites that got better (sums) take 10.0 off what is lost; the others lost 5.0" in n for n in found.notes
    )


def test_a_dose_that_went_too_far_does_not_change_what_is_lost_at_the_goal(tmp_path):
    for lr, learned, kept in ((1e-4, 0.2, 1.1), (2e-4, 0.9, 0.95), (4e-4, 0.4, 0.5)):
        write(tmp_path / "all" / f"{lr}", f"Train(lr={lr})", learned=learned, kept=kept)
        if lr < 4e-4:
            write(tmp_path / "two" / f"{lr}", f"Train(lr={lr})", learned=learned, kept=kept)
    (every,), (two,) = (of(tmp_path / name).recipes for name in ("all", "two"))
    assert every.matched.value == pytest.approx(two.matched.value)
    assert every.matched.reached > 0.5


def test_texts_are_lost_in_nats(tmp_path):
    for lr, learned, kept in ((1e-4, 0.5, 0.9), (2e-4, 0.9, 0.5)):
        write(tmp_path / f"{lr}", f"Train(lr={lr})", learned=learned, kept=kept, unit="nats")
    found = of(tmp_path, budget=Budget(nll=0.02))
    (row,) = found.recipes
    assert found.unit == found.learned_unit == "nats"
    assert row.learned.value == pytest.approx(0.9)
    assert row.lost.value == pytest.approx(0.55)
    assert row.flips is None
    assert row.verdict.word == "forgot"


def beside(folder, scores, name, **changes):
    """Writes the suite `name` of some scores, changed, beside those of a run."""
    there = read_scores(folder / "scores.jsonl")
    more = {
        moment: [dataclasses.replace(one, **changes) for one in members if one.suite == name]
        for moment, members in scores.items()
    }
    write_scores(folder / "scores.jsonl", "run", {moment: there[moment] + more[moment] for moment in there})


def test_texts_beside_items_are_named_and_judged(tmp_path):
    folder = write(tmp_path / "a", "Train(lr=0.0001)", learned=0.9, kept=1.1)
    beside(folder, scores_of(learned=0.9, kept=0.2, unit="nats"), "facts", suite="stories")
    found = of(tmp_path, budget=Budget(points=30, nll=0.02))
    assert found.recipes[0].lost.value == pytest.approx(0.0)
    assert found.recipes[0].verdict.word == "forgot"
    assert any("stories is measured in nats" in note for note in found.notes)
    assert of(tmp_path, budget=Budget(nll=0.02)).recipes[0].verdict.word == "forgot"


def test_transfer_is_in_its_own_unit(tmp_path):
    folder = write(tmp_path / "a", "Train(lr=0.0001)", learned=0.9, kept=0.9)
    beside(folder, scores_of(learned=0.5, kept=0.9, unit="nats"), "task", suite="transfer", role="transfer")
    transfer = of(tmp_path).recipes[0].transfer
    assert (transfer.unit, transfer.value) == ("nats", pytest.approx(0.5))


def test_a_seed_that_failed_is_said_and_does_not_count_against_a_recipe(tmp_path):
    for name, recipe, seeds in (("a", "Train(lr=0.0001)", (0, 1)), ("b", "Train(lr=0.0001) + MoFO()", (0,))):
        for seed in seeds:
            write(tmp_path / f"{name}{seed}", recipe, seed=seed, learned=0.9, kept=0.9)
    found = of(tmp_path)
    by = by_recipe(found)
    assert any(note == "MoFO() has 1 of 2 seeds." for note in found.notes)
    assert by["MoFO()"].front_share == pytest.approx(by["plain"].front_share, abs=0.15)


def test_the_same_run_twice_is_said(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, "Train(lr=0.0001)", learned=0.9, kept=0.9)
    assert any("repeats the run" in note for note in of(tmp_path).notes)


def test_plain_training_is_what_all_others_have(tmp_path):
    settings = "Train(lr=0.0001) + Finch()"
    for name, more, seconds in (("a", "", 10.0), ("b", " + MoFO()", 20.0), ("c", " + MaskTheTarget()", 30.0)):
        cost = {"device": "cpu", "seconds": 1.0, "cpu": seconds, "memory": 300.0, "before": 100.0}
        write(tmp_path / name, settings + more, learned=0.9, kept=0.9, cost=cost)
    by = by_recipe(of(tmp_path))
    assert {name: row.time_ratio for name, row in by.items()} == {"plain": 1.0, "MoFO()": 2.0, "MaskTheTarget()": 3.0}


def test_time_is_compared_within_a_seed_as_machines_differ(tmp_path):
    for name, recipe, seed, seconds in (
        ("a", "Train(lr=0.0001)", 0, 10.0),
        ("b", "Train(lr=0.0002)", 0, 10.0),
        ("c", "Train(lr=0.0001)", 1, 40.0),
        ("d", "Train(lr=0.0001) + MoFO()", 0, 20.0),
        ("e", "Train(lr=0.0001) + MaskTheTarget()", 1, 120.0),
        ("f", "Train(lr=0.0001) + EWC(memory='old')", 2, 120.0),
    ):
        cost = {"device": "cpu", "seconds": 1.0, "cpu": seconds, "memory": 300.0, "before": 100.0}
        write(tmp_path / name, recipe, seed=seed, learned=0.9, kept=0.9, cost=cost)
    times = {name: row.time_ratio for name, row in by_recipe(of(tmp_path)).items()}
    assert times == {"plain": 1.0, "MoFO()": 2.0, "MaskTheTarget()": 3.0, "EWC(memory='old')": None}


def test_more_passes_are_another_recipe_than_plain(tmp_path):
    for name, recipe, seconds in (
        ("a", "Train(lr=0.0001, epochs=3)", 10.0),
        ("b", "Train(lr=0.0001, epochs=6)", 20.0),
        ("c", "Train(lr=0.0001, epochs=3) + MoFO()", 10.0),
    ):
        cost = {"device": "cpu", "seconds": 1.0, "cpu": seconds, "memory": 300.0, "before": 100.0}
        write(tmp_path / name, recipe, learned=0.9, kept=0.9, cost=cost)
    by = by_recipe(of(tmp_path))
    assert by["plain"].time_ratio == 1.0
    assert by["Train(epochs=6)"].time_ratio == 2.0


def test_a_rate_that_no_recipe_names_is_the_one_it_was_trained_with(tmp_path):
    write(tmp_path / "a", "LoRA(rank=2)", learned=0.9, kept=0.9)
    write(tmp_path / "b", "Train(lr=0.0001) + LoRA(rank=2)", learned=0.5, kept=0.9)
    (row,) = of(tmp_path).recipes
    assert [dose.rate for dose in row.doses] == [1e-4, 2e-4]


def test_what_was_not_measured_stays_absent(tmp_path):
    for lr in (1e-4, 2e-4):
        write(
            tmp_path / f"{lr}",
            f"Train(lr={lr})",
            learned=0.9,
            kept=0.9,
            cost={},
            result={"cost": None},
        )
    (row,) = of(tmp_path).recipes
    assert {row.time_ratio, row.memory_ratio, row.transfer, row.verdict} == {None}


def test_without_plain_training_the_best_of_all_sets_the_goal(tmp_path):
    write(tmp_path / "a", "Train(lr=0.0001) + MaskTheTarget()", learned=0.8, kept=0.9)
    found = of(tmp_path)
    assert found.goal == pytest.approx(0.95 * 80)
    assert any("No run is plain" in note for note in found.notes)
    assert found.recipes[0].time_ratio is None


def test_suites_of_one_side_are_used_for_both_and_it_is_said(tmp_path):
    folder = write(tmp_path / "a", "Train(lr=0.0001)", learned=0.8, kept=0.9)
    write_scores(folder / "scores.jsonl", "a", scores_of(learned=0.8, kept=0.9, sides=("proof",)))
    assert not any("one side only" in note for note in of(tmp_path).notes)  # nothing is chosen
    folder = write(tmp_path / "b", "Train(lr=0.0002)", learned=0.8, kept=0.9)
    write_scores(folder / "scores.jsonl", "b", scores_of(learned=0.8, kept=0.9, sides=("proof",)))
    assert any(note.startswith("task, facts, sums: one side only") for note in of(tmp_path).notes)


def test_runs_that_measured_other_things_are_not_set_side_by_side(tmp_path):
    write(tmp_path / "a", "Train(lr=0.0001)", learned=0.8, kept=0.9)
    for number, other in enumerate(({"model": "other"}, {"files": {"new.jsonl": "1"}}, {"precision": "bf16"})):
        write(tmp_path / f"b{number}", "Train(lr=0.0001)", learned=0.8, kept=0.9, spec=other)
    runs, _ = read_finished_runs([str(tmp_path)])
    assert [len(own) for own in comparable_runs(runs)] == [1, 1, 1, 1]


def test_runs_of_a_model_that_changed_in_its_place_are_not_set_side_by_side(tmp_path):
    """A recipe may read further files, and an older run has no digests."""
    inputs = ({"base": "1"}, {"base": "2"}, {"base": "1", "old.jsonl": "5"}, {"base": "2", "old.jsonl": "6"}, None)
    for number, digests in enumerate(inputs):
        other = {} if digests is None else {"inputs": digests}
        write(tmp_path / f"run-{number}", "Train(lr=0.0001)", seed=number, learned=0.8, kept=0.9, spec=other)
    runs, _ = read_finished_runs([str(tmp_path)])
    assert [[run.spec["seed"] for run in own] for own in comparable_runs(runs)] == [[0, 2, 4], [1, 3]]


@pytest.mark.parametrize(("role", "flag"), [("learned", "--test"), ("retained", "--keep")])
def test_runs_that_measure_nothing_of_one_are_refused(tmp_path, role, flag):
    folder = write(tmp_path / "a", "Train(lr=0.0001)", learned=0.8, kept=0.9)
    scores = read_scores(folder / "scores.jsonl").items()
    left = {moment: [one for one in members if one.role != role] for moment, members in scores}
    write_scores(folder / "scores.jsonl", "run", left)
    with pytest.raises(HoldfastError, match=flag):
        of(tmp_path)


def test_gathering_reads_folders_of_runs_and_says_what_is_not_finished(tmp_path):
    comparison(tmp_path)
    (tmp_path / "run-0-0-0" / "result.json").unlink()
    (tmp_path / "logs").mkdir()
    runs, notes = read_finished_runs([str(tmp_path), str(tmp_path / "run-0-1-0")])
    assert len(runs) == 8
    assert notes == [f"{tmp_path / 'run-0-0-0'} is unfinished and left out."]
    for place, message in (
        (tmp_path / "none", "no such folder exists"),
        (tmp_path / "logs", "holds no finished run"),
    ):
        with pytest.raises(HoldfastError, match=message):
            read_finished_runs([str(place)])
    (tmp_path / "run-0-1-0" / "result.json").write_text("[]")
    with pytest.raises(HoldfastError, match="which is not a record: it must be keys and values"):
        read_finished_runs([str(tmp_path)])


def test_labels_say_what_a_recipe_has_beyond_plain_training():
    texts = ["Train(epochs=2) + Cosine()", "Train(epochs=2) + Cosine() + MoFO()", "Train(epochs=2) + WSD()",
             "Train(epochs=5) + Cosine() + LoRA(rank=2)"]  # fmt: skip
    recipes = [parse(text) for text in texts]
    found = labels(recipes)
    assert [found[recipe] for recipe in recipes] == ["plain", "MoFO()", "WSD()", "Train(epochs=5) + LoRA(rank=2)"]
    assert list(labels([parse("Train(epochs=2) + MoFO()")]).values()) == ["Train(epochs=2) + MoFO()"]
    alike = [parse(text) for text in ("Train() + Cosine()", "Cosine() + LoRA()", "LoRA()")]
    assert list(labels(alike).values()) == ["plain", "Cosine() + LoRA()", "LoRA()"]


def test_the_parts_of_holdfast_are_called_by_its_name():
    texts = ["Train() + Cosine()", "Holdfast()", "Holdfast('old', adapter=True)", "Holdfast() + MoFO()", "WSD()"]
    found = labels([parse(text) for text in texts])
    named = ["Holdfast()", "Holdfast(memory='old', adapter=True)", "Holdfast() + MoFO()"]
    assert list(found.values()) == ["plain", *named, "WSD()"]


def test_it_is_json(found):
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert TradeOff.from_dict(json.loads(text)) == found


def test_the_folder_of_something_else_is_named(tmp_path):
    (tmp_path / "spec.json").write_text('{"model": "m"}')
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(HoldfastError, match="is not the folder of a run .its spec.json lacks data, recipe, seed"):
        read_finished_runs([str(tmp_path)])


def test_the_symptoms_of_the_chosen_runs_are_named_with_their_number(tmp_path):
    def row(name, present):
        return {"name": name, "family": "verbosity collapse", "present": present, "threshold": 5.0}

    for seed, looping in enumerate((True, False)):
        result = {"symptoms": [row("loops", looping), row("next turns", False)]}
        write(tmp_path / f"plain-{seed}", "Train(lr=1e-4)", seed=seed, learned=0.9, kept=0.5, result=result)
        write(tmp_path / f"other-{seed}", "Train(lr=1e-4) + MaskTheTarget()", seed=seed, learned=0.9, kept=0.9)
    found = of(tmp_path)
    assert by_recipe(found)["plain"].symptoms == {"loops": 1}
    assert by_recipe(found)["MaskTheTarget()"].symptoms is None
    assert "plain shows symptoms: loops (1 of 2 runs)." in found.notes
    assert TradeOff.from_dict(found.to_dict()) == found
    header, *lines = as_csv(found).splitlines()
    place = header.split(",").index("symptoms")
    assert {line.split(",")[place] for line in lines if line.startswith("plain,")} == {"loops"}
