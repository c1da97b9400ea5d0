"""Public benchmarks as they come: recognised, asked as lm-eval asks them, the right choice first."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.probes.items import Item
from holdfast.probes.sources import items_of


def write(path: Path, *records: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def asked(tmp_path: Path, *records: dict[str, Any], name: str = "set.jsonl") -> list[tuple[str, tuple[str, ...]]]:
    found = items_of(write(tmp_path / name, *records))
    assert found is not None
    return [(item.turns[0].content if item.turns else "", item.choices) for item in found]


def test_mmlu_is_asked_for_the_letter(tmp_path):
    record = {"question": "2+2?", "subject": "high_school", "choices": ["3", "4", "5", "6"], "answer": 1}
    prompt = (
        "The following are multiple choice questions (with answers) about high school.\n\n2+2?\nA. 3\nB. 4\nC. 5\n"
        "D. 6\nAnswer:"
    )
    assert asked(tmp_path, record) == [(prompt, ("B", "A", "C", "D"))]
    assert asked(tmp_path, {**record, "answer": "B"}) == [(prompt, ("B", "A", "C", "D"))]
    columns = {"question": "2+2?", "A": "3", "B": "4", "C": "5", "D": "6", "answer": "B"}
    assert asked(tmp_path, columns) == [("2+2?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:", ("B", "A", "C", "D"))]


ARC = [
    {"id": "q", "question": {"stem": "Why?", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]}},
    {"id": "q", "question": "Why?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}},
    {"id": "q", "question": "Why?", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]},
]


@pytest.mark.parametrize("record", ARC)
def test_arc_is_asked_for_the_text(tmp_path, record):
    assert asked(tmp_path, {**record, "answerKey": "B"}) == [("Question: Why?\nAnswer:", ("y", "x"))]


def test_the_labels_of_choices_may_be_numbers(tmp_path):
    record = {"question": "Why?", "choices": {"text": ["x", "y", "z"], "label": ["1", "2", "3"]}, "answerKey": "1"}
    assert asked(tmp_path, record)[0][1] == ("x", "y", "z")


@pytest.mark.parametrize("field", ["passage", "context", "article", "story", "paragraph", "support"])
def test_the_text_that_a_question_is_about_stands_before_it(tmp_path, field):
    """It was left out in silence, or its question was taken for one of BoolQ and answered with yes or no."""
    record = {field: "Tom went to Rome.", "question": "Where did he go?", "options": ["Oslo", "Rome"], "label": 1}
    others = [{**record, "question": "Who went?"}, {**record, field: "He stayed.", "label": 0}]
    found = items_of(write(tmp_path / "set.jsonl", record, *others))
    assert found is not None
    assert found[0].turns[0].content == "Tom went to Rome.\nQuestion: Where did he go?\nAnswer:"
    assert found[0].choices == ("Rome", "Oslo")
    assert found[0].group == found[1].group != found[2].group, "questions about one text are not independent"
    columns = {field: "Tom went to Rome.", "question": "Where?", "A": "Oslo", "B": "Rome", "C": "x", "D": "y"}
    prompt = "Tom went to Rome.\nWhere?\nA. Oslo\nB. Rome\nC. x\nD. y\nAnswer:"
    assert asked(tmp_path, {**columns, "answer": "B"}) == [(prompt, ("B", "A", "C", "D"))]
    whole = {**record, "question": "Tom went to Rome. Where did he go?"}
    assert asked(tmp_path, whole)[0][0] == "Question: Tom went to Rome. Where did he go?\nAnswer:"


def test_half_of_a_surrogate_pair_is_named_with_its_place(tmp_path):
    """A tokenizer ended with a TypeError that named neither the file nor the line."""
    records = [{"question": f"{text}?", "choices": ["a", "b"], "answer": "A"} for text in ("fine", "half \ud83d")]
    with pytest.raises(HoldfastError, match=r"set\.jsonl:2: not valid JSON .*surrogates not allowed"):
        items_of(write(tmp_path / "set.jsonl", *records))


def test_hellaswag_is_asked_with_its_activity_and_without_brackets(tmp_path):
    record = {
        "ind": 4,
        "activity_label": "Pole vault",
        "ctx_a": "A man runs.",
        "ctx_b": "he",
        "ctx": "A man runs. he",
        "endings": ["falls [substeps] down.", "jumps [title] high."],
        "label": "1",
        "source_id": "video 7",
    }
    (item,) = items_of(write(tmp_path / "val.jsonl", record))
    assert item.turns[0].content == "Pole vault: A man runs. He"
    assert item.choices == ("jumps. high.", "falls down.")
    assert (item.id, item.group) == ("4", "video 7")
    assert asked(tmp_path, {"ctx": "A man", "endings": ["a.", "b."], "label": 0}) == [("A man", ("a.", "b."))]


def test_gsm8k_is_generated_and_the_last_number_counts(tmp_path):
    (item,) = items_of(write(tmp_path / "test.jsonl", {"question": "How?", "answer": "So it is.\n#### 1,234"}))
    assert item.turns[0].content == "Question: How?\nAnswer:"
    assert (item.check, item.max_tokens, item.stop) == ({"number": 1234}, 256, ("Question:",))


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (
            {"sentence": "Ann thanked Bea since _ helped.", "option1": "Ann", "option2": "Bea", "answer": "2"},
            ("", ("Ann thanked Bea since Bea helped.", "Ann thanked Bea since Ann helped.")),
        ),
        (
            {"context_options": ["so Ann", "so Bea"], "continuation": "left.", "gold": 1},
            ("", ("so Bea left.", "so Ann left.")),
        ),
        ({"question_stem": "Fish are", "choices": ARC[1]["choices"], "answerKey": "B"}, ("Fish are", ("y", "x"))),
        (
            {"passage": "P.", "question": "is it so", "answer": False},
            ("P.\nQuestion: is it so?\nAnswer:", ("no", "yes")),
        ),
        (
            {"question": "Q?", "mc1_targets": {"choices": ["a", "b"], "labels": [0, 1]}},
            ("Q: Q?\nA:", ("b", "a")),
        ),
        ({"question": "Q?", "mc1_targets": {"a": 0, "b": 1}}, ("Q: Q?\nA:", ("b", "a"))),
        ({"goal": "G", "sol1": "a", "sol2": "b", "label": 0}, ("Question: G\nAnswer:", ("a", "b"))),
        (
            {"premise": "It fell.", "choice1": "It broke.", "choice2": "It flew.", "question": "effect", "label": 0},
            ("It fell therefore", ("it broke.", "it flew.")),
        ),
        (
            {"question": "Q?", "correct_answer": "c", "distractor1": "x", "distractor2": "y", "distractor3": "z"},
            ("Question: Q?\nAnswer:", ("c", "x", "y", "z")),
        ),
        ({"sentence_good": "He is.", "sentence_bad": "He are."}, ("", ("He is.", "He are."))),
        ({"query": "Question: Q?", "choices": ["a", "b"], "gold": 1}, ("Question: Q?\nAnswer:", ("b", "a"))),
        ({"question": "Q?", "options": {"A": "a", "B": "b"}, "answer": "B"}, ("Question: Q?\nAnswer:", ("b", "a"))),
        ({"question": "Q?", "options": ["a", "b"], "answer": "b"}, ("Question: Q?\nAnswer:", ("b", "a"))),
        ({"prompt": "2+2=", "choices": ["3", "4"], "answer": "4"}, ("2+2=", ("4", "3"))),
        ({"prompt": "2+2=", "choices": ["3", "4"], "answer": 1}, ("2+2=", ("4", "3"))),
    ],
)
def test_a_set_is_recognised_by_its_fields(tmp_path, record, wanted):
    assert asked(tmp_path, record) == [wanted]


def test_numbers_count_from_1_where_none_is_0_and_one_is_the_last(tmp_path):
    make = [{"question": f"{n}?", "choices": ["a", "b", "c"], "answer": n} for n in (1, 3, 2)]
    notes: list[str] = []
    found = items_of(write(tmp_path / "set.jsonl", *make), notes)
    assert [item.choices[0] for item in found] == ["a", "c", "b"]
    assert "set: the numbers of the right choices count from 1." in notes
    assert [choices[0] for _, choices in asked(tmp_path, make[0], make[2])] == ["b", "c"]


def test_numbers_that_do_not_tell_where_they_count_from_are_named(tmp_path):
    """A small file may have neither a first nor a last choice that is right, and nothing said how it was read."""
    records = [{"question": "Q?", "choices": ["a", "b", "c", "d"], "answer": place} for place in (1, 2, 3)]
    notes: list[str] = []
    items = items_of(write(tmp_path / "set.jsonl", *records), notes)
    assert [item.choices[0] for item in items or ()] == ["b", "c", "d"]
    assert any("read as counting from 0, though none is 0" in note for note in notes)
    labelled = {"question": "Why?", "choices": {"text": ["x", "y", "z"], "label": ["1", "2", "3"]}, "answerKey": "1"}
    for others in ([*records, {**records[0], "answer": 0}], [labelled], [{**records[0], "answer": "B"}]):
        notes.clear()
        items_of(write(tmp_path / "set.jsonl", *others), notes)
        assert not any("counting from 0" in note for note in notes)


@pytest.mark.parametrize("name", ["option", "choice"])
@pytest.mark.parametrize(("answers", "first"), [((0, 1, 2, 3), 0), ((1, 2, 3, 4), 1), ((2, 2, 1, 3), 1), ((0, 2), 0)])
def test_numbered_columns_count_from_1_unless_an_answer_is_0(tmp_path, name, answers, first):
    columns = {f"{name}{number}": letter for number, letter in enumerate("abcd", 1)}
    records = [{"question": f"Q{place}?", **columns, "answer": answer} for place, answer in enumerate(answers)]
    right = [choices[0] for _, choices in asked(tmp_path, *records)]
    assert right == ["abcd"[answer - first] for answer in answers]


@pytest.mark.parametrize(
    ("record", "right"),
    [
        ({"choices": [1, 2, 3, 4], "answer": 2}, None),  # 2 or 3
        ({"options": [0.5, 2.0], "target": 1}, None),
        ({"choices": [1, 2, 3, 4], "answer_idx": 2}, "3"),
        ({"choices": [1, 2, 3, 4], "answer": 2, "label": 3}, "4"),
        ({"choices": [1, 2, 3, 4], "answer": "2"}, "2"),
        ({"choices": [1, 2, 3, 4], "answer": "B"}, "2"),
        ({"choices": ["1", "2", "3", "4"], "answer": 2}, "3"),
    ],
)
def test_a_number_among_numbers_is_a_choice_or_a_place(tmp_path, record, right):
    records = [{"question": "Q?", **record}, {"question": "P?", "choices": ["a", "b"], "answer": 0}]
    if right is None:
        with pytest.raises(HoldfastError, match=r"set.jsonl:1: .*may be one of them or its place; write all as texts"):
            asked(tmp_path, *records)
    else:
        assert asked(tmp_path, *records)[0][1][0] == right


def test_an_empty_column_moves_no_choice(tmp_path):
    lettered = {"question": "Q?", "A": "w", "B": "", "C": "y", "D": "z", "answer": "C"}
    assert asked(tmp_path, lettered) == [("Q?\nA. w\nB. y\nC. z\nAnswer:", ("B", "A", "C"))]
    numbered = {"question": "Q?", "option1": "w", "option2": None, "option3": "y", "answer": 3}
    with pytest.raises(HoldfastError, match="its field 'option2' is empty, and a later one is not"):
        asked(tmp_path, {**numbered, "option2": "x"}, numbered)


def test_the_last_word_of_lambada_is_asked(tmp_path):
    (item,) = items_of(write(tmp_path / "lambada_test.jsonl", {"text": "She took the stone from his hand."}))
    assert item.turns[0].content == "She took the stone from his"
    assert item.check == {"regex": r"^\W*hand(?!\w)"}
    assert items_of(write(tmp_path / "tales.jsonl", {"text": "She took the stone."})) is None


def test_tables_and_folders_of_items_are_read_too(tmp_path):
    path = tmp_path / "openbookqa" / "test.tsv"
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["ID", "Question Stem", "Choices", "Complete Question", "Answer Key"])
        table.writerow(["8", "Fish are", "(A) deep sea (B) birds (C) far", "Fish are ...", "C"])
    (item,) = items_of(str(path))
    assert (item.suite, item.id, item.choices) == ("openbookqa", "8", ("far", "deep sea", "birds"))
    for split, answer in (("train", 0), ("validation", 1), ("test", -1)):
        record = {"ctx": split, "endings": ["a", "b"], "label": answer}
        write(tmp_path / "hellaswag" / "data" / f"{split}-00000-of-00001.jsonl", record)
    notes: list[str] = []
    (item,) = items_of(str(tmp_path / "hellaswag"), notes)
    assert item.turns[0].content == "validation"  # the test does not say what is right
    assert "hellaswag: the split 'validation' is read; 'test', 'train' are not." in notes


def test_what_was_recognised_is_said_with_its_count_and_what_is_left_out(tmp_path):
    make = [{"question": f"{n}?", "choices": ["a", "b"], "answerKey": key} for n, key in enumerate(["A", "B", ""])]
    notes: list[str] = []
    assert len(items_of(write(tmp_path / "arc.jsonl", *make), notes)) == 2
    assert notes == [
        "arc: ARC, asked as in lm-eval; 2 items.",
        "arc: 1 of 3 records do not say which answer is right, and are left out.",
    ]


def test_what_looks_like_items_and_is_none_is_answered_with_what_they_look_like(tmp_path):
    for record in ({"choices": ["a", "b"]}, {"question": "Q?", "choices": ["a", "b"]}):
        with pytest.raises(HoldfastError, match='An item looks like {"id": "q1", "suite": "facts", "prompt": "2\\+2'):
            items_of(write(tmp_path / "set.jsonl", record))


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "p", "completion": "c"},
        {"question": "q", "answer": "a"},
        {"text": "t", "label": 1},
        {"messages": [{"role": "user", "content": "u"}]},
        {"prompt": "p", "completion": "c", "choices": ["c", "d"]},
        {"prompt": "p", "chosen": "c", "rejected": "d"},
    ],
)
def test_rows_are_no_items(tmp_path, record):
    notes: list[str] = []
    assert items_of(write(tmp_path / "rows.jsonl", record), notes) is None
    assert notes == []


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("mmlu/test.jsonl.gz", 14042),
        ("arc/ARC-Challenge-Test.jsonl", 1150),
        ("arc/arc_easy_test.jsonl", 2376),
        ("hellaswag/val_1000.jsonl", 1000),
        ("gsm8k/test.jsonl.gz", 1319),
        ("winogrande/val.jsonl", 1267),
        ("openbookqa/test.tsv.gz", 500),
        ("boolq/val.jsonl.gz", 3270),
        ("truthfulqa/mc_task.json", 817),
        ("lambada/lambada_test.jsonl.gz", 5153),
    ],
)
def test_shared_benchmarks_are_recognised_in_full(shared_data, path, count):
    found = items_of(str(shared_data / path))
    assert len(found) == count
    assert all(isinstance(item, Item) and (item.check or len(item.choices) > 1) for item in found)
