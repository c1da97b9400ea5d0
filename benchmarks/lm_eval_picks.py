"""Does Holdfast score what lm-eval scores? Both ask two real models the same items of public sets, in float32.

    python benchmarks/lm_eval_picks.py run --seconds 240    # again until nothing is left
    python benchmarks/lm_eval_picks.py report

`run` needs lm-eval 0.4.13 (`pip install lm_eval==0.4.13`) and HOLDFAST_SUITES. It drives lm-eval's own tasks on records
of that folder, evenly spaced, and asks the items that `--keep NAME` makes of the same records. It appends a row for
each item to docs/studies/lm-eval.jsonl, goes on where an earlier call stopped, and stops after `--seconds`. `report`
writes the table of docs/studies/lm-eval.md, and prints the items on which the two differ.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROWS = Path(__file__).parents[1] / "docs" / "studies" / "lm-eval.jsonl"
NAMES = {"gemma-270m": "Gemma 3 270M", "qwen-0.5b-instruct": "Qwen2.5-Coder 0.5B Instruct"}
CHUNK = 10
"""Items that are asked before rows are written."""

TASKS = {
    "arc_easy": ("arc/arc_easy.yaml", 60),
    "arc_challenge": ("arc/arc_challenge.yaml", 60),
    "hellaswag": ("hellaswag/hellaswag.yaml", 40),
    "winogrande": ("winogrande/default.yaml", 60),
    "openbookqa": ("openbookqa/openbookqa.yaml", 60),
    "boolq": ("super_glue/boolq/default.yaml", 40),
    "mmlu/anatomy": ("mmlu/default/mmlu_anatomy.yaml", 30),
    "mmlu/high_school_geography": ("mmlu/default/mmlu_high_school_geography.yaml", 30),
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", 12),
    "truthfulqa_mc2": ("truthfulqa/truthfulqa_mc2.yaml", 12),
    "blimp/adjunct_island": ("blimp/adjunct_island.yaml", 100),
    "lambada": ("lambada/lambada_openai.yaml", 60),
    "gsm8k": ("gsm8k/gsm8k.yaml", 6),
}
"""Of each suite the task of lm-eval, and how many items both models are asked."""
CHAT = ("arc_easy", "mmlu/high_school_geography")
"""Suites that Qwen is also asked through its chat template."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A suite that a model is asked.

    Attributes:
        model: Name of the model's folder.
        suite: Name of the suite.
        chat: Whether the question goes through the chat template.
    """

    model: str
    suite: str
    chat: bool = False


PARTS = (
    *(Part(model, suite) for suite in TASKS for model in NAMES),
    *(Part("qwen-0.5b-instruct", suite, chat=True) for suite in CHAT),
)


def arc(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record of ARC with the fields that it has on the hub; ARC-Easy's file holds prepared prompts."""
    if "query" in record:
        labels = [chr(ord("A") + place) for place in range(len(record["choices"]))]
        return {
            "question": record["query"].removeprefix("Question: ").removesuffix("\nAnswer:"),
            "choices": {"text": record["choices"], "label": labels},
            "answerKey": labels[record["gold"]],
        }
    options = record["question"]["choices"]
    choices = {name: [option[name] for option in options] for name in ("text", "label")}
    return {"question": record["question"]["stem"], "choices": choices, "answerKey": record["answerKey"]}


def winogrande(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a sentence with a gap and two options, of a record with two whole beginnings."""
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


def boolq(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record of BoolQ as SuperGLUE has it, the title before the passage."""
    passage = f"{record['title']} -- {record['passage']}"
    return {"passage": passage, "question": record["question"], "label": int(record["answer"])}


def truthfulqa(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record of TruthfulQA with its answers and their marks in two lists."""
    columns = {
        name: {"choices": list(record[name]), "labels": list(record[name].values())}
        for name in ("mc1_targets", "mc2_targets")
    }
    return {"question": record["question"], **columns}


CONVERT = {
    "arc_easy": arc,
    "arc_challenge": arc,
    "winogrande": winogrande,
    "boolq": boolq,
    "truthfulqa_mc1": truthfulqa,
    "truthfulqa_mc2": truthfulqa,
}


def chosen(suite: str) -> tuple[list[Any], list[dict[str, Any]]]:
    """Returns evenly spaced items of a suite, and their records as lm-eval's task reads them.

    Raises:
        ValueError: The suite leaves out a record, so that items and records cannot be paired by place.
    """
    from holdfast.suites.named import items_of
    from holdfast.suites.records import records_of
    from holdfast.suites.words import word_of

    items = list(items_of(suite) or ())
    if suite == "openbookqa":  # its published table joins the choices, which the reader parts
        labels = ["A", "B", "C", "D"]
        texts = [[*item.choices[1:], item.choices[0]] for item in items]
        records = [
            {"question_stem": item.turns[0].content, "choices": {"text": text, "label": labels}, "answerKey": "D"}
            for item, text in zip(items, texts, strict=True)
        ]
    else:
        word = word_of(suite)
        assert word is not None
        records = [CONVERT.get(suite, dict)(record) for _, record in records_of(word)[0]]
    if len(items) != len(records):
        raise ValueError(f"{suite}: {len(records)} records make {len(items)} items.")
    count = min(TASKS[suite][1], len(items))
    places = [i * len(items) // count for i in range(count)]
    return [items[place] for place in places], [records[place] for place in places]


def samples(lm: Any, suite: str, records: Sequence[Mapping[str, Any]], chat: bool) -> list[dict[str, Any]]:
    """Returns the samples that lm-eval logs of its own task on given records, in their order."""
    import lm_eval
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    yaml = Path(lm_eval.__file__).parent / "tasks" / TASKS[suite][0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.json"
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        lines = (
            f"include: {yaml}",
            "task: same_records",
            "dataset_path: json",
            "dataset_name: null",
            "dataset_kwargs: {data_files: {test: " + str(path) + "}, cache_dir: " + folder + "}",
            *("training_split: null", "validation_split: null", "test_split: test", "fewshot_split: null"),
            *("fewshot_config: null", "num_fewshot: 0"),
        )
        (Path(folder) / "task.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = simple_evaluate(
            model=lm,
            tasks=["same_records"],
            task_manager=TaskManager(include_path=folder),
            log_samples=True,
            bootstrap_iters=0,
            apply_chat_template=chat,
        )
    logged = [one for one in done["samples"]["same_records"] if one["filter"] in ("none", "flexible-extract")]
    return sorted(logged, key=lambda one: one["doc_id"])


def arguments(sample: Mapping[str, Any]) -> list[list[str]]:
    """Returns what lm-eval asked: the context and the continuation of each choice."""
    asked = sample["arguments"]
    return [list(one.values()) for one in asked.values()] if isinstance(asked, dict) else asked


def row(part: Part, item: Any, answer: Any, sample: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the row of an item: both scores from 0 to 1, both picks, and how far apart the log-likelihoods are."""
    metric = "exact_match" if "exact_match" in sample else "acc"
    score = sample[metric]
    theirs = float(score[0] if isinstance(score, list) else score)
    scores = {"ours": round(float(answer.value), 6), "theirs": round(theirs, 6)}
    if item.choices:
        texts = [pair[0 if item.ending else 1].strip() for pair in arguments(sample)]
        values = dict(zip(texts, (float(one[0][0]) for one in sample["resps"]), strict=True))
        costs = {text.strip(): -nats for text, nats in zip(item.choices, answer.choice.nats, strict=True)}
        picks = [max(side, key=lambda text: side[text]) for side in (costs, values)]
        compared = {"picks": picks, "apart": max(abs(costs[text] - values[text]) for text in values)}
    elif metric == "exact_match":
        compared = {"picks": [answer.said, sample["resps"][0][0]]}
    else:
        compared = {"picks": [answer.said, f"the word is {'' if theirs else 'not '}the likeliest"]}
    return {"model": part.model, "suite": part.suite, "chat": part.chat, "item": item.id, **scores, **compared}


def run(models: Path, out: Path, seconds: float) -> None:
    """Asks what is not asked yet, part by part, until the time is over."""
    began = time.monotonic()
    there = {(one["model"], one["suite"], one["chat"], one["item"]) for one in rows_of(out)}
    loaded: dict[str, Any] = {}
    left = 0
    for part in sorted(PARTS, key=lambda part: list(NAMES).index(part.model)):
        items, records = chosen(part.suite)
        open_places = [i for i, item in enumerate(items) if (part.model, part.suite, part.chat, item.id) not in there]
        left += len(open_places)
        for places in (open_places[k : k + CHUNK] for k in range(0, len(open_places), CHUNK)):
            if time.monotonic() - began > seconds:
                break
            rows = asked(part, models, [items[i] for i in places], [records[i] for i in places], loaded)
            with out.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows))
            left -= len(rows)
            print(f"{time.monotonic() - began:.0f} s: {part}, {len(rows)} items", flush=True)
    print(f"{left} items are left.")


def asked(
    part: Part, models: Path, items: Sequence[Any], records: Sequence[Mapping[str, Any]], loaded: dict[str, Any]
) -> Iterator[dict[str, Any]] | list[dict[str, Any]]:
    """Returns rows of some items, asked by both; keeps one loaded model in `loaded`."""
    import torch
    from lm_eval.models.huggingface import HFLM

    from holdfast.bench.given.loading import load_model, load_tokenizer
    from holdfast.probes.answers import ask

    torch.set_num_threads(1)
    if part.model not in loaded:
        loaded.clear()
        model, tokenizer = load_model(str(models / part.model)), load_tokenizer(str(models / part.model))
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, device="cpu")
        loaded[part.model] = (model, tokenizer, lm)
    model, tokenizer, lm = loaded[part.model]
    started = time.process_time()
    answers = ask(model, tokenizer, items, raw=not part.chat)
    between = time.process_time()
    logged = samples(lm, part.suite, records, part.chat)
    ended = time.process_time()
    costs = {"ours_s": round((between - started) / len(items), 2), "theirs_s": round((ended - between) / len(items), 2)}
    return [{**row(part, *three), **costs} for three in zip(items, answers, logged, strict=True)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a file; none where there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def is_same(one: Mapping[str, Any]) -> bool:
    """Returns whether both sides pick the same choice, or score an answer alike where there are no choices."""
    return one["picks"][0] == one["picks"][1] if "apart" in one else one["ours"] == one["theirs"]


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the lines of the table: a line for each model and suite."""
    lines = [
        "| model | suite | items | ours | lm-eval | same pick | furthest log-likelihoods | ours: s/item | lm-eval |",
        "|---" * 9 + "|",
    ]
    for part in PARTS:
        own = [one for one in rows if (one["model"], one["suite"], one["chat"]) == dataclasses.astuple(part)]
        if not own:
            continue
        apart = max((one["apart"] for one in own if "apart" in one), default=None)
        ours, theirs, our_s, their_s = (
            sum(one[name] for one in own) / len(own) for name in ("ours", "theirs", "ours_s", "theirs_s")
        )
        lines.append(
            f"| {NAMES[part.model]}{', chat template' if part.chat else ''} | `{part.suite}` | {len(own)} "
            f"| {100 * ours:.1f} | {100 * theirs:.1f} | {sum(map(is_same, own))} "
            f"| {'-' if apart is None else f'{apart:.0e} nats'} | {our_s:.1f} | {their_s:.1f} |"
        )
    return lines


def with_table(page: str, lines: Sequence[str]) -> str:
    """Returns a page with other lines in place of its table of models and suites."""
    return re.sub(r"\| model \|(?:.*\n\|)*.*", lambda _: "\n".join(lines), page, count=1)


def main() -> None:
    """Asks what is missing, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache/holdfast-models")
    parser.add_argument("--seconds", type=float, default=240.0, help="begin nothing after that time")
    parser.add_argument("--out", type=Path, default=ROWS)
    given = parser.parse_args()
    if given.what == "run":
        run(given.models, given.out, given.seconds)
        return
    rows = rows_of(given.out)
    page = given.out.with_suffix(".md")
    page.write_text(with_table(page.read_text(encoding="utf-8"), table(rows)), encoding="utf-8")
    for one in rows:
        if not is_same(one) or abs(one["ours"] - one["theirs"]) > 1e-4:
            print(json.dumps(one, ensure_ascii=False))


if __name__ == "__main__":
    main()
