"""Suites are asked and scored item by item as lm-eval's own tasks, where it is installed: same prompts and scores."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import pytest
import torch

from holdfast.probes.answers import ask
from holdfast.probes.checks import fulfils
from holdfast.probes.instructions import follows
from holdfast.suites.named import items_of
from holdfast.suites.parts import BBH_TASKS
from holdfast.suites.registry import FOLDER

lm_eval = pytest.importorskip("lm_eval")

HOW_MANY = 24


def _arc(record):
    if "query" in record:
        text = record["choices"]
        labels = [chr(ord("A") + place) for place in range(len(text))]
        choices = {"text": text, "label": labels}
        return {
            "question": record["query"].removeprefix("Question: "),
            "choices": choices,
            "answerKey": labels[record["gold"]],
        }
    given = record["question"]["choices"]
    choices = {name: [one[name] for one in given] for name in ("text", "label")}
    return {"question": record["question"]["stem"], "choices": choices, "answerKey": record["answerKey"]}


def _openbookqa(item):
    # lm-eval reads stem, choices and key in columns of their own; the published table joins the choices.
    choices = [*item.choices[1:], item.choices[0]]
    labels = ["A", "B", "C", "D"]
    return {
        "question_stem": item.turns[0].content,
        "choices": {"text": choices, "label": labels},
        "answerKey": labels[len(choices) - 1],
    }


def _winogrande(record):
    first, second = record["context_options"]
    shared = next(
        (k for k, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    shared = first.rfind(" ", 0, shared) + 1
    return {
        "sentence": f"{first[:shared]}_ {record['continuation']}",
        "option1": first[shared:],
        "option2": second[shared:],
        "answer": str(record["gold"] + 1),
    }


def _boolq(record):
    return {
        "passage": f"{record['title']} -- {record['passage']}",
        "question": record["question"],
        "label": int(record["answer"]),
    }


def _truthful(record):
    columns = {
        name: {"choices": list(record[name]), "labels": list(record[name].values())}
        for name in ("mc1_targets", "mc2_targets")
    }
    return {"question": record["question"], **columns}


HUB = {
    "arc_easy": ("arc/arc_easy.yaml", _arc),
    "arc_challenge": ("arc/arc_challenge.yaml", _arc),
    "hellaswag": ("hellaswag/hellaswag.yaml", dict),
    "winogrande": ("winogrande/default.yaml", _winogrande),
    "openbookqa": ("openbookqa/openbookqa.yaml", None),
    "boolq": ("super_glue/boolq/default.yaml", _boolq),
    "mmlu/anatomy": ("mmlu/default/mmlu_anatomy.yaml", dict),
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", _truthful),
    "truthfulqa_mc2": ("truthfulqa/truthfulqa_mc2.yaml", _truthful),
    "blimp/adjunct_island": ("blimp/adjunct_island.yaml", dict),
}
"""Of each suite the task of lm-eval, and how a record of the shared folder becomes one of the hub."""


@pytest.fixture(scope="module")
def model(shared_data):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = shared_data / "models" / "stories260K"
    made = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    made.config.max_position_embeddings = 2048  # so that the longest questions fit; both sides are asked the same
    return made.eval(), AutoTokenizer.from_pretrained(folder)


def ours(name, model):
    """Returns the first items of a suite and the answers to them, asked without a chat template."""
    items = list(items_of(name)[:HOW_MANY])
    return items, ask(*model, items, raw=True)


def theirs(name, model, tmp_path):
    """Returns the samples that lm-eval logs of its own task on the same records."""
    from lm_eval.models.huggingface import HFLM

    task, convert = HUB[name]
    records = raw_records(name)[:HOW_MANY]
    if convert is not None:
        records = [convert(record) for record in records]
    lm = HFLM(pretrained=model[0], tokenizer=model[1], batch_size=1, device="cpu", max_length=2048)
    return samples_of(task, records, lm, tmp_path)


def samples_of(task, records, lm, tmp_path):
    """Returns the samples that lm-eval logs of a task of its own on records that are given."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    path = tmp_path / "records.json"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    tasks = Path(lm_eval.__file__).parent / "tasks"
    made = tmp_path / "task.yaml"
    lines = [
        f"include: {tasks / task}",
        "task: same_records",
        "dataset_path: json",
        "dataset_name: null",
        "dataset_kwargs: {data_files: {test: " + str(path) + "}}",
        "training_split: null",
        "validation_split: null",
        "test_split: test",
        "fewshot_split: null",
        "fewshot_config: null",
        "num_fewshot: 0",
    ]
    made.write_text("\n".join(lines) + "\n")
    manager = TaskManager(include_path=str(tmp_path))
    done = simple_evaluate(model=lm, tasks=["same_records"], task_manager=manager, log_samples=True, bootstrap_iters=0)
    return sorted(done["samples"]["same_records"], key=lambda sample: sample["doc_id"])


def raw_records(name):
    from holdfast.suites.records import records_of
    from holdfast.suites.words import word_of

    if name == "openbookqa":
        return [_openbookqa(item) for item in items_of(name)]
    return [record for _, record in records_of(word_of(name))[0]]


@pytest.mark.parametrize("name", HUB)
def test_every_item_gets_the_score_that_lm_eval_gives_it(shared_data, monkeypatch, tmp_path, model, name):
    monkeypatch.setenv(FOLDER, str(shared_data))
    items, answers = ours(name, model)
    samples = theirs(name, model, tmp_path)
    assert len(samples) == len(items) == HOW_MANY
    for item, answer, sample in zip(items, answers, samples, strict=True):
        prompts = [argument[0] for argument in arguments(sample)]
        asked = item.turns[0].content if item.turns else ""
        assert item.ending or set(prompts) == {asked}, item.id
        assert answer.value == pytest.approx(sample["acc"], abs=1e-4), item.id


def arguments(sample):
    """Returns what lm-eval asked: the context and the continuation of each choice."""
    given = sample["arguments"]
    return [list(one.values()) for one in given.values()] if isinstance(given, dict) else given


def scripted(answers):
    """Returns a model of lm-eval that gives prepared answers."""
    from lm_eval.api.model import LM

    class Scripted(LM):
        def generate_until(self, requests, disable_tqdm=False):
            return [answers[request.doc_id] for request in requests]

        def loglikelihood(self, requests, disable_tqdm=False):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    return Scripted()


def answers_to(items, records):
    """Returns answers of several kinds: right in several forms, wrong, of another item, and none."""
    found = []
    for place, record in enumerate(records):
        right = str(record.get("target") or record["answer"].rpartition("#### ")[2])
        other = records[(place + 1) % len(records)]
        wrong = str(other.get("target") or other["answer"].rpartition("#### ")[2])
        options = [
            right,
            f"The answer is {right}.",
            f"Let us see: 3 + 4 = 7. So it is {right}!",
            f"{wrong}, or {right}",
            f"**{right}**",
            f"${right}.00 in all",
            wrong,
            "I do not know, perhaps twelve. No, yes: valid, plausible.",
            right.lower(),
            right.strip("()"),
        ]
        found.append(options[place % len(options)])
    return found


BBH = [f"bbh/{part}" for part in BBH_TASKS]


@pytest.mark.parametrize("name", ["gsm8k", *BBH])
def test_answers_that_are_generated_are_scored_as_lm_eval_scores_them(shared_data, monkeypatch, tmp_path, name):
    monkeypatch.setenv(FOLDER, str(shared_data))
    items, records = items_of(name)[:40], raw_records(name)[:40]
    answers = answers_to(items, records)
    task = f"bbh/zeroshot/{name.partition('/')[2]}.yaml" if "/" in name else "gsm8k/gsm8k.yaml"
    samples = samples_of(task, [dict(record) for record in records], scripted(answers), tmp_path)
    samples = [sample for sample in samples if sample["filter"] == "flexible-extract"]
    assert len(samples) == len(items) == 40
    for item, answer, sample in zip(items, answers, samples, strict=True):
        (asked,) = arguments(sample)
        assert asked[0] == item.turns[0].content
        assert list(item.stop) == asked[1]["until"]
        assert fulfils(answer, item.check) == bool(sample["exact_match"]), answer


def test_the_last_word_of_lambada_is_right_where_lm_eval_finds_it_likeliest(shared_data, monkeypatch, tmp_path, model):
    from lm_eval.models.huggingface import HFLM

    monkeypatch.setenv(FOLDER, str(shared_data))
    lm = HFLM(pretrained=model[0], tokenizer=model[1], batch_size=1, device="cpu", max_length=2048)
    items = items_of("lambada")[:200]
    answers = ask(*model, items)
    samples = samples_of("lambada/lambada_openai.yaml", raw_records("lambada")[:200], lm, tmp_path)
    for item, sample in zip(items, samples, strict=True):
        assert list(arguments(sample)[0]) == [item.turns[0].content, f" {item.answer}"]
    same = sum(answer.value == sample["acc"] for answer, sample in zip(answers, samples, strict=True))
    assert same >= 195


def test_instructions_are_verified_as_lm_eval_verifies_them(shared_data, monkeypatch, tmp_path):
    theirs = pytest.importorskip("lm_eval.tasks.ifeval.instructions_registry", exc_type=Exception)
    monkeypatch.setenv(FOLDER, str(shared_data))
    items, answers = items_of("ifeval"), written(shared_data)
    told_by_models = ("language:", "change_case:", "length_constraints:number_sentences")
    compared = 0
    for place, item in enumerate(items):
        for one in item.check["instructions"]:
            odd = not str(one.get("letter", "a")).isalpha()  # lm-eval then counts a letter that it draws
            if one["id"].startswith(told_by_models) or odd:
                continue
            verifier = theirs.INSTRUCTION_DICT[one["id"]](one["id"])
            settings = {key: value for key, value in one.items() if key != "id"}
            verifier.build_description(**settings)
            for answer in answers[place % 7 :: 7]:
                assert follows(answer, [one]) == bool(verifier.check_following(answer)), (one, answer)
                compared += 1
    assert compared > 10_000


def written(shared_data):
    """Returns texts with marks that instructions ask for."""
    with gzip.open(shared_data / "halueval" / "general_data.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["chatgpt_response"].strip() for line in itertools.islice(file, 240)]
    texts = [text for text in texts if text]
    marked = [
        f"<<{texts[0][:20]}>>\n\n* {texts[1]}\n* {texts[2]}\n\nP.S. {texts[3]}",
        f'"{texts[4]}"',
        f"{texts[5]}\n***\n{texts[6]}\n***\n{texts[7]}",
        f"{texts[8]}\n******\n{texts[9]}",
        f"SECTION 1\n{texts[10]}\nSECTION 2\n{texts[11]} [name] [place] [date] *one* **two** *three*",
        '{"a": 1}',
        "```json\n[1, 2]\n```",
        "My answer is no.",
        "Section 1: a\n- b\n- c\n- d\nP.P.S so",
    ]
    return [*texts, *(f"{mark}{end}" for mark in marked for end in ("", " Any other questions?", "\n\nIt is."))]
