"""Recognises public benchmarks by their fields, and converts them to items that ask as lm-eval does.

If lm-eval has a task for the set, the question has the wording of that task, without examples before it, and each
choice follows it behind a blank. A set with only a question, choices and an answer is asked in the manner of ARC.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.probes.options import options_of, right_of, text_in

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Record = Mapping[str, Any]
Asked = dict[str, Any]
"""Fields of an item: `prompt`, `choices` (the right one first), `answer`, `check`, ..."""


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A public benchmark.

    Attributes:
        name: The benchmark, in words.
        fits: Returns whether a set is this benchmark, given its first record and the name of its file.
        asks: Returns the fields of the item of a record; None if the record does not say which answer is right, as in
            hidden test sets.
        group: Name of the field that dependent items share.
    """

    name: str
    fits: Callable[[Record, str], bool]
    asks: Callable[[Record, bool], Asked | None]
    group: str = ""


def benchmark_of(record: Record, name: str) -> Benchmark | None:
    """Returns the benchmark that a record belongs to, or None.

    Args:
        record: The first record of the set.
        name: The name of the file.
    """
    return next((benchmark for benchmark in BENCHMARKS if benchmark.fits(record, name)), None)


def _has(*fields: str) -> Callable[[Record, str], bool]:
    return lambda record, _name: all(field in record for field in fields)


def _with_choices(prompt: str, texts: Sequence[str], right: int | None) -> Asked | None:
    """Returns a question with choices, the right one first; None if no choice is right."""
    if right is None:
        return None
    ordered = [texts[right], *(text for i, text in enumerate(texts) if i != right)]
    return {**({"prompt": prompt} if prompt else {}), "choices": list(dict.fromkeys(ordered))}


_READ = ("passage", "context", "article", "story", "paragraph", "support")
"""Fields of a text that a question is about."""


def _about(record: Record, question: str) -> str:
    """Returns the text that a question is about; empty if there is none, or the question holds it."""
    text = text_in(record, *_READ).strip()
    return "" if text in question else text


def _on_text(text: str, asked: Asked | None) -> Asked | None:
    """Returns a question in the group of those about the same text, if there is one."""
    if asked is None or not text:
        return asked
    return {"group": f"text {hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}", **asked}


def _mmlu(record: Record, from_one: bool) -> Asked | None:
    """Returns a question followed by its choices, whose answers are letters."""
    labels, texts = options_of(record)
    about = str(record.get("subject") or "").replace("_", " ")
    head = [f"The following are multiple choice questions (with answers) about {about}.\n"] if about else []
    lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, texts, strict=False)]
    question = text_in(record, "question").strip()
    read = _about(record, question)
    prompt = "\n".join([*head, *([read] if read else []), question, *lines, "Answer:"])
    return _on_text(read, _with_choices(prompt, LETTERS[: len(texts)], right_of(record, labels, texts, from_one)))


def _question(record: Record, from_one: bool) -> Asked | None:
    labels, texts = options_of(record)
    question = text_in(record, "question", "query", "stem", "prompt", "input", "Question").strip()
    written = question if question.startswith("Question:") else f"Question: {question}"
    read = _about(record, question)
    prompt = f"{read}\n{written}\nAnswer:" if read else f"{written}\nAnswer:"
    return _on_text(read, _with_choices(prompt, texts, right_of(record, labels, texts, from_one)))


def _stem(record: Record, from_one: bool) -> Asked | None:
    labels, texts = options_of(record)
    stem = text_in(record, "question_stem", "Question Stem")
    return _with_choices(stem, texts, right_of(record, labels, texts, from_one))


def _prompted(record: Record, from_one: bool) -> Asked | None:
    labels, texts = options_of(record)
    return _with_choices(str(record["prompt"]), texts, right_of(record, labels, texts, from_one))


def _hellaswag(record: Record, from_one: bool) -> Asked | None:
    # lm-eval puts a blank before every ending, also where a bracket left one at its start.
    endings = [f" {ending}" if ending[:1] == " " else ending for ending in map(_clean, record["endings"])]
    context = str(record.get("ctx", ""))
    if "ctx_a" in record:
        context = f"{record['ctx_a']} {str(record.get('ctx_b', '')).capitalize()}"
    head = f"{record['activity_label']}: " if record.get("activity_label") else ""
    return _with_choices(_clean(head + context), endings, right_of(record, [], endings, from_one))


def _clean(text: str) -> str:
    """Returns a text of WikiHow without its brackets, as lm-eval's hellaswag does."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _gsm8k(record: Record, _from_one: bool) -> Asked | None:
    solution = str(record["answer"])
    number_match = re.search(r"####\s*(-?[\d.,]+)", solution)
    if number_match is None:
        return None
    number = float(number_match[1].replace(",", "").rstrip("."))
    return {
        "prompt": f"Question: {record['question']}\nAnswer:",
        "answer": solution,
        "check": {"number": int(number) if number.is_integer() else number},
        "max_tokens": 256,
        "stop": ["Question:"],
    }


def _winogrande(record: Record, _from_one: bool) -> Asked | None:
    if "context_options" in record:
        whole = [f"{context} {record['continuation']}" for context in record["context_options"]]
        return _with_choices("", whole, right_of(record, [], whole, False))
    options = [str(record["option1"]), str(record["option2"])]
    answer = str(record.get("answer", "")).strip()
    right = {"1": 0, "2": 1}.get(answer)
    return _with_choices("", [str(record["sentence"]).replace("_", option) for option in options], right)


def _boolq(record: Record, _from_one: bool) -> Asked | None:
    answer = record.get("answer", record.get("label"))
    right = {"true": 1, "1": 1, "yes": 1, "false": 0, "0": 0, "no": 0}.get(str(answer).lower())
    question = str(record["question"]).rstrip("?")
    return _with_choices(f"{record['passage']}\nQuestion: {question}?\nAnswer:", ["no", "yes"], right)


def _truthful(record: Record, _from_one: bool) -> Asked | None:
    if "mc1_targets" not in record:
        wrong = [
            wrong_answer.strip() for wrong_answer in str(record["Incorrect Answers"]).split(";") if wrong_answer.strip()
        ]
        return _with_choices(f"Q: {record['Question']}\nA:", [str(record["Best Answer"]), *wrong], 0)
    targets = record["mc1_targets"]
    if "choices" in targets and "labels" in targets:
        texts, marks = [str(text) for text in targets["choices"]], list(targets["labels"])
    else:
        texts, marks = list(targets), list(targets.values())
    return _with_choices(f"Q: {record['question']}\nA:", texts, marks.index(1) if 1 in marks else None)


def _piqa(record: Record, from_one: bool) -> Asked | None:
    texts = [str(record["sol1"]), str(record["sol2"])]
    return _with_choices(f"Question: {record['goal']}\nAnswer:", texts, right_of(record, [], texts, from_one))


def _copa(record: Record, from_one: bool) -> Asked | None:
    joint = {"cause": "because", "effect": "therefore"}.get(str(record["question"]), "therefore")
    texts = [str(record[name])[:1].lower() + str(record[name])[1:] for name in ("choice1", "choice2")]
    premise = str(record["premise"]).strip().removesuffix(".")
    return _with_choices(f"{premise} {joint}", texts, right_of(record, [], texts, from_one))


def _sciq(record: Record, _from_one: bool) -> Asked | None:
    texts = [str(record[name]) for name in ("correct_answer", "distractor1", "distractor2", "distractor3")]
    support = f"{str(record.get('support', '')).lstrip()}\n" if record.get("support") else ""
    return _with_choices(f"{support}Question: {record['question']}\nAnswer:", texts, 0)


def _blimp(record: Record, _from_one: bool) -> Asked | None:
    return _with_choices("", [str(record["sentence_good"]), str(record["sentence_bad"])], 0)


def _lambada(record: Record, _from_one: bool) -> Asked | None:
    before, blank, word = str(record["text"]).rstrip().rpartition(" ")
    if not (blank and word):
        return None
    plain = word.strip("\"'`.,;:!?")
    return {
        "prompt": before,
        "answer": word,
        "check": {"regex": rf"^\W*{re.escape(plain or word)}(?!\w)"},
        "max_tokens": 8,
        "stop": ["\n"],
    }


def _is_lambada(record: Record, name: str) -> bool:
    return "lambada" in name.lower() and isinstance(record.get("text"), str) and "label" not in record


def _is_gsm8k(record: Record, _name: str) -> bool:
    return isinstance(record.get("question"), str) and "\n####" in "\n" + str(record.get("answer", "")).replace(
        " ####", "\n####"
    )


def _is_mmlu(record: Record, name: str) -> bool:
    if "question" not in record or not isinstance(record["question"], str):
        return False
    lettered = {"A", "B", "C", "D"} <= set(record) or {"opa", "opb", "opc", "opd"} <= set(record)
    plain = isinstance(record.get("choices"), (list, tuple)) and all(
        isinstance(choice, str) for choice in record["choices"]
    )
    return lettered or (plain and ("subject" in record or "mmlu" in name.lower()))


def _is_question(record: Record, _name: str) -> bool:
    try:
        _, texts = options_of(record)
        asked = text_in(record, "question", "query", "stem", "prompt", "input", "Question")
    except HoldfastError:
        return False
    return len(texts) > 1 and bool(asked) and "completion" not in record


def _is_boolq(record: Record, name: str) -> bool:
    return {"passage", "question"} <= set(record) and not _is_question(record, name)


def _is_prompted(record: Record, name: str) -> bool:
    return isinstance(record.get("prompt"), str) and _is_question(record, name)


BENCHMARKS = (
    Benchmark(
        "TruthfulQA (one right answer, without the examples that lm-eval puts first)", _has("mc1_targets"), _truthful
    ),
    Benchmark(
        "TruthfulQA (the best against the incorrect answers)",
        _has("Question", "Best Answer", "Incorrect Answers"),
        _truthful,
    ),
    Benchmark("HellaSwag, asked as in lm-eval", _has("endings"), _hellaswag, "source_id"),
    Benchmark("GSM8K, asked as in lm-eval without examples; the last number counts", _is_gsm8k, _gsm8k),
    Benchmark(
        "WinoGrande (which of two whole sentences is likelier)", _has("sentence", "option1", "option2"), _winogrande
    ),
    Benchmark(
        "WinoGrande (which of two whole sentences is likelier)", _has("context_options", "continuation"), _winogrande
    ),
    Benchmark("BLiMP (which of two sentences is likelier)", _has("sentence_good", "sentence_bad"), _blimp),
    Benchmark("BoolQ, asked as in lm-eval", _is_boolq, _boolq, "title"),
    Benchmark("PIQA, asked as in lm-eval", _has("goal", "sol1", "sol2"), _piqa),
    Benchmark("COPA, asked as in lm-eval", _has("premise", "choice1", "choice2", "question"), _copa),
    Benchmark("SciQ, asked as in lm-eval", _has("question", "correct_answer", "distractor1", "distractor2"), _sciq),
    Benchmark("LAMBADA (the last word of each text is asked)", _is_lambada, _lambada),
    Benchmark("MMLU, asked as in lm-eval (the letter of the choice)", _is_mmlu, _mmlu),
    Benchmark("OpenBookQA, asked as in lm-eval", _has("question_stem"), _stem),
    Benchmark("OpenBookQA, asked as in lm-eval", _has("Question Stem", "Choices"), _stem),
    Benchmark("ARC, asked as in lm-eval", lambda r, _n: "answerKey" in r and _is_question(r, ""), _question),
    Benchmark("questions with choices, each as its prompt stands", _is_prompted, _prompted),
    Benchmark("questions with choices, asked as in lm-eval's ARC", _is_question, _question),
)
"""The benchmarks that are recognised; the first that fits counts."""
