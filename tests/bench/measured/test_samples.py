"""Samples of lm-eval: which are paired, by what they are scored, and what is said of how they were asked."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import random

import pytest
from rich.console import Console

from holdfast.bench.diff.diff import diff
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.measured.answers import read_answers
from holdfast.core.errors import HoldfastError

DATE = "2024-11-20T10-11-12.123456"


def line(number, *, doc=None, prompt="p", target="t", **metrics):
    doc = f"d{number}" if doc is None else doc
    return {
        "doc_id": number, "doc": {"question": doc}, "target": target,
        "arguments": {"gen_args_0": {"arg_0": f"Q: {doc}", "arg_1": {}}}, "resps": [["x"]], "filtered_resps": ["x"],
        "doc_hash": hashlib.sha256(doc.encode()).hexdigest(), "prompt_hash": f"{prompt}{doc}",
        "target_hash": f"{target}", **metrics,
    }  # fmt: skip


def write(folder, lines, task="gsm8k", date=DATE, model="org__m", results=None, zipped=False):
    path = folder / model / f"samples_{task}_{date}.jsonl{'.gz' if zipped else ''}"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(one) + "\n" for one in lines).encode()
    path.write_bytes(gzip.compress(data) if zipped else data)
    if results is not None:
        (path.parent / f"results_{date}.json").write_text(json.dumps(results))
    return folder


def go(base, tuned, **changes):
    console = Console(record=True, width=200, quiet=True)
    said: list[str] = []
    console.print = lambda text, **_: said.append(str(text))
    done = diff(DiffSpec(base=str(base), tuned=str(tuned), **changes), console)
    return {one.name: one for one in done.suites}, "\n".join(said), done


def per_filter(scores):
    """Lines as versions up to 0.4.6 log them: all documents of one filter, then all of the next."""
    return [line(i, exact_match=float(v)) for of_filter in scores for i, v in enumerate(of_filter)]


def test_the_nth_line_of_a_document_is_of_the_nth_filter(tmp_path):
    base = write(tmp_path / "a", per_filter([[1, 1, 0, 1], [1, 1, 1, 1]]))
    tuned = write(tmp_path / "b", per_filter([[0, 1, 0, 1], [1, 1, 1, 0]]))
    suites, _, _ = go(base, tuned)
    found = {name: (one.items, one.before, one.after, one.answers_lost) for name, one in suites.items()}
    assert found == {"gsm8k (filter 1)": (4, 75.0, 50.0, 1), "gsm8k (filter 2)": (4, 100.0, 75.0, 1)}


@pytest.mark.parametrize("named", ["base", "tuned"])
def test_a_file_without_filters_names_is_paired_with_one_that_has_them(tmp_path, named):
    old = per_filter([[1, 0, 1], [1, 1, 1]])
    names = ["strict-match"] * 3 + ["flexible-extract"] * 3
    new = [{**one, "filter": name, "metrics": ["exact_match"]} for one, name in zip(old, names, strict=True)]
    base = write(tmp_path / "a", new if named == "base" else old)
    tuned = write(tmp_path / "b", old if named == "base" else new)
    suites, _, _ = go(base, tuned)
    assert [(name, one.before, one.after) for name, one in suites.items()] == [
        ("gsm8k (strict-match)", pytest.approx(200 / 3), pytest.approx(200 / 3)),
        ("gsm8k (flexible-extract)", 100.0, 100.0),
    ]


def test_a_document_with_more_lines_than_the_rest_is_named(tmp_path):
    base = write(tmp_path / "a", [*per_filter([[1, 1, 1]]), line(1, exact_match=0.0)])
    with pytest.raises(HoldfastError, match=r"jsonl:4: doc_id 1 has 2 lines, and most have 1 \(there already: .*:2\)"):
        go(base, write(tmp_path / "b", per_filter([[1, 1, 1]])))


def test_samples_are_paired_by_document_wherever_it_stands(tmp_path):
    right = [1, 1, 0, 0, 1, 0]
    base = write(tmp_path / "a", [line(i, doc=f"d{i}", acc=v) for i, v in enumerate(right)])
    order = random.Random(0).sample(range(6), 6)
    moved = [line(i, doc=f"d{was}", acc=right[was]) for i, was in enumerate(order)]
    suites, said, _ = go(base, write(tmp_path / "b", moved))
    assert (suites["gsm8k"].items, suites["gsm8k"].answers_lost, suites["gsm8k"].answers_gained) == (6, 0, 0)
    assert said == ""


def test_what_has_no_partner_is_counted_and_said(tmp_path):
    base = write(tmp_path / "a", [line(i, acc=1) for i in range(10)])
    other = [line(i, doc=f"d{i}" if i < 7 else f"new {i}", acc=1) for i in range(10)]
    suites, said, _ = go(base, write(tmp_path / "b", other))
    assert suites["gsm8k"].items == 7
    assert "6 items were asked of only one model and are left out." in said


def test_other_documents_under_the_same_numbers_are_no_pairs(tmp_path):
    base = write(tmp_path / "a", [line(i, doc=f"a{i}", acc=1) for i in range(8)])
    tuned = write(tmp_path / "b", [line(i, doc=f"b{i}", acc=0) for i in range(8)])
    with pytest.raises(HoldfastError, match=r"no item in common; gsm8k: none of the 8 and 8 documents is in both"):
        go(base, tuned, budget={"points": 2})
    for folder in ("a", "b"):
        write(tmp_path / folder, [line(i, doc=f"c{i}", acc=1) for i in range(3)], task="arc")
    suites, said, _ = go(base, tuned)
    assert list(suites) == ["arc"]
    assert "gsm8k: none of the 8 and 8 documents is in both" in said


def test_without_a_hash_the_documents_themselves_are_compared(tmp_path):
    def bare(doc, value):
        return {**line(0, doc=doc, acc=value), "doc_hash": None}

    base = write(tmp_path / "a", [bare("x", 1) | {"doc_id": 0}, bare("y", 0) | {"doc_id": 1}])
    tuned = write(tmp_path / "b", [bare("y", 0) | {"doc_id": 0}, bare("x", 1) | {"doc_id": 1}])
    suites, _, _ = go(base, tuned)
    assert (suites["gsm8k"].answers_lost, suites["gsm8k"].answers_gained) == (0, 0)


def test_documents_that_are_the_same_to_the_letter_stay_apart(tmp_path):
    rows = [line(i, doc="same" if i < 3 else None, acc=i % 2) for i in range(5)]
    suites, _, _ = go(write(tmp_path / "a", rows), write(tmp_path / "b", rows[::-1]))
    assert (suites["gsm8k"].items, suites["gsm8k"].answers_lost) == (5, 0)


def test_other_prompts_targets_and_settings_are_said_with_their_counts(tmp_path):
    told = {"n-shot": {"gsm8k": 5}, "versions": {"gsm8k": 3.0}, "chat_template_sha": None, "chat_template": None}
    base = write(tmp_path / "a", [line(i, acc=1) for i in range(6)], results=told)
    other = [line(i, acc=1, prompt="chat", target="u" if i < 2 else "t") for i in range(6)]
    changed = {
        "n-shot": {"gsm8k": 0},
        "versions": {"gsm8k": 2.0},
        "chat_template_sha": "ab",
        "chat_template": "{{ x }}",
    }
    _, said, _ = go(base, write(tmp_path / "b", other, results=changed))
    for sentence in (
        "gsm8k: 6 of 6 items have different prompts (prompt_hash)",
        "gsm8k: 2 of 6 items have different right answers (target_hash)",
        "gsm8k: the two have a different few-shot examples (5 and 0).",
        "gsm8k: the two have a different version of the task (3.0 and 2.0).",
        "gsm8k: the two have a different chat template.",
    ):
        assert sentence in said, said


def test_the_metric_is_the_first_from_0_to_1_on_every_line_of_both(tmp_path):
    def bleu(top, values):
        names = ["bleu_max", "bleu_acc", "bleu_diff"]
        return [
            line(i, metrics=names, bleu_max=0.0 if i == 0 else top, bleu_acc=v, bleu_diff=0.1)
            for i, v in enumerate(values)
        ]

    base = write(tmp_path / "a", bleu(0.9, [1, 1, 0]))  # every line of the base alone would pass
    suites, said, _ = go(base, write(tmp_path / "b", bleu(27.3, [0, 1, 0])))
    assert (suites["gsm8k"].before, suites["gsm8k"].after) == (pytest.approx(200 / 3), pytest.approx(100 / 3))
    assert "is scored by bleu_acc" in said
    assert "bleu_max: 27.3" in said


def test_both_are_scored_by_the_same_metric(tmp_path):
    base = write(tmp_path / "a", [line(i, acc=1.0, acc_norm=0.0) for i in range(4)])
    suites, _, _ = go(base, write(tmp_path / "b", [line(i, acc_norm=0.0) for i in range(4)]))
    assert (suites["gsm8k"].before, suites["gsm8k"].after) == (0.0, 0.0)
    other = write(tmp_path / "c", [line(i, exact_match=1.0) for i in range(4)])
    with pytest.raises(HoldfastError, match=r"no metric from 0 to 1 \(acc is missing\)"):
        go(base, other)


def test_nested_metrics_and_truth_values_count_and_lists_do_not(tmp_path):
    rows = [line(i, metrics=["f1", "squad"], f1=["a", "b"], squad={"exact": i > 0, "f1": 0.5}) for i in range(4)]
    suites, _, _ = go(write(tmp_path / "a", rows), write(tmp_path / "b", rows))
    assert suites["gsm8k"].before == 75.0


def test_metrics_may_be_given_with_their_values(tmp_path):
    rows = [line(i, metrics={"acc": i % 2, "bleu": 30.0}) for i in range(4)]
    suites, _, _ = go(write(tmp_path / "a", rows), write(tmp_path / "b", rows))
    assert suites["gsm8k"].before == 50.0


def test_a_metric_of_which_less_is_better_is_passed_over_as_the_results_say(tmp_path):
    rows = [line(i, metrics=["toxicity", "acc"], toxicity=0.9, acc=1) for i in range(4)]
    told = {"higher_is_better": {"gsm8k": {"toxicity": False, "acc": True}}}
    suites, _, _ = go(write(tmp_path / "a", rows, results=told), write(tmp_path / "b", rows, results=told))
    assert suites["gsm8k"].before == 100.0


def test_of_several_runs_of_a_task_the_newest_counts(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder, [line(i, acc=0) for i in range(4)], date="2024-01-01T00-00-00.000000")
        write(tmp_path / folder, [line(i, acc=1) for i in range(4)], zipped=folder == "b")
    suites, said, _ = go(tmp_path / "a", tmp_path / "b")
    assert (suites["gsm8k"].before, suites["gsm8k"].after) == (100.0, 100.0)
    assert f"gsm8k: has 2 runs; the newest counts (samples_gsm8k_{DATE}.jsonl)." in said


def test_samples_of_two_models_in_one_folder_are_refused(tmp_path):
    write(tmp_path / "a", [line(0, acc=1)], model="org__x")
    write(tmp_path / "a", [line(0, acc=1)], model="org__y")
    with pytest.raises(HoldfastError, match=r"samples of gsm8k in 2 folders \(org__x, org__y\); give the"):
        go(tmp_path / "a", tmp_path / "a")


def test_a_task_without_points_is_left_out_and_the_rest_is_compared(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder, [line(i, acc=1) for i in range(4)])
        write(tmp_path / folder, [line(i, metrics=["bleu_max"], bleu_max=9.0 * i) for i in range(4)], task="tqa")
    suites, said, _ = go(tmp_path / "a", tmp_path / "b")
    assert list(suites) == ["gsm8k"]
    assert "no metric from 0 to 1 (bleu_max: 9): left out." in said


def test_saved_pairs_are_paired_again_by_document(tmp_path):
    base = write(tmp_path / "a", [line(i, acc=1) for i in range(4)])
    _, _, first = go(base, base, out=str(tmp_path / "one"))
    moved = write(tmp_path / "b", [line(i, doc=f"other {i}", acc=0) for i in range(4)])
    go(moved, moved, out=str(tmp_path / "two"))
    assert first.suites[0].items == 4
    with pytest.raises(HoldfastError, match="no item in common"):
        go(tmp_path / "one" / "base.jsonl", tmp_path / "two" / "tuned.jsonl")


def choice(number, likelihoods, target, acc, **more):
    """A line of lm-eval for a task of choices, as newer versions log it: likelihoods as texts."""
    resps = [[[str(likelihood), "False"]] for likelihood in likelihoods]
    return {"doc_id": number, "doc_hash": f"h{number}", "target": target, "resps": resps, "acc": acc, **more}


def test_the_probabilities_of_choices_are_read_where_acc_follows_from_them(tmp_path):
    lines = [
        choice(0, [-2.0, -1.0, -3.0], "1", 1.0),
        choice(1, [-2.0, -1.0, -3.0], 0, 0.0),
        choice(2, [-2.0, -1.0], "a text", 1.0),
        choice(3, [-2.0, -1.0], "1", 0.0),  # scored in another way
        choice(4, [-2.0, "nothing"], "1", 0.0),
        choice(5, [-2.0, -1.0], "2", 0.0),
        {"doc_id": 6, "doc_hash": "h6", "target": "1", "resps": [["a text"]], "acc": 1.0},
    ]
    path = tmp_path / "samples_task_2026-01-02T03-04-05.678901.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = {answer.item.partition("-")[0]: answer for answer in read_answers(str(path)).said}
    odds = [math.exp(value) for value in (-2.0, -1.0, -3.0)]
    shares = [odd / sum(odds) for odd in odds]
    for name, right in (("0", 1), ("1", 0)):
        assert found[name].confidence == pytest.approx(shares[1])
        assert found[name].brier == pytest.approx(sum((p - (k == right)) ** 2 for k, p in enumerate(shares)))
    assert {answer.confidence for name, answer in found.items() if name not in "01"} == {None}
    assert {answer.brier for name, answer in found.items() if name not in "01"} == {None}
