"""Are the choices picked those that lm-eval picks? Both score the same ARC and HellaSwag items on one model.

    python benchmarks/lm_eval_picks.py theirs MODEL --arc arc_easy_test.jsonl --hellaswag val_1000.jsonl --out picks
    python benchmarks/lm_eval_picks.py ours   MODEL --arc ... --hellaswag ... --out picks
    python benchmarks/lm_eval_picks.py compare --out picks

`theirs` needs lm-eval (`pip install lm_eval`) and drives its own HFLM.loglikelihood with the requests that its tasks
arc_easy and hellaswag make (doc_to_text, " " and each of doc_to_choice); `acc` is the choice of greatest
log-likelihood, `acc_norm` that of greatest log-likelihood per character. `ours` asks the items that `--keep FILE`
recognises in the same files, whose chat template is left unused. Both go on where an earlier call stopped, so that they
can be done in parts (--most items a call). Items with a choice that begins with a blank, as some of HellaSwag's do, are
compared apart. On one core 100 items of each take lm-eval some ten minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any


def arc(path: Path) -> list[dict[str, Any]]:
    """Returns the questions of ARC-Easy as lm-eval's task arc_easy puts them."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        one = json.loads(line)
        question = one["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
        asked = {"id": f"arc/{number}", "prompt": f"Question: {question}\nAnswer:"}
        found.append({**asked, "choices": one["choices"], "right": one["gold"]})
    return found


def hellaswag(path: Path) -> list[dict[str, Any]]:
    """Returns the beginnings of HellaSwag as lm-eval's task hellaswag puts them."""

    def tidy(text: str) -> str:
        text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
        return text.replace("  ", " ")

    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        prompt = tidy(f"{one['activity_label']}: {one['ctx_a']} {one['ctx_b'].capitalize()}")
        asked = {"id": f"hellaswag/{one['ind']}", "prompt": prompt}
        found.append({**asked, "choices": [tidy(ending) for ending in one["endings"]], "right": int(one["label"])})
    return found


def theirs(model_name: str, docs: list[dict[str, Any]]) -> list[list[float]]:
    """Returns lm-eval's log-likelihood of each choice."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(model_name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model_name)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, device="cpu")
    requests = [
        Instance("loglikelihood", doc, (doc["prompt"], f" {choice}"), place)
        for doc in docs
        for place, choice in enumerate(doc["choices"])
    ]
    found = iter(value for value, _ in lm.loglikelihood(requests, disable_tqdm=True))
    return [[next(found) for _ in doc["choices"]] for doc in docs]


def ours(model_name: str, docs: list[dict[str, Any]], files: list[Path]) -> list[list[float]]:
    """Returns our log-likelihood of each choice, as `--keep FILE` asks the file's items.

    Raises:
        ValueError: A file's item is asked in other words than lm-eval's.
    """
    import torch

    from holdfast.bench.given.loading import load_model, load_tokenizer
    from holdfast.probes.choice import choose
    from holdfast.probes.sources import items_of

    torch.set_num_threads(1)
    asked = {item.turns[-1].content.strip(): item for file in files for item in items_of(str(file), [])}
    items = []
    for doc in docs:
        if doc["prompt"].strip() not in asked:
            raise ValueError(f"{doc['id']}: no item is asked as {doc['prompt']!r}.")
        items.append(asked[doc["prompt"].strip()])
    found = choose(load_model(model_name), load_tokenizer(model_name), items, raw=True)
    by_text = [
        {text.strip(): -nats for text, nats in zip(item.choices, choice.nats, strict=True)}
        for item, choice in zip(items, found, strict=True)
    ]
    return [[values[text.strip()] for text in doc["choices"]] for doc, values in zip(docs, by_text, strict=True)]


def compare(out: Path) -> None:
    """Prints how many picks are equal, by task, and how far apart the log-likelihoods are."""
    sides = [{one["id"]: one for one in _read(out / f"{name}.jsonl")} for name in ("theirs", "ours")]
    both = [name for name in sides[0] if name in sides[1]]
    for task in sorted({_task(sides[0][name]) for name in both}):
        names = [name for name in both if _task(sides[0][name]) == task]
        line = {"task": task, "items": len(names)}
        for metric, by in (("acc", lambda _: 1), ("acc_norm", len)):
            picks = [
                [_pick([v / by(c) for v, c in zip(side[n]["values"], side[n]["choices"], strict=True)]) for n in names]
                for side in sides
            ]
            line[f"{metric} picks equal"] = sum(a == b for a, b in zip(*picks, strict=True))
            for side, of in zip(("theirs", "ours"), picks, strict=True):
                right = [pick == sides[0][n]["right"] for pick, n in zip(of, names, strict=True)]
                line[f"{metric} {side}"] = round(sum(right) / len(right), 4)
        line["largest difference in nats"] = max(
            abs(a - b) for n in names for a, b in zip(sides[0][n]["values"], sides[1][n]["values"], strict=True)
        )
        print(json.dumps(line))


def _task(one: dict[str, Any]) -> str:
    """Returns the task of an item; apart stand those with choices before which lm-eval puts a second blank."""
    blank = any(choice[:1].isspace() for choice in one["choices"])
    return one["id"].partition("/")[0] + (", a choice begins with a blank" if blank else "")


def _pick(values: list[float]) -> int:
    return max(range(len(values)), key=lambda k: values[k])


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def main() -> None:
    """Scores what is not scored yet, or compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("theirs", "ours", "compare"))
    parser.add_argument("model", nargs="?")
    parser.add_argument("--arc", type=Path)
    parser.add_argument("--hellaswag", type=Path)
    parser.add_argument("--items", type=int, default=150, help="items of each task")
    parser.add_argument("--most", type=int, default=10_000, help="items scored in this call")
    parser.add_argument("--out", type=Path, default=Path("picks"))
    given = parser.parse_args()
    if given.what == "compare":
        compare(given.out)
        return
    if given.what == "theirs":
        try:
            import lm_eval  # noqa: F401
        except ImportError:
            print("lm-eval is not installed: nothing is compared (pip install lm_eval).", file=sys.stderr)
            return
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"{given.what}.jsonl"
    there = {one["id"] for one in _read(path)}
    docs = [*arc(given.arc)[: given.items], *hellaswag(given.hellaswag)[: given.items]]
    left = [doc for doc in docs if doc["id"] not in there][: given.most]
    files = [given.arc, given.hellaswag]
    values = (theirs(given.model, left) if given.what == "theirs" else ours(given.model, left, files)) if left else []
    with path.open("a", encoding="utf-8") as file:
        for doc, own in zip(left, values, strict=True):
            file.write(json.dumps({**doc, "values": own}, ensure_ascii=False) + "\n")
    print(f"{given.what}: {len(there) + len(left)} of {len(docs)} items scored.")


if __name__ == "__main__":
    main()
