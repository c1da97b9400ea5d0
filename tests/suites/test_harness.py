"""`harness:TASK`: a task of lm-eval as a suite, item by item what lm-eval gives when it is run directly."""

from __future__ import annotations

import importlib.util
import itertools
import json
import types
from pathlib import Path

import pytest
import torch

import holdfast.ground
from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Turn
from holdfast.probes.answers import ask
from holdfast.probes.checks import MARKERS
from holdfast.probes.generation import generate
from holdfast.probes.items import Item
from holdfast.probes.stops import LINE
from holdfast.suites.named import items_of
from holdfast.suites.registry import FOLDER

INSTALLED = importlib.util.find_spec("lm_eval") is not None
needs_lm_eval = pytest.mark.skipif(not INSTALLED, reason="lm-eval is not installed")

CHOICES = """
task: own_choices
dataset_path: json
dataset_kwargs: {data_files: {train: %s, test: %s}}
training_split: train
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: label
doc_to_choice: choices
num_fewshot: 2
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
WORDS = """
task: own_words
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8, do_sample: false}
num_fewshot: 0
filter_list:
  - name: letters
    filter: [{function: regex, regex_pattern: "([a-z]+)"}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
TALE = "once upon a time there was a little girl named lily she loved to play outside".split()  # noqa: SIM905


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A folder with two tasks: choices with examples before them, and words to generate."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    train, test = tmp_path / "train.json", tmp_path / "test.json"
    rows = [
        {
            "question": f"What is {one}{other}?",
            "choices": [one, other, f"{other} {one}"],
            "label": place % 3,
            "answer": "the",
        }
        for place, (one, other) in enumerate(itertools.pairwise(TALE))
    ]
    for path, some in ((train, rows[:5]), (test, rows[5:])):
        path.write_text("".join(json.dumps(row) + "\n" for row in some))
    (tmp_path / "choices.yaml").write_text(CHOICES % (train, test))
    (tmp_path / "words.yaml").write_text(WORDS % test)
    return tmp_path


@pytest.fixture(scope="module")
def model(shared_data):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = shared_data / "models" / "stories260K"
    made = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return made.eval(), AutoTokenizer.from_pretrained(folder)


def direct(name, model, tasks):
    """Returns the samples of a task that lm-eval is run on directly."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lm = HFLM(pretrained=model[0], tokenizer=model[1], batch_size=1, device="cpu")
    manager = TaskManager(include_path=str(tasks))
    done = simple_evaluate(model=lm, tasks=[name], task_manager=manager, log_samples=True, bootstrap_iters=0)
    return sorted(done["samples"][name], key=lambda sample: sample["doc_id"])


@needs_lm_eval
@pytest.mark.parametrize(("name", "metric"), [("own_choices", "acc"), ("own_words", "exact_match")])
def test_every_item_gets_the_score_of_a_direct_run(tasks, model, name, metric):
    notes: list[str] = []
    items = items_of(f"harness:{name}", notes)
    answers = ask(*model, items)
    samples = direct(name, model, tasks)
    assert len(items) == len(samples) == len(TALE) - 6
    assert {item.suite for item in items} == {name}
    assert [answer.value for answer in answers] == [float(sample[metric]) for sample in samples]
    assert notes[0].startswith(f"{name}: {len(items)} items of lm-eval's task, ")


@pytest.fixture(scope="module")
def speaker():
    """A model whose answers begin with a blank."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(holdfast.ground.__file__).parent / "base"
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@needs_lm_eval
def test_white_space_around_an_answer_counts_as_in_a_direct_run(tasks, speaker):
    """A task without filters compares the answer as it was written; it was scored without its outer blanks."""
    (said,) = generate(*speaker, [(Turn("user", "In the", False),)], max_new_tokens=8, raw=True, stops=[LINE])
    rows = [{"question": "In the", "answer": said}, {"question": "In the", "answer": f" {said}"}]
    (tasks / "test.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = (tasks / "words.yaml").read_text().replace("own_words", "own_blanks").split("filter_list")[0]
    (tasks / "blanks.yaml").write_text(task + "metric_list: [{metric: exact_match, higher_is_better: true}]\n")
    answers, samples = ask(*speaker, items_of("harness:own_blanks")), direct("own_blanks", speaker, tasks)
    assert [sample["resps"][0][0] for sample in samples] == [f" {said}"] * 2
    assert [answer.value for answer in answers] == [float(sample["exact_match"]) for sample in samples] == [0.0, 1.0]


def test_a_task_scores_an_answer_with_its_white_space(monkeypatch, speaker):
    scored: list[str] = []
    monkeypatch.setitem(MARKERS, "harness", lambda answer, wanted: bool(scored.append(answer)))
    wanted = {"name": "own", "task": "own", "doc": 0}
    item = Item("0", "own", turns=(Turn("user", "In the", False),), check={"harness": wanted}, stop=(), raw=True)
    (answer,) = ask(*speaker, [item], max_new_tokens=4)
    assert scored == [f" {answer.said}"]
    assert answer.said == "middle of the night"


@needs_lm_eval
def test_a_task_of_examples_shows_them_and_some_of_its_items_are_the_same_ones(tasks):
    items = items_of("harness:own_choices")
    assert items[0].turns[0].content.count("Question:") == 3
    few = items_of("harness:own_choices:4")
    assert {item.id for item in few} < {item.id for item in items}
    assert len(few) == 4


@needs_lm_eval
def test_a_generated_answer_is_scored_by_the_task(tasks):
    from holdfast.probes.checks import check_markers, fulfils

    item = items_of("harness:own_words")[0]
    check_markers(item.check, "item")
    assert fulfils("the end", item.check)
    assert not fulfils("an end", item.check)


@needs_lm_eval
@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_a_task_with_a_graded_metric_is_refused_before_anything_is_asked(tasks, metric):
    """It was refused when the first answer was scored, after all of them had been written."""
    words = (tasks / "words.yaml").read_text().split("filter_list")[0].replace("own_words", "own_grades")
    (tasks / "grades.yaml").write_text(
        words + f"metric_list: [{{metric: {metric}, aggregation: {metric}, higher_is_better: true}}]\n"
    )
    with pytest.raises(HoldfastError, match=f"'harness:own_grades': its metric {metric} is graded"):
        items_of("harness:own_grades")


def overlap(doc, answers):
    return {"score": len(set(answers[0].split()) & set(doc["right"].split())) / len(doc["right"].split())}


def exact(doc, answers):
    return {"score": float(answers[0].strip() == doc["right"])}


def corpus(doc, answers):
    return {"score": (doc["right"], answers[0])}  # what BLEU keeps until it has all answers


@pytest.mark.parametrize(("metric", "graded"), [(overlap, True), (corpus, True), (exact, False)])
def test_a_part_of_the_right_answer_shows_that_a_metric_is_graded(monkeypatch, metric, graded):
    def keep(requests):
        for request in requests:
            request.filtered_resps["none"] = request.resps[0]

    task = types.SimpleNamespace(
        aggregation=lambda: {"score": None}, process_results=metric, doc_to_target=lambda doc: doc["right"],
        config=types.SimpleNamespace(task="own", num_fewshot=0), _filters=[types.SimpleNamespace(apply=keep)],
    )  # fmt: skip
    asked = types.SimpleNamespace(
        args=("Where?", {"until": ["\n"]}), request_type="generate_until", idx=0, doc={"right": "in the far north"}
    )
    monkeypatch.setattr("holdfast.suites.harness.tasks_of", lambda name, folder: {"own": task})
    monkeypatch.setattr("holdfast.suites.harness.requests_of", lambda task: {0: [asked]})
    if graded:
        with pytest.raises(HoldfastError, match="its metric score is graded"):
            items_of("harness:own")
    else:
        assert len(items_of("harness:own")) == 1


@needs_lm_eval
def test_a_task_that_is_not_there_gets_the_nearest(tasks):
    with pytest.raises(HoldfastError, match="lm-eval has no task of that name. Did you mean 'own_choices'?"):
        items_of("harness:own_choice")
    with pytest.raises(HoldfastError, match="a number of items from 1"):
        items_of("harness:own_words:few")


@pytest.mark.skipif(INSTALLED, reason="lm-eval is installed")
def test_without_lm_eval_a_sentence_says_what_to_install():
    with pytest.raises(HoldfastError, match=r"is not installed; pip install 'holdfast\[harness\]'"):
        items_of("harness:arc_easy")


def made_of(monkeypatch, requests, gold):
    """Lets lm-eval have a task of one document."""

    def results(_doc, likelihoods):
        return {"acc": float(max(range(3), key=lambda place: likelihoods[place][0]) in gold)}

    task = types.SimpleNamespace(
        OUTPUT_TYPE="multiple_choice", aggregation=lambda: {"acc": None}, process_results=results,
        config=types.SimpleNamespace(task="own", num_fewshot=0),
    )  # fmt: skip
    kind = {"request_type": "loglikelihood", "doc": {}}
    asked = [types.SimpleNamespace(args=pair, idx=place, **kind) for place, pair in enumerate(requests)]
    monkeypatch.setattr("holdfast.suites.harness.tasks_of", lambda name, folder: {"own": task})
    monkeypatch.setattr("holdfast.suites.harness.requests_of", lambda task: {0: asked})


@pytest.mark.parametrize(("gold", "words"), [([0, 2], "2 are right"), ([], "none are right")])
def test_a_task_with_several_right_choices_or_none_is_refused(monkeypatch, gold, words):
    """Of several right choices one would count, and the others as wrong."""
    made_of(monkeypatch, [("Q", f" {place}") for place in range(3)], gold)
    with pytest.raises(HoldfastError, match=f"'harness:own': of the choices of a document {words}"):
        items_of("harness:own")


@pytest.mark.parametrize(
    ("requests", "reads"),
    [
        ([("Q:", " a"), ("Q:", " b"), ("Q:", " c")], True),
        ([("Q:\n", "a"), ("Q:\n", "b"), ("Q:\n", "c")], True),
        ([("Q:", "a"), ("Q:", "b"), ("Q:", "c")], False),
        ([("a", " is it"), ("b", " is it"), ("c", " is it")], True),
        ([("a", "it"), ("b", "it"), ("c", "it")], False),
        ([("", "a"), ("", "b"), ("", "c")], True),
    ],
)
def test_a_task_whose_choices_follow_without_a_blank_is_refused(monkeypatch, requests, reads):
    """An item has a blank before a choice, which such a task has not: its tokens would be others."""
    made_of(monkeypatch, requests, [1])
    if reads:
        assert items_of("harness:own")[0].choices[0].strip() == "b"
    else:
        with pytest.raises(HoldfastError, match="'harness:own': its choices follow the question without a blank"):
            items_of("harness:own")
